/**
 * Token bucket over fields of its owner: no object of its own, no timer. Refilled when it is asked.
 * It never passes more than rate × time + burst.
 */

/** `burst`: what the bucket holds at most, and when it is new. */
export interface BucketLimits { readonly ratePerSecond: number, readonly burst: number }

/** The tokens that a bucket holds now. `refilledAtMs` 0: never used, so full. */
export function refill (limits: BucketLimits, tokens: number, refilledAtMs: number, nowMs: number): number {
  if (refilledAtMs === 0) return limits.burst
  const elapsedMs = Math.max(0, nowMs - refilledAtMs)
  return Math.min(limits.burst, tokens + elapsedMs * limits.ratePerSecond / 1000)
}

/** Milliseconds until one whole token is there, at least 1. */
export function retryAfterMs (limits: BucketLimits, tokens: number): number {
  return Math.max(1, Math.ceil((1 - tokens) * 1000 / limits.ratePerSecond))
}
