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
