// Small tools for the page: elements, numbers and times. Whatever comes from outside becomes text, never markup.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * An element.
 *
 * @param {string} tag Its name, with classes after dots: "p.faint".
 * @param {object} properties Properties and handlers; names with a dash are set as attributes.
 * @param {...(Node|string|number)} children What it holds; strings become text.
 */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [property, value] of Object.entries(properties)) {
    if (property.includes("-") || property === "role" || property === "scope") made.setAttribute(property, value);
    else made[property] = value;
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** A row of a table: the first cell is its head; cells are nodes or text, numbers stand to the right. */
export function row(head, ...cells) {
  const made = cells.map((cell) =>
    el(typeof cell === "number" ? "td.number" : "td", {}, typeof cell === "number" ? count(cell) : cell),
  );
  return el("tr", {}, el("th", { scope: "row" }, head), ...made);
}

/** A coloured square with a label's name. */
export function labelled(name, colour) {
  const dot = el("span.dot", { "aria-hidden": "true" });
  if (colour) dot.style.background = colour;
  return el("span.label", {}, dot, name);
}

/** A button that cannot be pressed again while what it began goes on; errors are written into `said`. */
export function action(name, run, said) {
  const button = el("button", { type: "button" }, name);
  button.addEventListener("click", () => attempt(button, run, said));
  return button;
}

/** Run something with a button disabled, and write the outcome into `said`. */
export async function attempt(button, run, said) {
  button.disabled = true;
  say(said, "");
  try {
    say(said, (await run()) ?? "");
  } catch (error) {
    say(said, error.message, true);
  } finally {
    button.disabled = false;
  }
}

/** Write into a place that screen readers read out. */
export function say(place, text, wrong = false) {
  place.textContent = text;
  place.classList.toggle("wrong", wrong);
}

/** Give the browser a file to save. */
export function save(name, blob) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const percent = (share) => `${Math.round(share * 100)} %`;

/** Stands for a figure that the network, or an earlier release that stored the mood, does not know. */
export const UNKNOWN = "not known";

/** Whether a mood, or a change, has the share of this label: null where the network does not know the label. */
export const knows = ({ shares }, label) => shares?.[label] != null;

/** A label's share of a mood, or of a change, with its interval. */
export function shareOf(of, label) {
  if (!knows(of, label)) return UNKNOWN;
  const { shares, low, high } = of;
  return `${percent(shares[label])} (${Math.round(low[label] * 100)}–${percent(high[label])})`;
}

/** A figure of a mood with its 90 % interval: its valence, or its energy. */
export function figureOf(mood, name) {
  const [middle, low, high] = ["", "_low", "_high"].map((end) => mood[`${name}${end}`]);
  return middle == null ? UNKNOWN : `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

const LOW_FIT = 0.5;

/** Whether a mood's fit is low enough to be pointed out to operators. */
export const fitsPoorly = (mood) => mood.fit != null && mood.fit < LOW_FIT;

/** A mood's fit; null of methods without a correction. */
export const fitOf = ({ fit }) => (fit == null ? "none" : fit.toFixed(2));

export const count = (number) => number.toLocaleString("en");

/** RFC 3339 text as the time of day; recorded footage, which counts from 1970, as match time. */
export function clock(text) {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) return "–";
  if (!isRecorded(ms)) return new Date(ms).toLocaleTimeString("en", { hour12: false });
  const s = Math.floor(ms / 1000);
  return `${String(Math.floor(s / 60)).padStart(2, "0")}:${String(s % 60).padStart(2, "0")}`;
}

/** Whether an event time is of recorded footage, which counts from 1970-01-01. */
export const isRecorded = (ms) => ms < 365 * 86_400_000;

/** Seconds in words for people. */
export function span(s) {
  if (s < 90) return `${Math.max(0, Math.round(s))} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}
