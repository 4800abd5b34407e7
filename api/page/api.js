// Requests to the public API. The key is stored in this tab and sent in a header, never in a URL.

const KEPT = "crowdmood.key";
const LONGEST_PAUSE_MS = 5_000;
const SILENT_AFTER_MS = 45_000; // three heartbeats at the default interval

/** A failed request; `status` is 0 if there was no response. */
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

/** Call a listener when the server requires a key, or refuses the key that was sent. */
export const onRefused = (listener) => refusals.addEventListener("refused", (event) => listener(event.detail));

/** Send a request and return its response if it is 2xx; otherwise throw Refused with the problem's text. */
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
    throw new Refused(0, "The server does not respond.");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const refused = new Refused(response.status, problem.detail ?? problem.title ?? `HTTP ${response.status}`);
  // A request that was sent before the key changed says nothing about the new key.
  if (response.status === 401 && used === key.get()) refusals.dispatchEvent(new CustomEvent("refused", { detail: refused }));
  throw refused;
}

/** Request JSON. */
export const get = async (path, options) => (await ask(path, options)).json();
export const send = async (method, path, json) => {
  const response = await ask(path, { method, json });
  return response.status === 204 ? null : response.json();
};

/**
 * Follow `/mood/stream` without a gap, through restarts of the server.
 *
 * EventSource cannot send a key, so this function reads the events itself.
 *
 * @param {(event: string, data: object, publishedAt: number) => void} onMessage Receives each message and the time of
 *   its publication, in milliseconds by this machine's clock.
 * @param {(connected: boolean, why: string) => void} onConnection Receives each change of the connection.
 */
export function follow(onMessage, onConnection) {
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
        onConnection(true, "");
        pause = 250;
        const ahead = Date.parse(response.headers.get("date")) - Date.now() || 0;
        for await (const message of events(response.body, stop)) {
          if (message.id) last = message.id;
          if (message.event === "end") break;
          if (message.data) onMessage(message.event, JSON.parse(message.data), parseInt(message.id, 10) - ahead);
        }
      } catch (error) {
        if (error instanceof Refused && error.status) why = error.message;
      }
      onConnection(false, why);
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  };
  run();
  return { again: () => stop.abort() };
}

/** Yield server-sent events as they arrive; abort after a silence of SILENT_AFTER_MS. */
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
