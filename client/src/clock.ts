/** Time as the client takes it; a test gives a clock that it moves. */
export interface ClientClock {
  /** Milliseconds on a clock that never jumps. */
  monotonicMs (): number
  /** Unix milliseconds. */
  unixMs (): number
  setTimer (call: () => void, delayMs: number): unknown
  clearTimer (timer: never): void
}

export const realClock: ClientClock = {
  monotonicMs: () => performance.now(),
  unixMs: () => Date.now(),
  setTimer: (call, delayMs) => setTimeout(call, delayMs),
  clearTimer: (timer) => { clearTimeout(timer) }
}

/** Longer timers of JavaScript fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** A clock of one client: `end` clears what is left of its timers, those of questions that nobody answers as well. */
export function endable (clock: ClientClock): ClientClock & { end (): void } {
  const timers = new Set<unknown>()
  const clearTimer = (timer: unknown): void => {
    timers.delete(timer)
    clock.clearTimer(timer as never)
  }
  return {
    monotonicMs: () => clock.monotonicMs(),
    unixMs: () => clock.unixMs(),
    setTimer (call, delayMs) {
      const timer = clock.setTimer(() => {
        timers.delete(timer)
        call()
      }, Math.min(delayMs, MAX_TIMER_MS))
      timers.add(timer)
      return timer
    },
    clearTimer,
    end () { timers.forEach(clearTimer) }
  }
}

/** What the application gives us to ask, asked with a deadline; what it throws rejects as well. */
export function ask<T> (clock: ClientClock, question: () => T | Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(() => { reject(new Error(`no answer within ${timeoutMs} ms`)) }, timeoutMs)
    Promise.resolve().then(question).then(resolve, reject).finally(() => { clock.clearTimer(timer as never) })
  })
}
