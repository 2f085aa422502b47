/** Waits that end, whatever they wait for. */
import { GatewayError } from './errors.ts'
import type { Clock } from './ports.ts'

export function pause (clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => { clock.setTimer(resolve, ms) })
}

/** The promise's outcome; rejects with a GatewayError (SERVICE_UNAVAILABLE) where it is not there in time. */
export function within<T> (promise: Promise<T>, timeoutMs: number, clock: Clock): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(() => reject(new GatewayError('SERVICE_UNAVAILABLE', { detail: 'no answer in time' })), timeoutMs)
    promise.then(resolve, reject).finally(() => clock.clearTimer(timer)).catch(() => {})
  })
}

/** Whether the promise settles in time; resolves then, or once the time is over. What the promise rejects with is dropped. */
export function settledWithin (promise: Promise<unknown>, timeoutMs: number, clock: Clock): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(() => { resolve(false) }, timeoutMs)
    const settled = (): void => {
      clock.clearTimer(timer)
      resolve(true)
    }
    promise.then(settled, settled)
  })
}
