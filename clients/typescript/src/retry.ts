import { retryAfter } from "./backoff.js";
import { newKey } from "./key.js";
import { problemOf, type Problem } from "./problem.js";

/** How a client repeats requests. */
export interface RetryOptions {
  /** The most attempts of a request, the first one included. The default is 4. */
  attempts?: number;
  /** The pause before the second attempt, in milliseconds. It doubles with each attempt. The default is 200. */
  pause?: number;
  /** The longest pause, in milliseconds. A longer `Retry-After` of the server ends the attempts. The default is 10 000. */
  longestPause?: number;
}

export const KEY = "idempotency-key";

/** Problems after which the same request may succeed, if the store has nothing of it. */
const TRANSIENT = new Set(["unavailable", "overloaded", "busy", "timeout", "request_timeout"]);

/** The writes to a draft. The server derives their key from the draft and the number of the append, and refuses a second one. */
const KEYED_BY_SERVER = /\/drafts\/[^/]+\/(append|finish|abandon)$/;

function isKeyedByServer(request: Request): boolean {
  return request.method === "POST" && KEYED_BY_SERVER.test(new URL(request.url).pathname);
}

function isRead(request: Request): boolean {
  return request.method === "GET" || request.method === "HEAD";
}

/** Whether a repetition of the request is applied at most once. */
function isRepeatable(request: Request): boolean {
  return isRead(request) || request.headers.has(KEY) || isKeyedByServer(request);
}

/** Whether a repetition of a refused request can succeed and cannot apply it twice. */
export function mayRepeat(isRepeatable: boolean, problem: Problem | undefined, status: number): boolean {
  // An answer of a proxy states nothing about the store.
  if (!problem) return isRepeatable && [502, 503, 504].includes(status);
  switch (problem.effect) {
    case "notApplied":
      return TRANSIENT.has(problem.code);
    case "unknown":
      return isRepeatable;
    default:
      return false;
  }
}

/** Waits, or throws the reason of the signal when it aborts. */
export function sleep(milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * Returns a `fetch` that gives each write an `Idempotency-Key`, unless the server derives one, and repeats a request whose answer
 * was lost, or whose problem allows it, with the same key.
 */
export function retryingFetch(
  inner: (request: Request) => Promise<Response>,
  options: RetryOptions = {},
): (request: Request) => Promise<Response> {
  const { attempts = 4, pause = 200, longestPause = 10_000 } = options;
  return async (request) => {
    if (!isRead(request) && !request.headers.has(KEY) && !isKeyedByServer(request)) {
      request.headers.set(KEY, newKey());
    }
    for (let attempt = 1; ; attempt += 1) {
      // A body can be sent once, so that each attempt sends a copy.
      const isLast = attempt >= attempts;
      let wait = Math.min(pause * 2 ** (attempt - 1), longestPause) * (0.5 + Math.random() / 2);
      try {
        const response = await inner(isLast ? request : request.clone());
        if (response.ok || isLast) return response;
        const problem = await problemOf(response);
        if (!mayRepeat(isRepeatable(request), problem, response.status)) return response;
        const after = retryAfter(response.headers.get("retry-after"));
        if (after > longestPause) return response;
        wait = Math.max(wait, after);
        await response.body?.cancel();
      } catch (error) {
        // The connection failed: the answer is lost, and the store may have the write.
        if (isLast || request.signal.aborted || !isRepeatable(request)) throw error;
      }
      await sleep(wait, request.signal);
    }
  };
}
