/** A problem document of the server (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** The stable code, such as `not_found`. */
  code: string;
  /** The part of the operation that the store has. */
  effect: "notApplied" | "applied" | "unknown";
  /** The part that failed: `http`, `edge`, or the name of a layer or of the backend. */
  site: string;
  /** The seconds after which another attempt may succeed. */
  retry_after?: number;
  batchIndex?: number;
  advice?: string;
}

/** A refusal of the server, as an exception. Streams throw it, and so does {@link expectData}. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(readonly problem: Problem) {
    super(`${problem.code}: ${problem.detail}`);
  }

  get code(): string {
    return this.problem.code;
  }
}

/** Returns the problem document of an answer, or `undefined` if it has none. The body of `response` stays unread. */
export async function problemOf(response: Response): Promise<Problem | undefined> {
  if (!response.headers.get("content-type")?.startsWith("application/problem+json")) return undefined;
  return (await response.clone().json()) as Problem;
}

/** Returns the data of an answer of a typed call, or throws its problem as a {@link ProblemError}. */
export function expectData<D>(answer: { data?: D; error?: unknown; response: Response }): D {
  if (answer.data !== undefined) return answer.data;
  throw new ProblemError(answer.error as Problem);
}
