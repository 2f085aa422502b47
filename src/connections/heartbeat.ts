/**
 * One shared timer for all connections: pings, heartbeat time-outs and token expiry [GW-CON-8], [GW-CON-9]. When each is
 * to be looked at stands in a column of the hub: a tick reads the column and touches only the connections that are due.
 * Time-outs are counted on a clock that advances by a bounded step a tick: a stall of our own loop is not held against
 * clients. It is coarse: good to a second, not better.
 */
import type { Clock, SocketDriver, Timer } from '../ports.ts'
import type { CloseKind } from '../protocol/close-codes.ts'
import type { Connection } from './connection.ts'
import type { Hub } from './hub.ts'

const ROUND_MS = 1_000
/**
 * Each second has one more tick for every so many connections. With 30 seconds between pings a tick then sends 137 of
 * them, in a millisecond or two. With fewer connections a tick it would cost more: pings and pongs are cheapest together.
 */
const CONNECTIONS_PER_TICK = 4_096
/** A tick advances the clock by so many times its wait at most: what it is later than that is our own loop's fault. */
const MAX_STEPS = 2

export interface HeartbeatOptions {
  readonly hub: Hub
  readonly driver: SocketDriver
  readonly clock: Clock
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly close: (connection: Connection, kind: CloseKind) => void
  /** 0 to 1, spreads the first pings. */
  readonly random: () => number
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #nowMs = 0
  #tickedAtMs = 0
  #tickMs = ROUND_MS
  #timer: Timer | undefined

  constructor (options: HeartbeatOptions) {
    this.#options = options
  }

  /** Milliseconds on the heartbeat clock: what `Connection.lastSeenMs` is set to at a sign of life. */
  get nowMs (): number { return this.#nowMs }

  start (): void {
    this.#tickedAtMs = Math.floor(this.#options.clock.monotonicMs())
    this.#arm()
  }

  stop (): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  /** A new connection counts as seen now; its first ping comes within one interval, at a phase of its own. */
  welcome (connection: Connection): void {
    connection.lastSeenMs = this.#nowMs
    connection.lastPingMs = this.#nowMs - Math.floor(this.#options.random() * this.#options.intervalMs)
    this.look(connection)
  }

  /** Looks at an open connection at the next tick: it may be due earlier than was thought. */
  look ({ hubIndex }: Connection): void {
    this.#options.hub.due[hubIndex] = 0
  }

  /** A socket that is not read cannot show life: its clock stands still. */
  pause (connection: Connection): void {
    connection.pausedAtMs = this.#nowMs
    this.look(connection)
  }

  resume (connection: Connection): void {
    connection.lastSeenMs = this.#nowMs - Math.max(0, connection.pausedAtMs - connection.lastSeenMs)
    connection.pausedAtMs = -1
  }

  #arm (): void {
    this.#tickMs = Math.floor(ROUND_MS / Math.max(1, Math.ceil(this.#options.hub.connectionCount / CONNECTIONS_PER_TICK)))
    this.#timer = this.#options.clock.setTimer(() => { this.#tick() }, this.#tickMs)
  }

  #tick (): void {
    const { clock, hub } = this.#options
    // Whole milliseconds: a connection keeps a fraction in an object of its own.
    const now = Math.floor(clock.monotonicMs())
    this.#nowMs += Math.min(now - this.#tickedAtMs, MAX_STEPS * this.#tickMs)
    this.#tickedAtMs = now
    this.#arm()
    const { all, due } = hub
    const unixMs = clock.unixMs()
    // From the end: closing one moves the last connection of the list into its place.
    for (let at = all.length - 1; at >= 0; at--) {
      if ((due[at] as number) > this.#nowMs) continue
      const connection = all[at]
      if (connection !== undefined) this.#check(connection, unixMs)
    }
  }

  #check (connection: Connection, unixMs: number): void {
    const { close, driver, hub, intervalMs, timeoutMs } = this.#options
    if (connection.state !== 'open') {
      hub.due[connection.hubIndex] = Infinity
      return
    }
    const now = this.#nowMs
    const untilExpiryMs = connection.tokenExpiresAtMs - unixMs
    if (untilExpiryMs <= 0) {
      close(connection, 'tokenExpired')
      return
    }
    const untilTimeoutMs = connection.paused ? ROUND_MS : connection.lastSeenMs + timeoutMs - now
    if (untilTimeoutMs <= 0) {
      close(connection, 'heartbeatTimeout')
      return
    }
    if (now - connection.lastPingMs >= intervalMs) {
      connection.lastPingMs = now
      driver.ping(connection.socket)
    }
    hub.due[connection.hubIndex] = Math.min(connection.lastPingMs + intervalMs, now + untilTimeoutMs, now + untilExpiryMs)
  }
}
