/**
 * One shared timer for all connections: pings, heartbeat time-outs and token expiry [GW-CON-8], [GW-CON-9]. Every tick
 * looks at one slice of the hub's list, so that each connection is looked at once a round (a second) and pings spread
 * evenly; a slice is as large as the loop can bear, for pings and pongs cost least where many go together. Time-outs are
 * counted on a clock that advances by a bounded step a tick: a stall of our own loop is not held against clients. It is
 * coarse: good to a round, not better.
 */
import type { Clock, SocketDriver, Timer } from '../ports.ts'
import type { CloseKind } from '../protocol/close-codes.ts'
import type { Connection } from './connection.ts'
import type { Hub } from './hub.ts'

const ROUND_MS = 1_000
/** Connections that a tick looks at: 137 pings, or a millisecond or two, where they are 30 seconds apart. */
const SLICE = 4_096
/** A tick that comes later than so many times its wait was late by our own fault. */
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
  #slice = 0
  /** Of this round. */
  #slices = 1
  /** When the round before this one began, and how long it took. */
  #roundAtMs = 0
  #roundMs = 0
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
  }

  #arm (): void {
    this.#timer = this.#options.clock.setTimer(() => { this.#tick() }, this.#tickMs)
  }

  get #tickMs (): number { return Math.floor(ROUND_MS / this.#slices) }

  #tick (): void {
    const { clock, hub } = this.#options
    // Whole milliseconds: a connection keeps a fraction in an object of its own.
    const now = Math.floor(clock.monotonicMs())
    this.#nowMs += Math.min(now - this.#tickedAtMs, MAX_STEPS * this.#tickMs)
    this.#tickedAtMs = now
    const { all } = hub
    if (this.#slice === 0) {
      this.#roundMs = this.#nowMs - this.#roundAtMs
      this.#roundAtMs = this.#nowMs
      this.#slices = Math.max(1, Math.ceil(all.length / SLICE))
    }
    this.#arm()
    const size = Math.ceil(all.length / this.#slices)
    const unixMs = clock.unixMs()
    // From the end: closing one moves the last connection of the list into its place.
    const from = Math.min(all.length, (this.#slice + 1) * size) - 1
    for (let at = from; at >= this.#slice * size; at--) {
      const connection = all[at]
      if (connection !== undefined) this.#check(connection, unixMs)
    }
    this.#slice = (this.#slice + 1) % this.#slices
  }

  #check (connection: Connection, unixMs: number): void {
    const { close, driver, intervalMs, timeoutMs } = this.#options
    if (connection.state !== 'open') return
    if (unixMs >= connection.tokenExpiresAtMs) {
      close(connection, 'tokenExpired')
      return
    }
    // A socket that is not read cannot show life: its clock stands still.
    if (connection.paused) connection.lastSeenMs = Math.min(this.#nowMs, connection.lastSeenMs + this.#roundMs)
    if (this.#nowMs - connection.lastSeenMs >= timeoutMs) {
      close(connection, 'heartbeatTimeout')
      return
    }
    if (this.#nowMs - connection.lastPingMs < intervalMs) return
    connection.lastPingMs = this.#nowMs
    driver.ping(connection.socket)
  }
}
