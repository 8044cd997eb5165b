// Server-sent events over `fetch`, because an `EventSource` cannot send a token. A stream resumes at the id of its last event.

import { open, wait, isTransient, Problem } from "./api.js";

// The server sends a comment every 15 seconds. Without any byte for this long, the connection is dead.
const SILENT = 40_000;

/** Splits the bytes of a stream into events. */
export class EventParser {
  #text = "";
  #decoder = new TextDecoder();
  #event = { id: undefined, event: "message", data: [] };

  /** Returns the events that are complete with this chunk. */
  push(chunk) {
    const events = [];
    this.#text += this.#decoder.decode(chunk, { stream: true });
    const lines = this.#text.split(/\r\n|\n|\r(?!$)/);
    this.#text = lines.pop();
    for (const line of lines) {
      if (line !== "") this.#field(line);
      else {
        const { id, event, data, retry } = this.#event;
        events.push({ id, event, retry, data: data.join("\n"), hasData: data.length > 0 });
        this.#event = { id: undefined, event: "message", data: [] };
      }
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#event.data.push(value);
    else if (name === "id" || name === "event") this.#event[name] = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.#event.retry = Number(value);
  }
}

/**
 * Reads a stream until `close`. `onEvent` gets each event with data. `onStart` is called for each connection. `onEnd` gets the
 * problem that no other attempt can solve. A hidden page has no connection: a browser has few of them for one server.
 */
export function subscribe(route, { query = {}, after, onEvent, onStart, onLink, onEnd }) {
  const closed = new AbortController();
  let last = after;
  let pause = 500;
  let connection = null;
  const wake = new EventTarget();
  const onVisibility = () => {
    if (document.hidden) connection?.abort();
    else wake.dispatchEvent(new Event("wake"));
  };
  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("online", onVisibility);

  const visible = () =>
    document.hidden && !closed.signal.aborted
      ? new Promise((resolve) => {
          wake.addEventListener("wake", resolve, { once: true });
          closed.signal.addEventListener("abort", resolve, { once: true });
        })
      : undefined;

  const once = async () => {
    connection = new AbortController();
    const { signal } = connection;
    const abort = () => connection.abort();
    closed.signal.addEventListener("abort", abort, { once: true });
    let silent = setTimeout(abort, SILENT);
    try {
      const response = await open(route, {
        query: { ...query, after: last },
        headers: { accept: "text/event-stream" },
        signal,
      });
      onLink?.("live");
      onStart?.();
      const parser = new EventParser();
      const reader = response.body.getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(silent);
        silent = setTimeout(abort, SILENT);
        for (const event of parser.push(value)) {
          if (event.retry !== undefined) pause = Math.max(100, event.retry / 4);
          if (event.event === "problem") throw problemOf(event.data);
          if (event.hasData && event.event !== "lagged") onEvent(event);
          if (event.id !== undefined) last = event.id;
        }
      }
    } finally {
      clearTimeout(silent);
      closed.signal.removeEventListener("abort", abort);
      connection.abort();
    }
  };

  (async () => {
    for (let failures = 0; !closed.signal.aborted; ) {
      await visible();
      if (closed.signal.aborted) return;
      const begun = performance.now();
      try {
        await once();
      } catch (error) {
        if (closed.signal.aborted) return;
        const isDead = error instanceof Problem && !isTransient(error);
        if (isDead) {
          onLink?.("off");
          onEnd?.(error);
          return;
        }
      }
      if (closed.signal.aborted) return;
      failures = performance.now() - begun > 5000 ? 1 : failures + 1;
      onLink?.(document.hidden ? "paused" : "connecting");
      if (!document.hidden) await wait(Math.min(pause * 2 ** Math.min(failures - 1, 4), 8000), closed.signal);
    }
  })();

  return {
    close() {
      closed.abort();
      document.removeEventListener("visibilitychange", onVisibility);
      removeEventListener("online", onVisibility);
    },
  };
}

function problemOf(data) {
  try {
    const { status, code, title, detail } = JSON.parse(data);
    return new Problem({ status, code, title, detail });
  } catch {
    return new Problem({});
  }
}
