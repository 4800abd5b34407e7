// A camera's preview and its regions: polygons drawn with the mouse, a finger or the keyboard.

import { ask } from "./api.js";
import { action, byId, el, say } from "./dom.js";

const PAUSE_MS = 1000;
const STEP = 0.02;
const NAMES = { include: "search region", mask: "mask" };

let camera = null;
let image = null;
let svg = null;
let regions = { include: [], mask: [] };
let floor = { include: [], mask: [] }; // regions of the settings: no request can change them
let version = ""; // version of the regions on the page
let draft = null; // {kind, corners} while a polygon is drawn
let cross = [0.5, 0.5];

export async function open(id) {
  camera = id;
  draft = null;
  regions = { include: [], mask: [] };
  floor = regions;
  image = el("img", { alt: `Newest frame of ${id}, with a box around each face that was found`, hidden: true });
  svg = shape("svg", {
    viewBox: "0 0 1 1",
    preserveAspectRatio: "none",
    tabindex: "0",
    role: "application",
    "aria-label":
      "Drawing area. Arrow keys move the cross, Enter sets a corner, F finishes the polygon, Escape cancels it.",
  });
  svg.addEventListener("pointerdown", (event) => {
    const area = svg.getBoundingClientRect();
    corner((event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height);
  });
  svg.addEventListener("keydown", keyed);
  byId("preview-head").textContent = `Preview of ${id}`;
  byId("preview-stage").replaceChildren(image, svg);
  byId("preview-tools").replaceChildren();
  say(byId("preview-said"), "Waiting for the next frame…");
  byId("preview").showModal();
  byId("preview").addEventListener("close", close, { once: true });
  refresh(id);
  try {
    await known(id);
  } catch (error) {
    if (camera === id) say(byId("preview-said"), error.message, true);
  }
}

export function close() {
  camera = null;
  forget();
  if (byId("preview").open) byId("preview").close();
}

function forget() {
  if (image?.src) URL.revokeObjectURL(image.src);
}

/** Request one image after the other while the dialog is open. */
async function refresh(id) {
  const mine = image;
  while (camera && image === mine) {
    try {
      const picture = await (await ask(`cameras/${encodeURIComponent(id)}/preview`, { cache: "no-store" })).blob();
      if (!camera || image !== mine) return;
      forget();
      image.src = URL.createObjectURL(picture);
      image.hidden = false;
      if (!draft) say(byId("preview-said"), "");
    } catch (error) {
      if (camera && image === mine) say(byId("preview-said"), error.message, true);
      if (error.status === 401 || error.status === 403) return;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/** Read a camera's regions and show them, unless another camera was opened in the meantime. */
async function known(id) {
  const response = await ask(`cameras/${encodeURIComponent(id)}/regions`, { cache: "no-store" });
  const { include, mask, saved, floor: fixed } = await response.json();
  if (camera !== id) return;
  regions = { include, mask };
  floor = fixed;
  version = response.headers.get("ETag");
  const always = fixed.include.length + fixed.mask.length ? " The regions of the settings always apply." : "";
  tools((saved ? "These regions are saved." : "No regions are saved.") + always);
}

/** Change the regions, unless they have changed since they were read. */
async function change(method, path, json) {
  try {
    await ask(path, { method, json, headers: { "If-Match": version } });
  } catch (error) {
    if (error.status !== 412) throw error;
    throw new Error("These regions have changed since you opened the preview. Close it and open it again.");
  }
}

function tools(text) {
  const said = byId("preview-said");
  const id = camera;
  const path = `cameras/${encodeURIComponent(id)}/regions`;
  const removers = Object.keys(NAMES).flatMap((kind) =>
    regions[kind].map((_, place) =>
      action(
        `Remove ${NAMES[kind]} ${place + 1}`,
        async () => {
          regions[kind].splice(place, 1);
          tools("Not saved yet.");
        },
        said,
      ),
    ),
  );
  const buttons = draft
    ? [action("Finish", finish, said), action("Cancel", cancel, said)]
    : [
        action("Draw a search region", () => begin("include"), said),
        action("Draw a mask", () => begin("mask"), said),
        ...removers,
        action(
          "Save",
          async () => {
            await change("PUT", path, regions);
            await known(id);
            return "Saved: detectors apply the regions within 1 s.";
          },
          said,
        ),
        action(
          "Use the regions of the settings",
          async () => {
            await change("DELETE", path);
            await known(id);
          },
          said,
        ),
      ];
  byId("preview-tools").replaceChildren(el("p.faint", {}, text), ...buttons);
  paint();
}

async function begin(kind) {
  draft = { kind, corners: [] };
  tools("Set at least three corners along the border.");
  svg.focus();
}

async function cancel() {
  draft = null;
  tools("");
}

async function finish() {
  if (draft.corners.length < 3) throw new Error("A polygon needs at least three corners.");
  regions[draft.kind].push(draft.corners);
  draft = null;
  tools("Not saved yet.");
}

function corner(x, y) {
  if (!draft) return;
  const inside = (share) => Math.round(Math.min(1, Math.max(0, share)) * 1e4) / 1e4;
  draft.corners.push([inside(x), inside(y)]);
  paint();
}

function keyed(event) {
  const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  if (!draft) return;
  if (event.key in moves) cross = cross.map((share, axis) => Math.min(1, Math.max(0, share + moves[event.key][axis])));
  else if (event.key === "Enter") corner(...cross);
  else if (event.key === "f" || event.key === "F")
    finish().catch((error) => say(byId("preview-said"), error.message, true));
  else if (event.key === "Escape") cancel();
  else return;
  event.preventDefault();
  event.stopPropagation();
  paint();
}

function paint() {
  const drawn = Object.keys(NAMES).flatMap((kind) => [
    ...floor[kind].map((corners) => shape("polygon", { class: `${kind} fixed`, points: corners.join(" ") })),
    ...regions[kind].map((corners) => shape("polygon", { class: kind, points: corners.join(" ") })),
  ]);
  if (draft) {
    drawn.push(shape("polyline", { class: `${draft.kind} draft`, points: draft.corners.join(" ") }));
    const [x, y] = cross;
    drawn.push(
      shape("polyline", { class: draft.kind, points: `${x - STEP},${y} ${x + STEP},${y}` }),
      shape("polyline", { class: draft.kind, points: `${x},${y - STEP} ${x},${y + STEP}` }),
    );
  }
  svg.classList.toggle("drawing", Boolean(draft));
  svg.replaceChildren(...drawn);
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}
