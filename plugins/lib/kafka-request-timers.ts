/**
 * kafkajs 2.2.4 keeps a timer running per connection that looks for requests held back by a broker's throttling. Where
 * nothing is held back it computes a time in the past, which Node makes 1 ms of: a thousand wake-ups a second, and on
 * Node 24 a TimeoutNegativeWarning (kafkajs #1751). This sets the timer only while a request waits, which is when the
 * library's own answer path does not look by itself.
 */
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js'

const CHECK_INTERVAL_MS = 10
const TAMED = Symbol.for('im-gateway.kafkajs.request-timers')

/** What is used of the library's queue; a release that changes it is noticed and left alone. */
export interface RequestQueueInternals {
  pending: readonly unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests (): void
  scheduleCheckPendingRequests (): void
}

/** Changes the library once per process. Returns false where it is not the one that was written for. */
export function tameRequestTimers (): boolean {
  const prototype = RequestQueue.prototype as RequestQueueInternals & { [TAMED]?: true }
  if (prototype[TAMED] === true) return true
  if (typeof prototype.scheduleCheckPendingRequests !== 'function' || typeof prototype.checkPendingRequests !== 'function') return false
  prototype[TAMED] = true
  prototype.scheduleCheckPendingRequests = scheduleCheck
  return true
}

function scheduleCheck (this: RequestQueueInternals): void {
  if (this.pending.length === 0 || this.throttleCheckTimeoutId !== null) return
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null
    this.checkPendingRequests()
  }, Math.max(this.throttledUntil - Date.now(), CHECK_INTERVAL_MS))
}
