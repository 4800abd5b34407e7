// The webhooks view: lists, registers and tests webhooks, and sends failed deliveries again.

import { get, send } from "./api.js";
import { action, attempt, byId, el, row, say } from "./dom.js";

const EVENTS = ["mood.changed", "mood.unavailable", "mood.updated", "camera.down", "camera.up"];
const ADAPTERS = { standard: "standard", xibo: "Xibo players", broadsign: "Broadsign", text: "plain text" };
const REFRESH_EVERY_MS = 2000;

let timer = 0;
let ready = false;
const open = new Set();

export function show(display) {
  if (!ready) {
    ready = true;
    const tick = (name, on) =>
      el("label", {}, el("input", { type: "checkbox", value: name, defaultChecked: on }), name);
    byId("webhook-events").append(...EVENTS.map((name, place) => tick(name, place < 2)));
    byId("webhook-zones").append(...Object.keys(display.zones).map((name) => tick(name, false)));
    byId("webhook-form").elements.adapter.append(
      ...Object.entries(ADAPTERS).map(([value, name]) => el("option", { value }, name)),
    );
    byId("webhook-form").addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(event.submitter, register, byId("webhooks-said"));
    });
  }
  clearInterval(timer);
  timer = setInterval(() => document.activeElement?.closest("#webhook-list") || list(), REFRESH_EVERY_MS);
  list();
}

export function hide() {
  clearInterval(timer);
  byId("webhook-made").replaceChildren();
}

const ticked = (place) => [...byId(place).querySelectorAll("input:checked")].map((box) => box.value);

async function register() {
  const form = byId("webhook-form");
  const { url, adapter, min_confidence, min_interval_s, description } = Object.fromEntries(new FormData(form));
  const given = {
    url,
    events: ticked("webhook-events"),
    zones: ticked("webhook-zones"),
    adapter: { name: adapter },
    min_confidence: Number(min_confidence),
    description,
  };
  if (min_interval_s) given.min_interval_s = Number(min_interval_s);
  const made = await send("POST", "webhooks", given);
  form.reset();
  byId("webhook-made").replaceChildren("The webhook's signing secret, shown only once: ", el("span.secret", {}, made.secret));
  await list();
}

async function list() {
  try {
    const found = await get("webhooks");
    const cards = await Promise.all(found.map(card));
    byId("webhook-list").replaceChildren(...cards);
    if (!found.length) byId("webhook-list").append(el("p.faint", {}, "No webhook is registered yet."));
    if (byId("webhooks-said").classList.contains("wrong")) return;
    say(byId("webhooks-said"), "");
  } catch (error) {
    say(byId("webhooks-said"), error.message, true);
  }
}

async function card(hook) {
  const state = el("span.state", {}, hook.status);
  state.classList.add(hook.status);
  const said = byId("webhooks-said");
  const path = `webhooks/${hook.id}`;
  const then = (run) => async () => {
    await run();
    await list();
  };
  const deliveries = el("details", { open: open.has(hook.id) }, el("summary", {}, "Deliveries"));
  deliveries.addEventListener("toggle", () => {
    if (deliveries.open === open.has(hook.id)) return;
    if (deliveries.open) open.add(hook.id);
    else open.delete(hook.id);
    list();
  });
  if (open.has(hook.id)) deliveries.append(await sent(path, then, said));
  const tools = el(
    "div.buttons",
    {},
    action(
      "Send a test",
      then(() => send("POST", `${path}/test`)),
      said,
    ),
    action(
      "Resend failed deliveries",
      then(() => send("POST", `${path}/redeliver`, {})),
      said,
    ),
    hook.status === "disabled"
      ? action(
          "Enable",
          then(() => send("PATCH", path, { enabled: true })),
          said,
        )
      : action(
          "Disable",
          then(() => send("PATCH", path, { enabled: false })),
          said,
        ),
    action(
      "Delete",
      async () => {
        if (!confirm(`Delete the webhook to ${hook.url}?`)) return;
        await then(() => send("DELETE", path))();
      },
      said,
    ),
  );
  const trouble = hook.disabled_reason ?? hook.last_error;
  return el(
    "article.card",
    {},
    el("h2", {}, hook.url),
    el(
      "p",
      {},
      state,
      ` · ${hook.events.join(", ")} · ${hook.zones.join(", ") || "every zone"} · ${hook.adapter.name}${hook.description ? ` · ${hook.description}` : ""}`,
    ),
    trouble ? el("p.wrong", {}, trouble) : "",
    tools,
    deliveries,
  );
}

async function sent(path, then, said) {
  const { deliveries } = await get(`${path}/deliveries?limit=20`);
  if (!deliveries.length) return el("p.faint", {}, "No deliveries yet.");
  const lines = deliveries.map((one) => {
    const state = el("span.state", {}, one.status);
    state.classList.add(one.status);
    const last = one.attempts.at(-1);
    const came = last ? (last.error ?? `HTTP ${last.status_code}, ${last.duration_ms} ms`) : "no attempt yet";
    const again = action(
      "Send again",
      then(() => send("POST", `${path}/deliveries/${encodeURIComponent(one.id)}/redeliver`)),
      said,
    );
    again.setAttribute("aria-label", `Send ${one.type} of ${one.created_at} again`);
    return row(one.created_at, one.type, state, one.attempts.length, came, again);
  });
  const heads = ["At", "Event", "Status", "Attempts", "Newest attempt"].map((name) => el("th", { scope: "col" }, name));
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads, el("td"))), el("tbody", {}, ...lines));
  return el("div.wide", { tabIndex: 0, role: "region", "aria-label": "Deliveries" }, table);
}
