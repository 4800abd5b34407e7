// The stop button: what boards show for some time, whatever the crowd shows.

import { get, send } from "./api.js";
import { action, attempt, byId, el, say } from "./dom.js";

const MINUTE_MS = 60_000;

export function begin(display) {
  const creatives = [...new Set([...Object.values(display.creatives), display.default_creative])];
  byId("override-zone").append(...Object.keys(display.zones).map((zone) => el("option", {}, zone)));
  byId("override-show").append(
    el("option", { value: "default" }, "each board's default"),
    ...creatives.map((name) => el("option", { value: name }, `creative: ${name}`)),
  );
  byId("stop").addEventListener("click", open);
  byId("override-form").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(event.submitter, set, byId("override-said"));
  });
}

function open() {
  byId("override-start").value = "";
  say(byId("override-said"), "");
  byId("override").showModal();
  list();
}

async function set() {
  const form = new FormData(byId("override-form"));
  const start = form.get("start") ? new Date(form.get("start")) : null;
  const until = new Date((start?.getTime() ?? Date.now()) + Number(form.get("minutes")) * MINUTE_MS);
  await send("PUT", "override", {
    zone: form.get("zone"),
    show: form.get("show"),
    from: start?.toISOString() ?? null,
    until: until.toISOString(),
    why: form.get("why"),
  });
  byId("override-start").value = "";
  await list();
}

async function list() {
  const place = byId("override-list");
  try {
    const found = await get("overrides");
    place.replaceChildren(...found.map(line));
    byId("override-none").hidden = found.length > 0;
  } catch (error) {
    place.replaceChildren();
    byId("override-none").hidden = true;
    say(byId("override-said"), error.message, true);
  }
}

function line(one) {
  const [from, until] = [one.from, one.until].map(local);
  const when = one.in_force ? `in force until ${until}` : `scheduled from ${from} until ${until}`;
  const by = one.set_by === null ? "" : `, set by ${one.set_by}`;
  const end = action(one.in_force ? "End now" : "Cancel", () => clear(one), byId("override-said"));
  end.setAttribute("aria-label", `${end.textContent}: ${one.id}`);
  return el("li", {}, el("strong", {}, one.zone), ` boards show ${shown(one)}, ${when}: ${one.why}${by} `, end);
}

async function clear(one) {
  await send("DELETE", `override?id=${encodeURIComponent(one.id)}`);
  await list();
}

/** Return the creative that an override makes boards show; null: each board's default. */
export const creativeOf = ({ show }) => (show === "default" ? null : show);

/** Return what an override makes boards show, for people. */
export const shown = (override) => creativeOf(override) ?? "their default";

/** Return an RFC 3339 time in the time zone of this machine. */
export const local = (text) => new Date(text).toLocaleString("en", { hour12: false });
