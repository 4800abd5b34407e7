// Who may use the API: keys are listed, made and revoked. A key is shown once, when it is made.

import { get, key, send } from "./api.js";
import { action, attempt, byId, el, row, say } from "./dom.js";

let ready = false;

export function show() {
  if (!ready) {
    ready = true;
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(event.submitter, make, byId("keys-said"));
    });
  }
  list();
}

export function hide() {
  byId("key-made").replaceChildren();
}

async function list() {
  try {
    const found = await get("keys");
    byId("key-rows").replaceChildren(...found.map(line));
    say(
      byId("keys-said"),
      found.length
        ? ""
        : "There is no key yet: only this machine can ask, and may do everything. From the first key on everybody needs one: let it manage.",
    );
  } catch (error) {
    byId("key-rows").replaceChildren();
    say(byId("keys-said"), error.message, true);
  }
}

function line(one) {
  const state = el("span.state", {}, one.state);
  state.classList.add(one.state);
  const revoke = one.state === "active" ? action("Revoke", () => revoked(one), byId("keys-said")) : "";
  if (revoke) revoke.setAttribute("aria-label", `Revoke ${one.name}`);
  return row(one.name, one.id, one.scopes.join(", "), state, one.created_at, one.expires_at ?? "never", revoke);
}

async function revoked(one) {
  if (!confirm(`Revoke the key of ${one.name}? Whoever uses it is refused from then on.`)) return;
  await send("DELETE", `keys/${one.id}`);
  await list();
}

async function make() {
  const form = byId("key-form");
  const data = new FormData(form);
  const given = Object.fromEntries(data);
  const made = await send("POST", "keys", {
    name: given.name,
    scopes: data.getAll("scopes"),
    days: given.days ? Number(given.days) : null,
  });
  // The first key shuts an API that was open: this page goes on with it.
  if (!key.get() && made.scopes.includes("manage")) key.set(made.key);
  form.reset();
  byId("key-made").replaceChildren(`The key of ${made.name}, shown this once: `, el("span.secret", {}, made.key));
  await list();
}
