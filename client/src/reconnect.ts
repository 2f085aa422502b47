/** When to come back after a close, as the table of close codes says. */
import { CLOSE, type CloseRow } from '../../src/protocol/close-codes.ts'

export const FIRST_BACKOFF_MS = 500
export const MAX_BACKOFF_MS = 30_000
/** After 4002. */
export const ABUSE_DELAY_MS = 30_000
/** Spread of those who may come back at once. */
export const SPREAD_MS = 1_000

const WAYS = new Map<number, CloseRow['reconnect']>(Object.values(CLOSE).map(({ code, reconnect }) => [code, reconnect]))

/** Grows with each failure; full jitter, so that clients which were lost together do not come back together. */
export class Reconnect {
  readonly #random: () => number
  #failures = 0

  constructor (random: () => number) {
    this.#random = random
  }

  /** A session was opened. */
  succeeded (): void { this.#failures = 0 }

  /** Milliseconds until the next attempt after one that opened no session. */
  afterFailure (): number {
    const ceilingMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 16)
    return ceilingMs * this.#random()
  }

  /** The same after a session was closed; undefined: never. `announcedMs`: the `reconnect_after_ms` of a `shutdown` frame. */
  afterClose (code: number, announcedMs: number | undefined): number | undefined {
    switch (WAYS.get(code)) {
      case 'no': return undefined
      case 'yes':
      case 'after-token': return SPREAD_MS * this.#random()
      case 'after-delay': return code === CLOSE.shutdown.code ? announcedMs ?? SPREAD_MS * this.#random() : ABUSE_DELAY_MS
      default: return this.afterFailure()
    }
  }
}
