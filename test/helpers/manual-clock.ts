/** A clock that stands still until a test advances it. Timers fire in order of time, then of creation. */
import type { Clock, Timer } from '../../src/ports.ts'

interface ManualTimer { readonly at: number, readonly id: number, readonly call: () => void }

export class ManualClock implements Clock {
  #now: number
  #unixOffset: number
  #nextId = 0
  readonly #timers = new Set<ManualTimer>()

  constructor (startMs = 1_000, unixMs = 1_700_000_000_000) {
    this.#now = startMs
    this.#unixOffset = unixMs - startMs
  }

  get pendingTimers (): number { return this.#timers.size }
  monotonicMs (): number { return this.#now }
  unixMs (): number { return this.#now + this.#unixOffset }

  setTimer (call: () => void, delayMs: number): Timer {
    const timer: ManualTimer = { at: this.#now + Math.max(0, delayMs), id: this.#nextId++, call }
    this.#timers.add(timer)
    return timer as unknown as Timer
  }

  clearTimer (timer: Timer): void {
    this.#timers.delete(timer as unknown as ManualTimer)
  }

  /** Moves the wall clock alone, as an operator or NTP would. */
  jumpUnix (byMs: number): void {
    this.#unixOffset += byMs
  }

  /** Time passes and nothing runs; what fell due does when it moves on. */
  stall (byMs: number): void {
    this.#now += byMs
  }

  /** Moves time on, firing what falls due on the way. */
  advance (byMs: number): void {
    const until = this.#now + byMs
    for (;;) {
      const next = this.#nextDue(until)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.call()
    }
    this.#now = until
  }

  /** As `advance`, letting promises settle before, between and after the timers. */
  async run (byMs: number): Promise<void> {
    const until = this.#now + byMs
    await settle()
    for (;;) {
      const next = this.#nextDue(until)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.call()
      await settle()
    }
    this.#now = until
    await settle()
  }

  #nextDue (until: number): ManualTimer | undefined {
    let next: ManualTimer | undefined
    for (const timer of this.#timers) {
      if (timer.at <= until && (next === undefined || timer.at < next.at || (timer.at === next.at && timer.id < next.id))) next = timer
    }
    return next
  }
}

/** Lets all promise callbacks and immediates that are ready run. */
export async function settle (): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}
