import { readEvents, type ServerEvent, type StreamState } from "./events.js";
import { ProblemError, problemOf, type Problem } from "./problem.js";
import { mayRepeat, sleep } from "./retry.js";

/** Where a stream begins, and how it ends. */
export interface StreamOptions {
  /** Begins after this place: the `position` of a page, or the `id` of an event. `"0"` begins at the first change. */
  after: string | number;
  /** Ends the stream. The iterator then throws the reason of the signal. */
  signal?: AbortSignal;
}

/** The pause before a reconnection, until the server states another one, in milliseconds. */
const PAUSE = 2000;

/** The longest pause between failed reconnections, in milliseconds. */
const LONGEST_PAUSE = 30_000;

/** Opens the stream after a place. */
export type OpenStream = (lastEventId: string, signal: AbortSignal | undefined) => Promise<Response>;

/**
 * Reads a stream of events without a gap and without a repetition. After a lost connection, a restart of the server or the event
 * `lagged`, it resumes after the last event.
 *
 * @throws {ProblemError} for a problem that a repetition does not solve, such as `too_old`: load the data again then.
 */
export async function* resumedEvents(
  open: OpenStream,
  options: StreamOptions,
): AsyncGenerator<ServerEvent, never, undefined> {
  const { signal } = options;
  const state: StreamState = { id: String(options.after) };
  for (let failures = 0; ; failures += 1) {
    try {
      signal?.throwIfAborted();
      const response = await open(state.id ?? "", signal);
      if (!response.ok || !response.body) {
        const problem = await problemOf(response);
        await response.body?.cancel();
        if (!mayRepeat(true, problem, response.status)) throw refusal(response, problem);
      } else {
        for await (const event of readEvents(response.body, state)) {
          failures = 0;
          if (event.event === "lagged") break;
          if (event.event === "problem") {
            const problem = JSON.parse(event.data) as Problem;
            if (!mayRepeat(true, problem, problem.status)) throw new ProblemError(problem);
            break;
          }
          yield event;
        }
      }
    } catch (error) {
      if (error instanceof ProblemError || signal?.aborted || !(error instanceof TypeError)) throw error;
      // The connection failed.
    }
    await sleep(Math.min((state.retry ?? PAUSE) * 2 ** Math.min(failures, 10), LONGEST_PAUSE), signal);
  }
}

function refusal(response: Response, problem: Problem | undefined): Error {
  if (problem) return new ProblemError(problem);
  return new Error(`the server answered ${response.status} without a problem document`);
}
