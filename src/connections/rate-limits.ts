/**
 * The three buckets of a client and what counts as abuse [GW-SND-1], [GW-SND-2], [GW-CON-8]. A user's messages over all
 * devices share one bucket; each connection has one for all its frames, ten times as large, and one for `auth`.
 */
import type { Clock } from '../ports.ts'
import type { Connection } from './connection.ts'
import type { UserEntry } from './hub.ts'
import { refill, retryAfterMs, type BucketLimits } from './token-bucket.ts'

/** All frames of a connection together, as a multiple of the message rate. */
export const FRAME_RATE_FACTOR = 10
/** Over a limit for so long without falling under it is abuse. */
export const ABUSE_AFTER_MS = 10_000
/** A client is under its limit again once its bucket holds this share of the burst, and at least two tokens if the burst allows it. */
const RECOVERED_SHARE = 0.1
const RECOVERED_TOKENS = 2
export const AUTH_LIMITS: BucketLimits = { ratePerSecond: 0.1, burst: 3 }

/** `abuse`: close with 4002. */
export type FrameVerdict = 'pass' | 'drop' | 'abuse'
export type MessageVerdict = { readonly pass: true } | { readonly pass: false, readonly abuse: boolean, readonly retryAfterMs: number }

const PASS: MessageVerdict = { pass: true }

export class RateLimits {
  readonly #clock: Clock
  readonly #message: BucketLimits
  readonly #frame: BucketLimits

  constructor (options: { readonly clock: Clock, readonly messagesPerSecond: number }) {
    this.#clock = options.clock
    this.#message = { ratePerSecond: options.messagesPerSecond, burst: options.messagesPerSecond }
    const frames = options.messagesPerSecond * FRAME_RATE_FACTOR
    this.#frame = { ratePerSecond: frames, burst: frames }
  }

  /**
   * One frame of any type, pings and pongs included, before it is parsed. The bucket runs into debt while frames are
   * dropped: a whole burst of debt, or 10 s without recovering, is abuse.
   */
  takeFrame (connection: Connection): FrameVerdict {
    // Whole milliseconds: every idle connection would keep a fraction in an object of its own.
    const now = Math.floor(this.#clock.monotonicMs())
    const tokens = refill(this.#frame, connection.frameTokens, connection.frameTokensAtMs, now) - 1
    connection.frameTokens = tokens
    connection.frameTokensAtMs = now
    if (tokens >= 0) {
      if (tokens >= recovered(this.#frame)) connection.overLimitSinceMs = 0
      return 'pass'
    }
    if (connection.overLimitSinceMs === 0) connection.overLimitSinceMs = now
    const abuse = tokens <= -this.#frame.burst || now - connection.overLimitSinceMs > ABUSE_AFTER_MS
    return abuse ? 'abuse' : 'drop'
  }

  /** One `send_msg` of a user, whichever device it came from. */
  takeMessage (user: UserEntry): MessageVerdict {
    const now = this.#clock.monotonicMs()
    const tokens = refill(this.#message, user.messageTokens, user.messageTokensAtMs, now)
    user.messageTokensAtMs = now
    if (tokens >= recovered(this.#message)) user.overLimitSinceMs = 0
    if (tokens >= 1) {
      user.messageTokens = tokens - 1
      return PASS
    }
    user.messageTokens = tokens
    if (user.overLimitSinceMs === 0) user.overLimitSinceMs = now
    return { pass: false, abuse: now - user.overLimitSinceMs > ABUSE_AFTER_MS, retryAfterMs: retryAfterMs(this.#message, tokens) }
  }

  /** One `auth` frame. */
  takeAuth (connection: Connection): MessageVerdict {
    const now = this.#clock.monotonicMs()
    const tokens = refill(AUTH_LIMITS, connection.authTokens, connection.authTokensAtMs, now)
    connection.authTokensAtMs = now
    if (tokens >= 1) {
      connection.authTokens = tokens - 1
      return PASS
    }
    connection.authTokens = tokens
    return { pass: false, abuse: false, retryAfterMs: retryAfterMs(AUTH_LIMITS, tokens) }
  }
}

function recovered ({ burst }: BucketLimits): number {
  return Math.min(burst, Math.max(burst * RECOVERED_SHARE, RECOVERED_TOKENS))
}
