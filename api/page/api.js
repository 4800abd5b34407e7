// Our public API as this page asks it. The key travels in a header and lives in this tab: never in an address.

const KEPT = "crowdmood.key";
const LONGEST_PAUSE_MS = 5_000;
const SILENT_AFTER_MS = 45_000; // three heartbeats of the usual kind

/** An answer that is none: `status` 0 when there was no answer at all. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEPT) ?? "",
  set: (text) => (text ? sessionStorage.setItem(KEPT, text) : sessionStorage.removeItem(KEPT)),
};

const refusals = new EventTarget();

/** Be told when a key is needed, or a better one. */
export const onRefused = (listener) => refusals.addEventListener("refused", (event) => listener(event.detail));

/** Ask; the response of a 2xx, else a Refused with what the problem says. */
export async function ask(path, { method = "GET", json, body, headers = {}, signal, cache = "no-cache" } = {}) {
  const sent = { ...headers };
  const used = key.get();
  if (used) sent.Authorization = `Bearer ${used}`;
  if (json !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: sent,
      body: json === undefined ? body : JSON.stringify(json),
      signal,
      cache,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer.");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const refused = new Refused(response.status, problem.detail ?? problem.title ?? `HTTP ${response.status}`);
  // What was asked before another key was given says nothing of that one.
  if (response.status === 401 && used === key.get()) refusals.dispatchEvent(new CustomEvent("refused", { detail: refused }));
  throw refused;
}

/** Ask for JSON. */
export const get = async (path, options) => (await ask(path, options)).json();
export const send = async (method, path, json) => {
  const response = await ask(path, { method, json });
  return response.status === 204 ? null : response.json();
};

/**
 * Follow `/mood/stream`, through the server's restarts, without a gap.
 *
 * EventSource cannot send a key, so this reads the events itself.
 *
 * @param {(event: string, data: object, publishedAt: number) => void} tell Each message; when it was published, by
 *   this machine's clock in milliseconds.
 * @param {(connected: boolean, why: string) => void} note Told of each change of the connection.
 */
export function follow(tell, note) {
  let last = "";
  let pause = 250;
  let stop = new AbortController();
  const run = async () => {
    for (;;) {
      stop = new AbortController();
      let why = "The connection to the server is lost.";
      try {
        const response = await ask("mood/stream", {
          headers: last ? { "Last-Event-ID": last } : {},
          signal: stop.signal,
          cache: "no-store",
        });
        note(true, "");
        pause = 250;
        const ahead = Date.parse(response.headers.get("date")) - Date.now() || 0;
        for await (const message of events(response.body, stop)) {
          if (message.id) last = message.id;
          if (message.event === "end") break;
          if (message.data) tell(message.event, JSON.parse(message.data), parseInt(message.id, 10) - ahead);
        }
      } catch (error) {
        if (error instanceof Refused && error.status) why = error.message;
      }
      note(false, why);
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  };
  run();
  return { again: () => stop.abort() };
}

/** Server-sent events, as they arrive; a silence that is too long ends them. */
async function* events(body, stop) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const silent = setTimeout(() => stop.abort(), SILENT_AFTER_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(silent));
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const message = { event: "message", id: "", data: "" };
      for (const line of part.split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) message[line.slice(0, at)] = line.slice(at + 2);
      }
      yield message;
    }
  }
}
