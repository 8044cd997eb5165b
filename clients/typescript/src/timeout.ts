/** The longest time without a byte, in milliseconds. The server sends a comment every 15 seconds. */
export const IDLE_TIMEOUT = 40_000;

/** A connection without a byte for too long: the server or the network may be gone, and no packet states it. */
export class IdleTimeoutError extends Error {
  override readonly name = "IdleTimeoutError";

  constructor(milliseconds: number) {
    super(`the connection had no byte for ${milliseconds} ms`);
  }
}

/** The longest time that a timer can measure, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Settles as `promise` does, or throws {@link IdleTimeoutError} after a time. `Infinity` sets no limit. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  if (milliseconds > LONGEST_TIMER) return promise;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new IdleTimeoutError(milliseconds)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
