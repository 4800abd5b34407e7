// The cameras view: the state, the speed and the dropped frames of each camera.

import { get } from "./api.js";
import { byId, clock, count, el, isRecorded, say, span } from "./dom.js";
import * as preview from "./preview.js";

const EVERY_MS = 1000;
const OVER_MS = 5000;

let timer = 0;
let display = null;
const seen = new Map();

export function show(given) {
  display = given;
  clearInterval(timer);
  timer = setInterval(refresh, EVERY_MS);
  refresh();
}

export function hide() {
  clearInterval(timer);
  preview.close();
}

async function refresh() {
  const place = byId("cameras-said");
  try {
    const found = await get("cameras");
    say(place, found.length ? "" : "No camera has delivered frames yet.");
    found.forEach(note);
    const rows = byId("camera-rows");
    const had = document.activeElement?.dataset?.camera;
    rows.replaceChildren(...found.map(line));
    if (had) rows.querySelector(`[data-camera="${CSS.escape(had)}"]`)?.focus();
  } catch (error) {
    say(place, error.message, true);
  }
}

/** Keep a camera's counters for the time over which speeds are measured. */
function note(camera) {
  const now = performance.now();
  const before = (seen.get(camera.id) ?? []).filter(
    (one) => one.run === camera.run_id && now - one.at <= OVER_MS && one.frames <= camera.frames,
  );
  seen.set(camera.id, [...before, { at: now, run: camera.run_id, frames: camera.frames, faces: camera.faces }]);
}

function speed(camera, name) {
  const noted = seen.get(camera.id);
  const [first, last] = [noted[0], noted.at(-1)];
  return last.at - first.at < EVERY_MS / 2
    ? "–"
    : (((last[name] - first[name]) * 1000) / (last.at - first.at)).toFixed(1);
}

function line(camera) {
  const state = el("span.state", {}, camera.state);
  state.classList.add(camera.state);
  const dropped = Object.entries(camera.lost).map(
    ([reason, frames]) => `${count(frames)} ${reason.replaceAll("_", " ")}`,
  );
  if (camera.late) dropped.push(`${count(camera.late)} late`);
  const cells = [
    [state, camera.detail ? el("div.faint", {}, camera.detail) : ""],
    [age(camera)],
    [speed(camera, "frames")],
    [speed(camera, "faces")],
    [dropped.join(", ") || "none"],
    [camera.detector ?? "–"],
    [camera.model ?? "–"],
    [opener(camera)],
  ];
  const made = cells.map((children, place) => el(place === 2 || place === 3 ? "td.number" : "td", {}, ...children));
  return el("tr", {}, el("th", { scope: "row" }, camera.id), ...made);
}

function age(camera) {
  if (!camera.last_frame_at) return "none yet";
  const at = Date.parse(camera.last_frame_at);
  return isRecorded(at) || camera.recorded
    ? `at ${clock(camera.last_frame_at)} of the footage`
    : `${span((Date.now() - at) / 1000)} ago`;
}

function opener(camera) {
  if (display.preview === "off") return el("span.faint", {}, "off");
  const button = el(
    "button",
    { type: "button", "data-camera": camera.id, "aria-label": `Preview of ${camera.id}` },
    "Preview…",
  );
  button.addEventListener("click", () => preview.open(camera.id));
  return button;
}
