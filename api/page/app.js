// Starts the page: the view, the key, the theme, and the stream of moods.

import { follow, get, key, onRefused } from "./api.js";
import { byId } from "./dom.js";
import * as cameras from "./cameras.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as override from "./override.js";
import * as photo from "./photo.js";
import * as replay from "./replay.js";
import * as webhooks from "./webhooks.js";

const VIEWS = { live, cameras, photo, replay, webhooks, keys };
let display = null;
let shown = null;
let stream = null;
let declined = false;

/** Show the view that the URL names, and hide the previous one. */
function route(moveFocus) {
  const wanted = location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "live";
  for (const name of Object.keys(VIEWS)) byId(name).hidden = name !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown !== wanted) VIEWS[shown]?.hide?.();
  shown = wanted;
  if (moveFocus) byId(wanted).focus();
  if (display) VIEWS[wanted].show?.(display);
}

/** Request the display settings until the server responds. */
async function learn() {
  for (;;) {
    try {
      display = await get("display");
      return;
    } catch (error) {
      live.disconnected(error.message);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/** Ask for a key. If the server required it (`why`), do not ask again after the user has declined. */
function keyDialog(why) {
  const dialog = byId("key-dialog");
  if (dialog.open || (why && declined)) return;
  byId("key-why").textContent = `${why} The key stays in this tab and is sent in a header.`.trim();
  byId("key-text").value = "";
  dialog.returnValue = "";
  dialog.showModal();
}

function keyGiven() {
  const { returnValue } = byId("key-dialog");
  const text = byId("key-text").value.trim();
  byId("key-text").value = "";
  declined = returnValue !== "use";
  if (returnValue === "use" && text) key.set(text);
  else if (returnValue === "forget") key.set("");
  else return;
  stream?.again();
  route(false);
}

function start() {
  const theme = byId("theme");
  const paint = () => {
    document.documentElement.style.colorScheme = theme.value;
    live.redraw();
  };
  theme.value = localStorage.getItem("crowdmood.theme") ?? "light dark";
  theme.addEventListener("change", () => {
    localStorage.setItem("crowdmood.theme", theme.value);
    paint();
  });
  paint();
  byId("key-button").addEventListener("click", () => keyDialog(""));
  byId("key-dialog").addEventListener("close", keyGiven);
  onRefused((refused) => keyDialog(`${refused.message}.`));
}

start();
window.addEventListener("hashchange", () => route(true));
route(false);
await learn();
override.begin(display);
await live.begin(display);
stream = follow(live.take, live.connection);
route(false);
