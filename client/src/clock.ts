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

/** What the application gives us to ask, asked with a deadline; what it throws rejects as well. */
export function ask<T> (clock: ClientClock, question: () => T | Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(() => { reject(new Error(`no answer within ${timeoutMs} ms`)) }, timeoutMs)
    Promise.resolve().then(question).then(resolve, reject).finally(() => { clock.clearTimer(timer as never) })
  })
}
