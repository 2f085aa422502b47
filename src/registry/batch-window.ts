/**
 * How long the first operation of a batch waits for others: next to nothing in quiet times, longer while operations come
 * close upon each other, so that a storm of returning clients takes few transactions.
 */
export const WINDOW_MS = 2
/** Longer costs more than it saves: handshakes that wait share fewer turns of the loop. */
export const MAX_WINDOW_MS = 16
/** Operations a millisecond from which on a longer wait pays. */
const BUSY_RATE = 0.25

export class BatchWindow {
  #ms = WINDOW_MS
  #sentMs = -Infinity

  /** In milliseconds. After a pause it is short again, whatever was before. */
  at (nowMs: number): number {
    if (nowMs - this.#sentMs > MAX_WINDOW_MS) this.#ms = WINDOW_MS
    return this.#ms
  }

  /** A batch is sent: doubles the wait where operations are many, halves it otherwise. */
  sent (operations: number, nowMs: number): void {
    const isBusy = operations > 1 && operations >= BUSY_RATE * (nowMs - this.#sentMs)
    this.#ms = isBusy ? Math.min(MAX_WINDOW_MS, this.#ms * 2) : Math.max(WINDOW_MS, this.#ms / 2)
    this.#sentMs = nowMs
  }
}
