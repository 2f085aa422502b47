/**
 * The only writer to sockets. A frame that is sent waits in its connection's queue until the end of the turn, then all
 * that became ready leave in one write [GW-OUT-2]; the same prebuilt buffer serves every receiver. What the kernel does
 * not take is bounded in bytes and in age, for one connection and for all together [GW-OUT-1].
 */
import type { Meter } from '../ports.ts'
import type { ServerFrameType } from '../protocol/frames.ts'
import type { Connection } from './connection.ts'
import { FrameJoiner } from './frame-joiner.ts'
import { FrameTally } from './frame-tally.ts'
import { SlowReaders, type SlowLimit, type SlowReadersOptions } from './slow-readers.ts'

/** What an outbox did with a frame. `slow`: full or too old, the connection is being closed. `closed`: it was closing already. */
export type SendResult = 'queued' | 'slow' | 'closed'

export interface OutboxOptions extends Omit<SlowReadersOptions, 'onDrained' | 'onOverdue'> {
  readonly meter: Meter
  /** Bytes that may wait for one connection. */
  readonly outboxBytes: number
  /** Bytes that may wait for all connections together. */
  readonly outboxTotalBytes: number
  /** Frames are joined into writes of at most this size; a larger frame leaves alone. */
  readonly writeBufferBytes: number
  /** A slow reader: the owner reports its pushes and closes it with 4001. */
  readonly onSlow: (connection: Connection, limit: SlowLimit) => void
  /** All that waited for a connection was written to its socket, which holds back so many bytes. */
  readonly onWritten?: (connection: Connection, stalledBytes: number) => void
}

export class Outbox {
  readonly #options: OutboxOptions
  readonly #joiner: FrameJoiner
  /** Connections with frames that leave at the end of this turn. */
  #dirty: Connection[] = []
  #flushing = false
  readonly #slow: SlowReaders
  #waitingBytes = 0
  readonly #tally: FrameTally

  constructor (options: OutboxOptions) {
    this.#options = options
    this.#joiner = new FrameJoiner(options.writeBufferBytes)
    this.#tally = new FrameTally(options.meter)
    this.#slow = new SlowReaders({
      ...options,
      onDrained: (connection) => { this.drained(connection) },
      onOverdue: (connection, limit) => { this.#evict(connection, limit) }
    })
    options.meter.source('outbox_bytes', () => this.#waitingBytes)
  }

  /** Bytes that wait in queues and in sockets that did not take all. */
  get waitingBytes (): number { return this.#waitingBytes }
  /** Connections that are watched for being slow. */
  get watchedCount (): number { return this.#slow.count }

  /** Queues one whole frame. Never throws. */
  send (connection: Connection, frame: Buffer, type: ServerFrameType): SendResult {
    if (connection.isEnding) return 'closed'
    const { outboxBytes, outboxTotalBytes } = this.#options
    if (connection.waitingBytes + frame.length > outboxBytes) return this.#evict(connection, 'bytes')
    if (connection.queue === null) connection.queue = [frame]
    else connection.queue.push(frame)
    connection.queuedBytes += frame.length
    this.#waitingBytes += frame.length
    this.#tally.sent(type)
    if (connection.held) this.#slow.watch(connection) // so that it can be evicted for the total
    else if (!connection.dirty && !connection.blocked) this.#markDirty(connection)
    if (this.#waitingBytes > outboxTotalBytes) {
      this.#relieve()
      if (connection.isEnding) return 'slow'
    }
    return 'queued'
  }

  /** The session is registered: `welcome` leaves first, then what was kept. */
  release (connection: Connection, welcome: Buffer): void {
    if (connection.isEnding || !connection.held) return
    connection.held = false
    if (connection.queue === null) connection.queue = [welcome]
    else connection.queue.unshift(welcome)
    connection.queuedBytes += welcome.length
    this.#waitingBytes += welcome.length
    this.#tally.sent('welcome')
    this.#slow.unwatch(connection)
    this.#markDirty(connection)
  }

  /** The kernel has taken all that was written: what waited meanwhile may go. */
  drained (connection: Connection): void {
    connection.blocked = false
    this.#unstall(connection)
    if (connection.queue !== null && !connection.dirty && !connection.held) this.#markDirty(connection)
  }

  /** The client showed life: nothing that was written before is in doubt. */
  alive (connection: Connection): void {
    this.#slow.answered(connection)
  }

  /** Writes what waits at once, so that a close frame can follow it. A blocked or held queue is dropped. */
  finish (connection: Connection): void {
    if (connection.queue !== null && !connection.held && !connection.blocked) this.#write(connection)
    this.#forget(connection)
  }

  /** Writes out everything that became ready in this turn. */
  flush (): void {
    this.#flushing = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const connection of dirty) {
      connection.dirty = false
      if (connection.queue !== null && !connection.blocked && !connection.isEnding) this.#write(connection)
    }
    this.#joiner.reset()
    this.#tally.report()
  }

  #markDirty (connection: Connection): void {
    connection.dirty = true
    this.#dirty.push(connection)
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => { this.flush() })
  }

  #write (connection: Connection): void {
    const queue = connection.queue as Buffer[]
    const { driver, clock } = this.#options
    const bytes = connection.queuedBytes
    connection.queue = null
    connection.queuedBytes = 0
    this.#waitingBytes -= bytes
    this.#tally.written(bytes)
    let free = true
    if (queue.length === 1) {
      free = driver.write(connection.socket, queue[0] as Buffer)
    } else {
      for (const part of this.#joiner.join(queue)) free = driver.write(connection.socket, part)
    }
    const left = driver.bufferedBytes(connection.socket)
    if (left > 0) {
      this.#waitingBytes += left - connection.stalledBytes
      connection.stalledBytes = left
      connection.blocked = !free
      if (connection.stalledSinceMs === 0) connection.stalledSinceMs = clock.monotonicMs()
      this.#slow.watch(connection)
    } else if (connection.stalledSinceMs !== 0) {
      this.#unstall(connection)
    }
    this.#slow.wrote(connection, bytes)
    if (connection.pending !== null) this.#options.onWritten?.(connection, left)
  }

  #unstall (connection: Connection): void {
    this.#waitingBytes -= connection.stalledBytes
    connection.stalledBytes = 0
    connection.stalledSinceMs = 0
    if (connection.probedAtMs === 0) this.#slow.unwatch(connection)
  }

  /** Over the total: writes what can be written, then evicts the connection with the largest backlog until the total is kept. */
  #relieve (): void {
    if (this.#dirty.length > 0) this.flush()
    while (this.#waitingBytes > this.#options.outboxTotalBytes) {
      const largest = this.#slow.largest()
      if (largest === undefined) return
      this.#evict(largest, 'total')
    }
  }

  #evict (connection: Connection, limit: SlowLimit): SendResult {
    this.#forget(connection)
    this.#options.meter.count('evictions_total', 1, limit)
    this.#options.onSlow(connection, limit)
    return 'slow'
  }

  #forget (connection: Connection): void {
    this.#waitingBytes -= connection.waitingBytes
    connection.queue = null
    connection.queuedBytes = 0
    connection.stalledBytes = 0
    connection.stalledSinceMs = 0
    connection.probedAtMs = 0
    this.#slow.unwatch(connection)
  }
}
