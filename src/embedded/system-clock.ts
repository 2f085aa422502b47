/** The clock of the machine. Timers do not keep the process alive. */
import type { Clock, Timer } from '../ports.ts'

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  unixMs: () => Date.now(),
  setTimer: (call, delayMs) => setTimeout(call, delayMs).unref() as unknown as Timer,
  clearTimer: (timer) => { clearTimeout(timer as unknown as NodeJS.Timeout) }
}
