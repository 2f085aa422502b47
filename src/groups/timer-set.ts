/** Timers that end together. */
import type { Clock, Timer } from '../ports.ts'

export class TimerSet {
  readonly #clock: Clock
  readonly #timers = new Set<Timer>()
  #ended = false

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** Calls once, unless the set has ended by then. */
  after (delayMs: number, call: () => void): void {
    if (this.#ended) return
    const timer = this.#clock.setTimer(() => {
      this.#timers.delete(timer)
      call()
    }, delayMs)
    this.#timers.add(timer)
  }

  /** Calls again and again, the interval after each call. */
  every (intervalMs: number, call: () => void): void {
    this.after(intervalMs, () => {
      call()
      this.every(intervalMs, call)
    })
  }

  /** No call happens from here on. */
  end (): void {
    this.#ended = true
    for (const timer of this.#timers) this.#clock.clearTimer(timer)
    this.#timers.clear()
  }
}
