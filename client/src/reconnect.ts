/** When to come back after a close, as the table of close codes says. */

export const FIRST_BACKOFF_MS = 500
export const MAX_BACKOFF_MS = 30_000
/** After 4002. */
export const ABUSE_DELAY_MS = 30_000
/** Spread of those who may come back at once. */
export const SPREAD_MS = 1_000
/** A session that was shorter counts as one more failure: whoever is let in and thrown out again backs off as well. */
export const STEADY_MS = 10_000

// What src/protocol/close-codes.ts says, without its words: those took a tenth of the client. The tests go through that table.
const SHUTDOWN = 1012
const ABUSE = 4002
const NEVER = [1000, 1002, 1003, 1007, 1008, 4003, 4403, 4409, 4429]
const SOON = [1006, SHUTDOWN, 4000, 4001, 4401]

/** Whether the gateway said when to come back, and earlier is too early whatever happens here. */
export function isDelayOrdered (code: number): boolean {
  return code === SHUTDOWN || code === ABUSE
}

/** Grows with each failure; full jitter, so that clients which were lost together do not come back together. */
export class Reconnect {
  readonly #random: () => number
  #failures = 0

  constructor (random: () => number) {
    this.#random = random
  }

  /** Milliseconds until the next attempt after one that opened no session. */
  afterFailure (): number {
    const ceilingMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failures++)
    return ceilingMs * this.#random()
  }

  /**
   * The same after a close; undefined: never. `announcedMs`: the `reconnect_after_ms` of a `shutdown` frame, else NaN.
   * `livedMs`: of the session, NaN where there was none: a connection may be closed in place of a welcome.
   */
  afterClose (code: number, announcedMs: number, livedMs: number): number | undefined {
    if (livedMs >= STEADY_MS) this.#failures = 0
    if (NEVER.includes(code)) return undefined
    if (code === ABUSE) return ABUSE_DELAY_MS
    if (code === SHUTDOWN && announcedMs >= 0) return announcedMs
    if (!SOON.includes(code) || Number.isNaN(livedMs) || this.#failures > 0) return this.afterFailure()
    this.#failures = 1
    return SPREAD_MS * this.#random()
  }
}
