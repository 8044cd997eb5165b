/** The pause before a reconnection, until the server states another one, in milliseconds. */
const PAUSE = 2000;

/** The longest pause between failed reconnections, in milliseconds. */
const LONGEST_PAUSE = 30_000;

/** The pauses between the connections of a stream. */
export class Backoff {
  private failures = 0;

  /**
   * Returns the pause after a connection, in milliseconds. After one that worked it is `retry`, the pause that the server states.
   * It doubles with each further connection that failed.
   *
   * A connection worked if it brought an event, or if the answer was good and lasted longer than `retry`. A proxy that accepts
   * each connection and closes it at once must not reset the pause.
   */
  after(connection: { hadEvent: boolean; lasted: number }, retry: number = PAUSE): number {
    if (connection.hadEvent || connection.lasted > retry) this.failures = 0;
    const pause = Math.min(retry * 2 ** Math.min(this.failures, 10), LONGEST_PAUSE);
    this.failures += 1;
    return pause;
  }
}

/** The one form of a date that a server may send (RFC 9110, section 5.6.7). */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Returns the pause that a `Retry-After` demands, in milliseconds: 0 without one, and for one that is neither seconds nor a date. */
export function retryAfter(header: string | null, now: number = Date.now()): number {
  const text = header?.trim() ?? "";
  if (/^\d+$/.test(text)) return 1000 * Number(text);
  const date = HTTP_DATE.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
}
