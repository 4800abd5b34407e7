// The live view: the stadium's mood and its creative, the last minutes, every zone and camera, and the changes.

import { get } from "./api.js";
import { intervals, stacked } from "./charts.js";
import { byId, clock, el, figureOf, fitOf, fitsPoorly, knows, labelled, row, say, shareOf, UNKNOWN } from "./dom.js";
import { creativeOf, local, shown } from "./override.js";

const KEPT = 600;
const CHANGES_SHOWN = 50;
const SCOPES_EVERY_MS = 2000;

const state = { display: null, moods: [], changes: [], mood: null, publishedAt: 0, connected: false, why: "" };
let visible = false;
let drawing = false;
let scopesTimer = 0;

/** Read moods and changes from before the page was opened; if that fails, the stream provides new ones. */
export async function begin(display) {
  state.display = display;
  for (const label of [...display.stacked].reverse()) byId("bars").append(bar(label, display));
  byId("each").addEventListener("toggle", redraw);
  setInterval(showMood, 500);
  try {
    const [past, changes] = await Promise.all([get(`moods?limit=${KEPT / 2}`), get(`changes?limit=${CHANGES_SHOWN}`)]);
    state.moods = inOrder(past.moods);
    state.changes = changes.changes;
  } catch {
    // The stream reports the error.
  }
  showChanges();
  redraw();
}

/** Return moods oldest first; of footage that was replayed several times, only the newest pass. */
function inOrder(newestFirst) {
  const kept = [];
  for (const mood of newestFirst) {
    if (kept.length && mood.as_of >= kept.at(-1).as_of) break;
    kept.push(mood);
  }
  return kept.reverse();
}

/** Process a message of the stream. */
export function take(event, data, publishedAt) {
  if (event === "mood") {
    state.mood = data;
    state.publishedAt = publishedAt;
    if (data.as_of && data.status !== "stale" && data.status !== "overridden" && data.as_of !== state.moods.at(-1)?.as_of) {
      if (data.as_of < state.moods.at(-1)?.as_of) state.moods = [];
      state.moods = [...state.moods.slice(1 - KEPT), data];
    }
    showMood();
    redraw();
  } else if (event === "change") {
    state.changes = [data, ...state.changes].slice(0, CHANGES_SHOWN);
    showChanges();
  }
}

export function connection(connected, why) {
  state.connected = connected;
  state.why = why;
  showMood();
}

export const disconnected = (why) => connection(false, why);

export function show() {
  visible = true;
  redraw();
  clearInterval(scopesTimer);
  scopesTimer = setInterval(showScopes, SCOPES_EVERY_MS);
  showScopes();
}

export function hide() {
  visible = false;
  clearInterval(scopesTimer);
}

/** Return the present status of the newest mood, which becomes stale by itself if no new mood arrives. */
function current() {
  const { mood, display, publishedAt } = state;
  if (mood?.status === "overridden") return { status: "overridden", fresh: false };
  if (!mood?.as_of) return { status: "none", fresh: false };
  const ageS = (Date.now() - publishedAt) / 1000;
  const ended =
    Object.values(mood.cameras).length > 0 && Object.values(mood.cameras).every((camera) => camera === "ended");
  const status = mood.status === "ok" && ageS > display.stale_after_s && !ended ? "stale" : mood.status;
  const validS = (Date.parse(mood.valid_until) - Date.parse(mood.as_of)) / 1000;
  return { status, ended, fresh: status === "ok" && ageS <= Math.min(validS + 1, display.stale_after_s) };
}

const SAID = {
  none: "There is no mood yet: no camera has delivered frames for long enough.",
  insufficient: "Too few readable people for a mood. Boards show the default.",
  stale: "Stale: no new mood arrives. Boards show the default.",
};

function showMood() {
  if (!state.display) {
    banner(state.why);
    return;
  }
  const { mood, display } = state;
  const { status, ended, fresh } = current();
  byId("connection").textContent = state.connected ? "Connected" : "Not connected";
  const lost = state.connected || !state.why ? "" : `${state.why} Reconnecting.`;
  let said = SAID[status];
  if (status === "overridden")
    said = `Overridden: an operator makes boards show ${shown(mood.override)} until ${local(mood.override.until)}.`;
  else if (status === "stale" && mood?.as_of)
    said = `Stale: no new mood since ${new Date(state.publishedAt).toLocaleTimeString("en", { hour12: false })}. Boards show the default.`;
  banner([lost, said].filter(Boolean).join(" "));
  const usable = status === "ok" && mood.dominant;
  const label = byId("mood-label");
  set(label, usable ? mood.dominant : status === "none" ? "no mood yet" : status);
  label.style.borderBottom = usable ? `.12em solid ${display.colours[mood.dominant] ?? "currentColor"}` : "";
  const named = usable && knows(mood, mood.dominant);
  set(byId("mood-interval"), named ? `${shareOf(mood, mood.dominant)} of readable people` : "");
  set(byId("mood-status"), `status: ${status}${ended ? ", the footage has ended" : ""}`);
  set(byId("mood-people"), usable ? String(mood.people) : "–");
  set(byId("mood-readable"), usable ? String(mood.readable ?? UNKNOWN) : "–");
  set(byId("mood-valence"), usable ? figureOf(mood, "valence") : "–");
  set(byId("mood-energy"), usable ? figureOf(mood, "energy") : "–");
  set(byId("mood-fit"), usable ? fitOf(mood) : "–");
  byId("mood-fit-note").hidden = !(usable && fitsPoorly(mood));
  set(byId("mood-time"), mood?.as_of ? clock(mood.as_of) : "–");
  for (const item of byId("bars").children) fill(item, usable ? mood : null);
  const overridden = status === "overridden" ? creativeOf(mood.override) : null;
  const creative = overridden ?? (fresh && mood.dominant in display.creatives ? display.creatives[mood.dominant] : null);
  set(byId("creative"), creative ?? display.default_creative);
  set(byId("stop"), status === "overridden" ? "Boards are stopped: change or end…" : "Stop the boards…");
  set(
    byId("creative-why"),
    creative !== null
      ? overridden !== null
        ? "by an override"
        : `for ${mood.dominant}`
      : fresh
        ? `the default: no creative is set for ${mood.dominant}`
        : `the default: ${status === "ok" ? "the mood is no longer valid" : `the mood is ${status === "none" ? "not known" : status}`}`,
  );
}

/** Write a text only if it has changed, because screen readers would announce it again. */
function set(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function banner(text) {
  const place = byId("banner");
  set(place, text);
  place.hidden = !text;
}

/** Create a list item for a label's share with its interval. */
export function bar(label, display) {
  const share = el("span.share");
  share.style.background = display.colours[label];
  return el(
    "li",
    { "data-label": label },
    labelled(label, display.colours[label]),
    el("span.track", {}, share, el("span.interval")),
    el("span.figure", {}, "–"),
  );
}

/** Show a mood in an item of `bar`; null: its figures are withheld. */
export function fill(item, mood) {
  const label = item.dataset.label;
  const known = mood !== null && knows(mood, label);
  const [share, interval] = item.querySelector(".track").children;
  share.style.width = known ? `${mood.shares[label] * 100}%` : "0";
  interval.hidden = !known;
  if (known) {
    interval.style.left = `${mood.low[label] * 100}%`;
    interval.style.width = `${(mood.high[label] - mood.low[label]) * 100}%`;
  }
  set(item.querySelector(".figure"), mood ? shareOf(mood, label) : "–");
}

/** Draw the charts; data that arrive during a drawing are drawn afterwards. */
export async function redraw() {
  if (!visible || drawing || !state.moods.length) return;
  drawing = true;
  try {
    const moods = state.moods;
    await stacked(byId("stack"), moods, state.display, { changes: state.changes });
    if (byId("each").open) await intervals(byId("panels"), moods, state.display);
    say(byId("chart-said"), "");
    if (moods !== state.moods) setTimeout(redraw);
  } catch (error) {
    say(byId("chart-said"), error.message, true);
  } finally {
    drawing = false;
  }
}

async function showScopes() {
  const { display } = state;
  try {
    const known = await get("cameras");
    const scopes = [
      ...Object.keys(display.zones).map((zone) => ({ name: zone, query: `zone=${encodeURIComponent(zone)}` })),
      ...known.map((camera) => ({ name: `camera ${camera.id}`, query: `camera=${encodeURIComponent(camera.id)}` })),
    ];
    const moods = await Promise.all(scopes.map(({ query }) => get(`mood?${query}`).catch(() => null)));
    byId("scopes").replaceChildren(...scopes.map(({ name }, place) => tile(name, moods[place])));
  } catch {
    // The banner of the stream reports the error; until then the last figures stay.
  }
}

function tile(name, mood) {
  const { display } = state;
  const usable = mood?.status === "ok";
  const strip = el("div.strip", { "aria-hidden": "true" });
  for (const label of usable ? display.stacked.filter((name) => knows(mood, name)) : []) {
    const part = el("i");
    part.style.width = `${mood.shares[label] * 100}%`;
    part.style.background = display.colours[label];
    strip.append(part);
  }
  const leads = usable ? labelled(mood.dominant, display.colours[mood.dominant]) : (mood?.status ?? "unknown");
  return el(
    "article.scope",
    {},
    el("h3", {}, name),
    leads,
    strip,
    el("span.faint", {}, usable ? countsOf(mood) : "figures are withheld"),
    usable && fitsPoorly(mood) ? el("span.low", {}, `fit ${fitOf(mood)}`) : "",
  );
}

/** Return the number of people seen and of readable people as text. */
const countsOf = ({ people, readable }) =>
  readable == null ? `${people} people` : `${people} people, ${readable} readable`;

function showChanges() {
  const { display, changes } = state;
  byId("no-changes").hidden = changes.length > 0;
  byId("changes").replaceChildren(
    ...changes.map((change) => {
      const to = change.to;
      const share = knows(change, to) ? shareOf(change, to) : "–";
      return row(
        change.sequence,
        clock(change.as_of),
        change.from ? labelled(change.from, display.colours[change.from]) : "–",
        labelled(to, display.colours[to]),
        share,
        change.people,
        change.readable ?? "–",
      );
    }),
  );
}
