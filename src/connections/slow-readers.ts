/**
 * The connections that are watched for being slow: a backlog that the kernel did not take, or a probe that was not
 * answered. None in good times; serving a healthy connection looks at none of them [GW-OUT-3].
 */
import type { Clock, SocketDriver, Timer } from '../ports.ts'
import type { Connection } from './connection.ts'

/** Which limit a slow reader passed; label of `evictions_total`. */
export type SlowLimit = 'bytes' | 'age' | 'total' | 'silent'

export interface SlowReadersOptions {
  readonly driver: SocketDriver
  readonly clock: Clock
  /** Age that the oldest waiting byte may reach, and what a probed client has to show life. */
  readonly writeWaitMs: number
  /** Bytes written since a client's last frame past which it is probed: the kernel hides up to 4 MB of a dead reader's backlog. */
  readonly probeBytes?: number
  /** The kernel has taken all that was written. */
  readonly onDrained: (connection: Connection) => void
  readonly onOverdue: (connection: Connection, limit: SlowLimit) => void
}

const PROBE_BYTES = 256 * 1024
const SWEEPS_PER_WAIT = 10

export class SlowReaders {
  readonly #options: SlowReadersOptions
  readonly #probeBytes: number
  readonly #watched = new Set<Connection>()
  #timer: Timer | undefined

  constructor (options: SlowReadersOptions) {
    this.#options = options
    this.#probeBytes = options.probeBytes ?? PROBE_BYTES
  }

  get count (): number { return this.#watched.size }

  watch (connection: Connection): void {
    this.#watched.add(connection)
    this.#arm()
  }

  unwatch (connection: Connection): void {
    this.#watched.delete(connection)
  }

  /** Bytes left for the client, taken by the kernel or not; it is probed once too many of them are in doubt [GW-OUT-1]. */
  wrote (connection: Connection, bytes: number): void {
    connection.unansweredBytes += bytes
    if (connection.unansweredBytes <= this.#probeBytes || connection.probedAtMs !== 0) return
    const { clock, driver } = this.#options
    connection.probedAtMs = clock.monotonicMs()
    driver.ping(connection.socket)
    this.watch(connection)
  }

  /** The client showed life: nothing that was written before is in doubt. */
  answered (connection: Connection): void {
    connection.unansweredBytes = 0
    if (connection.probedAtMs === 0) return
    connection.probedAtMs = 0
    if (connection.stalledSinceMs === 0) this.unwatch(connection)
  }

  /** The watched connection with the most bytes waiting. */
  largest (): Connection | undefined {
    let largest: Connection | undefined
    for (const connection of this.#watched) {
      if (largest === undefined || connection.waitingBytes > largest.waitingBytes) largest = connection
    }
    return largest
  }

  #arm (): void {
    if (this.#timer !== undefined || this.#watched.size === 0) return
    const { clock, writeWaitMs } = this.#options
    this.#timer = clock.setTimer(() => { this.#sweep() }, Math.max(1, writeWaitMs / SWEEPS_PER_WAIT))
  }

  #sweep (): void {
    const { clock, driver, writeWaitMs, onDrained, onOverdue } = this.#options
    this.#timer = undefined
    const now = clock.monotonicMs()
    for (const connection of this.#watched) {
      if (connection.stalledSinceMs !== 0 && driver.bufferedBytes(connection.socket) === 0) onDrained(connection)
      // A socket that is not read cannot show life: its time begins when it is read again.
      if (connection.paused && connection.probedAtMs !== 0) connection.probedAtMs = now
      if (connection.stalledSinceMs !== 0 && now - connection.stalledSinceMs >= writeWaitMs) onOverdue(connection, 'age')
      else if (connection.probedAtMs !== 0 && now - connection.probedAtMs >= writeWaitMs) onOverdue(connection, 'silent')
    }
    this.#arm()
  }
}
