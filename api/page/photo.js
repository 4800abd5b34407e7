// The photo view: classifies a file, or frames of this device's camera, with /predict and draws the faces.

import { get } from "./api.js";
import { byId, count, el, labelled, percent, row, say, UNKNOWN } from "./dom.js";

const LONGEST_SIDE_PX = 1280;
const PAUSE_MS = 250;
const UNREADABLE_COLOUR = "#FFFFFF";

let display = null;
let asked = null; // the newest request for the camera until it is stopped, also while the browser asks for permission
let stream = null;
let ready = false;

export function show(given) {
  display = given;
  byId("photo-off").hidden = display.photos.on;
  byId("drop").hidden = !display.photos.on;
  if (ready) return;
  ready = true;
  byId("face-heads").append(
    ...["Face", "Shows", ...display.stacked.toReversed(), "Readable", "Quality"].map((name) => el("th", { scope: "col" }, name)),
  );
  byId("file").addEventListener("change", () => classifyFile(byId("file").files[0]));
  byId("webcam").addEventListener("click", () => (asked ? stop() : watch()));
  const drop = byId("drop");
  for (const [type, over] of [
    ["dragover", true],
    ["dragleave", false],
    ["drop", false],
  ]) {
    drop.addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", over);
    });
  }
  drop.addEventListener("drop", (event) => classifyFile(event.dataTransfer.files[0]));
}

export function hide() {
  stop();
}

async function classifyFile(file) {
  if (!file) return;
  stop();
  say(byId("photo-said"), "Classifying…");
  try {
    const [body, picture] = await withinLimits(file);
    const found = await get("predict", { method: "POST", body });
    draw(picture ?? (await bitmapOf(file)), found);
  } catch (error) {
    byId("photo-stage").hidden = true;
    byId("faces").replaceChildren();
    say(
      byId("photo-said"),
      error instanceof DOMException ? "This browser cannot show this image format." : error.message,
      true,
    );
  }
}

/** Decode a file to an upright image, because boxes refer to the upright image. */
const bitmapOf = (file) => createImageBitmap(file, { imageOrientation: "from-image" });

/** Return the file to send, made smaller if it has too many pixels, and its image. */
async function withinLimits(file) {
  const whole = await bitmapOf(file).catch(() => null); // the server reports what is wrong with it
  const scale = whole ? Math.sqrt((display.photos.megapixels * 1e6) / (whole.width * whole.height)) : 1;
  if (scale >= 1) return [file, whole];
  const smaller = document.createElement("canvas");
  smaller.width = Math.floor(whole.width * scale);
  smaller.height = Math.floor(whole.height * scale);
  smaller.getContext("2d").drawImage(whole, 0, 0, smaller.width, smaller.height);
  return [await jpegOf(smaller), smaller];
}

const jpegOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));

async function watch() {
  if (!navigator.mediaDevices) {
    say(byId("photo-said"), "Browsers allow camera access only on localhost or over https.", true);
    return;
  }
  const mine = (asked = {});
  byId("webcam").textContent = "Stop the camera";
  const video = byId("webcam-video");
  try {
    const given = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: LONGEST_SIDE_PX } } });
    if (asked !== mine) {
      end(given);
      return;
    }
    video.srcObject = stream = given;
    await video.play();
  } catch {
    if (asked === mine) {
      stop();
      say(byId("photo-said"), "The browser did not allow access to its camera.", true);
    }
    return;
  }
  const frame = document.createElement("canvas");
  while (asked === mine) {
    const scale = Math.min(1, LONGEST_SIDE_PX / Math.max(video.videoWidth, video.videoHeight));
    frame.width = Math.round(video.videoWidth * scale);
    frame.height = Math.round(video.videoHeight * scale);
    frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
    const body = await jpegOf(frame);
    const begun = performance.now();
    try {
      const found = await get("predict", { method: "POST", body });
      if (asked === mine) draw(frame, found);
    } catch (error) {
      if (asked === mine) say(byId("photo-said"), error.message, true);
    }
    const pause = Math.max(PAUSE_MS, 60_000 / display.photos.per_minute - (performance.now() - begun));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function stop() {
  asked = null;
  if (stream) end(stream);
  stream = null;
  byId("webcam-video").srcObject = null;
  byId("webcam").textContent = "Use this device's camera";
}

function end(given) {
  for (const track of given.getTracks()) track.stop();
}

function draw(picture, found) {
  const canvas = byId("photo-canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const brush = canvas.getContext("2d");
  brush.drawImage(picture, 0, 0);
  const thick = Math.max(2, Math.round(picture.width / 400));
  brush.lineWidth = thick;
  brush.font = `600 ${thick * 7}px system-ui, sans-serif`;
  found.faces.forEach((face, place) => {
    const [left, top, right, bottom] = face.box;
    brush.strokeStyle = brush.fillStyle = display.colours[face.label] ?? UNREADABLE_COLOUR;
    brush.strokeRect(left, top, right - left, bottom - top);
    const text = `${place + 1} ${face.label}`;
    brush.fillRect(left - thick / 2, top - thick * 9, brush.measureText(text).width + thick * 4, thick * 9);
    brush.fillStyle = inkOn(display.colours[face.label] ?? UNREADABLE_COLOUR);
    brush.fillText(text, left + thick, top - thick * 2.5);
  });
  byId("photo-stage").hidden = false;
  byId("faces").replaceChildren(...found.faces.map(line));
  const faces = found.faces.length;
  say(
    byId("photo-said"),
    `${count(faces)} ${faces === 1 ? "face" : "faces"} found by ${found.detector ?? "the detector"}${found.model ? `, classified by ${found.model}` : ""}.`,
  );
}

/** Return black or white, whichever is easier to read on a colour, `#RRGGBB`. */
function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 110 ? "#000" : "#fff";
}

function line(face, place) {
  const of = (label) => (face.probabilities[label] == null ? UNKNOWN : percent(face.probabilities[label]));
  return row(
    place + 1,
    labelled(face.label, display.colours[face.label]),
    ...display.stacked.toReversed().map(of),
    percent(face.readable),
    face.quality.toFixed(2),
  );
}
