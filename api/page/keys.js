// The keys view: lists, creates and revokes keys. A key is shown once, when it is created.

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
        : "There is no key yet: this machine has full access, and no other machine has any. Once the first key exists, every request needs a key. Give the first key the scope manage.",
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
  if (!confirm(`Revoke the key of ${one.name}? Requests with it will be refused.`)) return;
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
  // The first key closes an open API, so this page uses the new key.
  if (!key.get() && made.scopes.includes("manage")) key.set(made.key);
  form.reset();
  byId("key-made").replaceChildren(`The key of ${made.name}, shown only once: `, el("span.secret", {}, made.key));
  await list();
}
