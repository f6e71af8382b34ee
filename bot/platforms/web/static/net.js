// Talking with the server: calls that may be repeated with the same event id, and the feed.

export const boot = JSON.parse(document.getElementById("boot").textContent);
export const words = boot.strings;
export const title = document.title;
export const say = (id, values) => words[id].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/** Nobody knows whether it arrived: repeating it with the same event id is safe. */
export class Unreachable extends Error {}
/** The server said no; `message` is its sentence. */
export class Refused extends Error {}

/** A random id; `crypto.randomUUID` exists only on secure origins. */
export function eventId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function call(path, options = {}) {
  let response, body;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(90_000) });
    body = await response.json();
  } catch {
    throw new Unreachable(words.unsent);
  }
  if (response.status >= 500) throw new Unreachable(body.error ?? words.unsent);
  if (!response.ok) throw new Refused(body.error);
  return body;
}

const csrf = { "X-CSRF": boot.csrf };
const post = (path, value) =>
  call(path, { method: "POST", headers: { ...csrf, "Content-Type": "application/json" }, body: JSON.stringify(value) });

export function sendSay({ event, command, text = "", origin = null, file = null, hidden = false }) {
  const form = new FormData();
  form.set("event", event);
  form.set("command", command);
  form.set("text", text);
  if (origin !== null) form.set("origin", String(origin));
  if (hidden) form.set("private", "1");
  if (file) form.set("picture", file, file.name || "picture");
  return call("/api/say", { method: "POST", headers: csrf, body: form });
}

export const sendPress = ({ event, button, hidden = false }) => post("/api/press", { event, button, private: hidden });
export const sendLanguage = (locale) => post("/api/language", { locale });
export const fetchCards = (before = null) => call(`/api/cards${before === null ? "" : `?before=${before}`}`);

const SILENCE_MS = 45_000;
const REST_MS = 30_000;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const once = (target, type) => new Promise((done) => target.addEventListener(type, done, { once: true }));

function parse(chunk) {
  let type = "", data = "";
  for (const line of chunk.split("\n")) {
    if (line.startsWith("event: ")) type = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return type ? { type, value: JSON.parse(data) } : null;
}

/** The stream of an account's cards: comes back by itself after any loss, rests while the page is hidden. */
export class Feed {
  constructor({ onEvent, onState, busy }) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.busy = busy;
    this.controller = null;
    document.addEventListener("visibilitychange", () => this.consider());
    this.run();
  }

  /** Starts over; the server then sends whole cards. */
  restart() { this.controller?.abort(); }

  consider() {
    clearTimeout(this.resting);
    if (document.hidden) this.resting = setTimeout(() => (this.busy() ? this.consider() : this.restart()), REST_MS);
  }

  async run() {
    let delay = 400;
    for (;;) {
      if (document.hidden && !this.busy()) await once(document, "visibilitychange");
      const began = Date.now();
      try { await this.stream(); } catch { /* lost: below we come back */ }
      this.onState(false);
      if (Date.now() - began > 5000) delay = 400;
      await Promise.race([sleep(delay * (0.75 + Math.random() / 2)), once(window, "online")]);
      delay = Math.min(delay * 1.6, 10_000);
    }
  }

  async stream() {
    this.controller = new AbortController();
    let silence = setTimeout(() => this.controller.abort(), SILENCE_MS);
    try {
      const response = await fetch("/api/feed", { signal: this.controller.signal });
      if (!response.ok) return this.onEvent("closed", await response.json());
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        clearTimeout(silence);
        silence = setTimeout(() => this.controller.abort(), SILENCE_MS);
        const chunks = (buffer + value).split("\n\n");
        buffer = chunks.pop();
        for (const event of chunks.map(parse)) if (event) this.receive(event);
      }
    } finally {
      clearTimeout(silence);
    }
  }

  receive({ type, value }) {
    if (type === "hello") this.onState(true);
    this.onEvent(type, value);
  }
}
