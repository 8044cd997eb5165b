import { IDLE_TIMEOUT, within } from "./timeout.js";

/** An event of a stream. */
export interface ServerEvent {
  /** The cursor to resume after this event. */
  id: string;
  event: string;
  data: string;
}

/** What a line of a stream can say besides its events. */
export interface StreamState {
  /** The last `id` that the server has sent. */
  id?: string | undefined;
  /** The pause before a reconnection, in milliseconds. */
  retry?: number | undefined;
}

/**
 * Reads the events of a body in the format of server-sent events. It keeps the last `id` and `retry` in `state`.
 *
 * @throws {IdleTimeoutError} if a read takes longer than `idleTimeout`, in milliseconds. The time between two reads does not
 * count, so that a slow caller keeps its connection.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  state: StreamState,
  idleTimeout: number = IDLE_TIMEOUT,
): AsyncGenerator<ServerEvent, void, undefined> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let text = "";
  let event = "";
  let data: string[] = [];
  let id = state.id;
  try {
    for (;;) {
      const { done, value } = await within(idleTimeout, reader.read());
      if (done) return;
      text += decoder.decode(value, { stream: true });
      // The last line is not complete yet. The server ends a line with one line feed.
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          state.id = id;
          if (data.length > 0) yield { id: id ?? "", event: event || "message", data: data.join("\n") };
          [event, data] = ["", []];
          continue;
        }
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "id") id = value;
        else if (name === "event") event = value;
        else if (name === "data") data.push(value);
        else if (name === "retry" && /^\d+$/.test(value)) state.retry = Number(value);
      }
    }
  } finally {
    // The caller may leave before the end, and a read may time out: the connection closes then. A lost one may never confirm that.
    reader.cancel().catch(() => undefined);
  }
}
