// Helpers of the page: elements, numbers and times. Data from outside become text, never markup.

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * Create an element.
 *
 * @param {string} tag Name of the element, with classes after dots: "p.faint".
 * @param {object} properties Properties and handlers; names with a dash are set as attributes.
 * @param {...(Node|string|number)} children Children of the element; strings become text.
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

/** Create a row of a table: the first cell is its heading; cells are nodes or text, numbers are right-aligned. */
export function row(head, ...cells) {
  const made = cells.map((cell) =>
    el(typeof cell === "number" ? "td.number" : "td", {}, typeof cell === "number" ? count(cell) : cell),
  );
  return el("tr", {}, el("th", { scope: "row" }, head), ...made);
}

/** Create a coloured square with a label's name. */
export function labelled(name, colour) {
  const dot = el("span.dot", { "aria-hidden": "true" });
  if (colour) dot.style.background = colour;
  return el("span.label", {}, dot, name);
}

/** Create a button that is disabled while its action runs; errors are written into `said`. */
export function action(name, run, said) {
  const button = el("button", { type: "button" }, name);
  button.addEventListener("click", () => attempt(button, run, said));
  return button;
}

/** Run an action with its button disabled, and write the result into `said`. */
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

/** Write a text into an element that screen readers announce. */
export function say(place, text, wrong = false) {
  place.textContent = text;
  place.classList.toggle("wrong", wrong);
}

/** Save a file through the browser. */
export function save(name, blob) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const percent = (share) => `${Math.round(share * 100)} %`;

/** Shown for a figure that the network, or the earlier release that stored the mood, does not provide. */
export const UNKNOWN = "not known";

/** Return whether a mood or a change has a share of this label; it is null if the network does not know the label. */
export const knows = ({ shares }, label) => shares?.[label] != null;

/** Return a label's share in a mood or a change, with its interval. */
export function shareOf(of, label) {
  if (!knows(of, label)) return UNKNOWN;
  const { shares, low, high } = of;
  return `${percent(shares[label])} (${Math.round(low[label] * 100)}–${percent(high[label])})`;
}

/** Return the valence or the energy of a mood, with its 90 % interval. */
export function figureOf(mood, name) {
  const [middle, low, high] = ["", "_low", "_high"].map((end) => mood[`${name}${end}`]);
  return middle == null ? UNKNOWN : `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

const LOW_FIT = 0.5;

/** Return whether a mood's fit is so low that operators need a note. */
export const fitsPoorly = (mood) => mood.fit != null && mood.fit < LOW_FIT;

/** Return a mood's fit, or "none" for methods without a correction. */
export const fitOf = ({ fit }) => (fit == null ? "none" : fit.toFixed(2));

export const count = (number) => number.toLocaleString("en");

/** Convert an RFC 3339 time to the time of day, or to match time for recorded footage, which counts from 1970. */
export function clock(text) {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) return "–";
  if (!isRecorded(ms)) return new Date(ms).toLocaleTimeString("en", { hour12: false });
  const s = Math.floor(ms / 1000);
  return `${String(Math.floor(s / 60)).padStart(2, "0")}:${String(s % 60).padStart(2, "0")}`;
}

/** Return whether an event time belongs to recorded footage, which counts from 1970-01-01. */
export const isRecorded = (ms) => ms < 365 * 86_400_000;

/** Return a duration in seconds as text for people. */
export function span(s) {
  if (s < 90) return `${Math.max(0, Math.round(s))} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}
