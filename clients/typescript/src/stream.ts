import { Backoff } from "./backoff.js";
import { readEvents, type ServerEvent, type StreamState } from "./events.js";
import { ProblemError, problemOf, type Problem } from "./problem.js";
import { mayRepeat, sleep } from "./retry.js";
import { IDLE_TIMEOUT, IdleTimeoutError, within } from "./timeout.js";

/** Where a stream begins, and how it ends. */
export interface StreamOptions {
  /** Begins after this cursor: the `position` of a page, or the `id` of an event. `"0"` begins at the first change. */
  after: string | number;
  /** Ends the stream. The iterator then throws the reason of the signal. */
  signal?: AbortSignal;
  /**
   * The longest time without a byte, in milliseconds. After it, the stream closes its connection and opens another one. The default
   * is 40 000, because the server sends a comment every 15 seconds. It includes the time until the answer and that of `token`.
   */
  idleTimeout?: number;
}

/** Opens the stream after a cursor. */
export type OpenStream = (lastEventId: string, signal: AbortSignal) => Promise<Response>;

/**
 * Reads a stream of events without a gap and without a repetition. After a lost connection, `idleTimeout`, a restart of the server
 * or the event `lagged`, it resumes after the last event.
 *
 * @throws {ProblemError} for a problem that a repetition does not solve, such as `too_old`: load the data again then.
 */
export async function* resumedEvents(
  open: OpenStream,
  options: StreamOptions,
): AsyncGenerator<ServerEvent, never, undefined> {
  const { signal, idleTimeout = IDLE_TIMEOUT } = options;
  const state: StreamState = { id: String(options.after) };
  const backoff = new Backoff();
  for (;;) {
    const connection = { hadEvent: false, lasted: 0 };
    const controller = new AbortController();
    const abort = () => controller.abort(signal?.reason);
    let opened: number | undefined;
    try {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", abort, { once: true });
      const response = await within(idleTimeout, open(state.id ?? "", controller.signal));
      if (!response.ok || !response.body) {
        const problem = await within(idleTimeout, problemOf(response));
        response.body?.cancel().catch(() => undefined);
        if (!mayRepeat(true, problem, response.status)) throw refusal(response, problem);
      } else {
        opened = performance.now();
        for await (const event of readEvents(response.body, state, idleTimeout)) {
          if (event.event === "problem") {
            const problem = JSON.parse(event.data) as Problem;
            if (!mayRepeat(true, problem, problem.status)) throw new ProblemError(problem);
            break;
          }
          connection.hadEvent = true;
          if (event.event === "lagged") break;
          yield event;
        }
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (!(error instanceof TypeError || error instanceof IdleTimeoutError)) throw error;
      // The connection failed.
    } finally {
      signal?.removeEventListener("abort", abort);
      // A request without an answer ends with this. One that has ended ignores it.
      controller.abort();
    }
    if (opened !== undefined) connection.lasted = performance.now() - opened;
    await sleep(backoff.after(connection, state.retry), signal);
  }
}

function refusal(response: Response, problem: Problem | undefined): Error {
  if (problem) return new ProblemError(problem);
  return new Error(`the server answered ${response.status} without a problem document`);
}
