// The replay view: the moods of a match, or of the last hours of live cameras, as a chart and as files.

import { get } from "./api.js";
import { png, stacked } from "./charts.js";
import { byId, clock, el, figureOf, fitOf, save, say, UNKNOWN } from "./dom.js";
import { bar, fill } from "./live.js";

const PAGE = 1000;
const MOST_MOODS = 20_000;
const DRAWN = 1500;

const state = { display: null, moods: [], changes: [], name: "", ready: false };

export async function show(display) {
  state.display = display;
  if (!state.ready) {
    state.ready = true;
    byId("moment-bars").append(...[...display.stacked].reverse().map((label) => bar(label, display)));
    byId("replay-form").addEventListener("submit", (event) => {
      event.preventDefault();
      load();
    });
    byId("match").addEventListener("change", offerScopes);
    byId("moment").addEventListener("input", scrub);
    byId("csv").addEventListener("click", () =>
      save(`${state.name}.csv`, new Blob([table()], { type: "text/csv;charset=utf-8" })),
    );
    byId("png").addEventListener("click", async () => save(`${state.name}.png`, await png(byId("replay-chart"))));
  }
  await offerMatches();
}

/** Offer each run that contains the newest frames of a camera. */
async function offerMatches() {
  try {
    const runs = new Map();
    for (const camera of await get("cameras")) {
      const run = runs.get(camera.run_id) ?? { recorded: camera.recorded, cameras: [], ended: true };
      run.cameras.push(camera.id);
      run.ended &&= camera.state === "ended";
      runs.set(camera.run_id, run);
    }
    const chosen = byId("match").value;
    byId("match").replaceChildren(
      ...[...runs].map(([id, run]) => {
        const kind = run.recorded ? (run.ended ? "replayed match" : "match being replayed") : "live cameras";
        const option = el("option", { value: id }, `${kind}: ${run.cameras.join(", ")} (${id})`);
        option.dataset.cameras = JSON.stringify(run.cameras);
        return option;
      }),
    );
    if (runs.has(chosen)) byId("match").value = chosen;
    offerScopes();
    say(byId("replay-said"), runs.size ? "" : "No camera has delivered frames yet: there is nothing to show.");
  } catch (error) {
    say(byId("replay-said"), error.message, true);
  }
}

function offerScopes() {
  const chosen = byId("replay-scope").value;
  const cameras = JSON.parse(byId("match").selectedOptions[0]?.dataset.cameras ?? "[]");
  const options = [
    ...Object.keys(state.display.zones).map((zone) => [`zone=${zone}`, zone]),
    ...cameras.map((camera) => [`camera=${camera}`, `camera ${camera}`]),
  ];
  byId("replay-scope").replaceChildren(...options.map(([value, name]) => el("option", { value }, name)));
  if (options.some(([value]) => value === chosen)) byId("replay-scope").value = chosen;
}

async function load() {
  const said = byId("replay-said");
  const run = byId("match").value;
  const scope = byId("replay-scope").value;
  say(said, "Reading…");
  try {
    const query = `${scope}&run=${encodeURIComponent(run)}`;
    state.moods = (await pages(`moods?${query}`, "moods")).reverse();
    state.changes = scope.startsWith("zone=") ? (await pages(`changes?${query}`, "changes")).reverse() : [];
  } catch (error) {
    say(said, error.message, true);
    return;
  }
  const { moods } = state;
  state.name = `crowdmood-${run}-${scope.split("=")[1]}`;
  byId("csv").disabled = byId("png").disabled = !moods.length;
  byId("replay-view").hidden = !moods.length;
  say(
    said,
    moods.length
      ? `${moods.length} moods from ${clock(moods[0].as_of)} to ${clock(moods.at(-1).as_of)}, ${state.changes.length} changes.`
      : "No moods are stored for this selection.",
  );
  if (!moods.length) return;
  byId("moment").max = moods.length - 1;
  byId("moment").value = moods.length - 1;
  await scrub();
}

/** Return every item of a paged list, newest first. */
async function pages(path, name) {
  const found = [];
  let cursor = null;
  do {
    const page = await get(`${path}&limit=${PAGE}${cursor ? `&cursor=${cursor}` : ""}`);
    found.push(...page[name]);
    cursor = page.next;
  } while (cursor && found.length < MOST_MOODS);
  return found;
}

async function scrub() {
  const { moods, changes, display } = state;
  const mood = moods[Number(byId("moment").value)];
  const usable = mood.status === "ok";
  byId("moment-time").textContent = clock(mood.as_of);
  byId("moment").setAttribute("aria-valuetext", `${clock(mood.as_of)}, ${usable ? mood.dominant : mood.status}`);
  const figures = {
    mood: usable ? mood.dominant : mood.status,
    "people seen": mood.people ?? "–",
    readable: usable ? (mood.readable ?? UNKNOWN) : "–",
    valence: usable ? figureOf(mood, "valence") : "–",
    energy: usable ? figureOf(mood, "energy") : "–",
    fit: usable ? fitOf(mood) : "–",
    cameras: Object.entries(mood.cameras)
      .map(([camera, is]) => `${camera} ${is}`)
      .join(", "),
  };
  byId("moment-figures").replaceChildren(
    ...Object.entries(figures).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
  for (const item of byId("moment-bars").children) fill(item, usable ? mood : null);
  const every = Math.ceil(moods.length / DRAWN);
  const drawn = every === 1 ? moods : moods.filter((_, place) => place % every === 0);
  await stacked(byId("replay-chart"), drawn, display, { changes, at: mood.as_of });
}

/** Return the moods as CSV, with the columns of `crowdmood report`. */
function table() {
  const { moods, changes, display } = state;
  const labels = Object.keys(display.colours);
  const ends = [
    ["", "shares"],
    ["_low", "low"],
    ["_high", "high"],
    ["_raw", "raw"],
  ];
  const changed = new Map(changes.map((change) => [change.as_of, change.to]));
  const shareColumns = labels.flatMap((label) =>
    ends.map(([end, field]) => [`${label}${end}`, (mood) => mood[field]?.[label]]),
  );
  const plain = (name) => [name, (mood) => mood[name]];
  const columns = [
    plain("zone"),
    plain("camera"),
    ["match_s", (mood) => Date.parse(mood.as_of) / 1000],
    plain("as_of"),
    plain("status"),
    plain("people"),
    plain("readable"),
    plain("dominant"),
    ["change", (mood) => changed.get(mood.as_of)],
    ...["valence", "energy"].flatMap((name) => ["", "_low", "_high"].map((end) => plain(`${name}${end}`))),
    ...shareColumns,
    ["cameras_live", (mood) => Object.values(mood.cameras).filter((is) => is === "live").length],
    plain("method"),
    plain("fit"),
    plain("model"),
    plain("detector"),
  ];
  const rows = moods.map((mood) => columns.map(([, of]) => cell(of(mood))).join(","));
  return [columns.map(([name]) => name).join(","), ...rows, ""].join("\n");
}

const cell = (value) =>
  /[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
