/** Waits with an end. */
import { GatewayError } from '../errors.ts'
import type { Clock } from '../ports.ts'

export function pause (clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => { clock.setTimer(resolve, ms) })
}

/** The promise's outcome; rejects with a GatewayError (SERVICE_UNAVAILABLE) where it is not there in time. */
export function within<T> (clock: Clock, ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(() => reject(new GatewayError('SERVICE_UNAVAILABLE', { detail: 'no answer in time' })), ms)
    promise.then(resolve, reject).finally(() => clock.clearTimer(timer)).catch(() => {})
  })
}
