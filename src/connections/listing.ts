/** Which connections an operator looks for. */
import type { Connection } from './connection.ts'

/** What holds for a connection that is listed, all of it; what is undefined is not asked for. */
export interface ConnectionFilter {
  readonly user?: string
  readonly device?: string
  readonly node?: string
  /** Of those in the hub: `opening` waits for the registry. */
  readonly state?: 'opening' | 'open'
  /** Whether the gateway has stopped reading it, because it sends faster than its messages are taken. */
  readonly paused?: boolean
  /** Bytes that it has not read, at least: slow readers. */
  readonly min_queued_bytes?: number
  /** Since it was opened. */
  readonly min_age_ms?: number
  readonly max_age_ms?: number
  /** Since its last sign of life, a pong too. */
  readonly min_idle_ms?: number
}

/** `unixMs`: for ages; `heartbeatMs`: of the heartbeat clock, for signs of life. */
export interface ListingTimes { readonly unixMs: number, readonly heartbeatMs: number }

/** Milliseconds since the last sign of life. */
export function idleMs (connection: Connection, { heartbeatMs }: ListingTimes): number {
  return Math.max(0, heartbeatMs - connection.lastSeenMs)
}

/** Whether a connection of this node fits, by all but its user and its node. */
export function fits (connection: Connection, filter: ConnectionFilter, times: ListingTimes): boolean {
  const { device, state, paused, min_queued_bytes: minBytes = 0, min_age_ms: minAgeMs = -Infinity, max_age_ms: maxAgeMs = Infinity, min_idle_ms: minIdleMs = 0 } = filter
  if (device !== undefined && connection.deviceId !== device) return false
  if (state !== undefined && connection.state !== state) return false
  if (paused !== undefined && connection.paused !== paused) return false
  const ageMs = times.unixMs - connection.openedAtUnixMs
  return connection.waitingBytes >= minBytes && ageMs >= minAgeMs && ageMs <= maxAgeMs && idleMs(connection, times) >= minIdleMs
}
