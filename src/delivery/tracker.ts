/**
 * Pushes that wait for a device's acknowledgement, by (connection, msg_id). Each wait ends once: by its ack, at its
 * deadline on the shared wheel, or with its connection [GW-ACK-1], [GW-ACK-4].
 */
import type { Clock, Meter } from '../ports.ts'
import type { Connection } from '../connections/connection.ts'
import type { SendResult } from '../connections/outbox.ts'
import { NO_ROW, type Recorder } from '../explain/recorder.ts'
import type { ServerFrameType } from '../protocol/frames.ts'
import { PendingList, PendingPush, type PushWaiter, type WaitOutcome } from './pending.ts'
import { RecentAcks } from './recent-acks.ts'
import { TimerWheel } from './timer-wheel.ts'

export interface TrackerOptions {
  readonly clock: Clock
  readonly meter: Meter
  readonly outbox: { send (connection: Connection, frame: Buffer, type: ServerFrameType): SendResult }
  readonly recorder?: Recorder | undefined
  /** Waits of all connections together. */
  readonly maxPending: number
  /** Bytes of the frames that are kept for them; a frame counts once for each connection. */
  readonly maxPendingBytes: number
  /** Waits of one connection; a device that leaves more unanswered is reported SLOW. */
  readonly maxPendingPerConnection?: number
  /** How late a deadline may be noticed, milliseconds. */
  readonly tickMs?: number
}

const MAX_PENDING_PER_CONNECTION = 1_000
const TICK_MS = 50

export class Tracker {
  readonly #options: TrackerOptions
  readonly #maxPerConnection: number
  readonly #wheel: TimerWheel<PendingPush>
  readonly #recent = new RecentAcks()
  /** On how many connections a message is awaited: tells a foreign ack from an unknown one. */
  readonly #awaited = new Map<string, number>()
  #bytes = 0

  constructor (options: TrackerOptions) {
    this.#options = options
    this.#maxPerConnection = options.maxPendingPerConnection ?? MAX_PENDING_PER_CONNECTION
    this.#wheel = new TimerWheel({ clock: options.clock, tickMs: options.tickMs ?? TICK_MS, onDue: (push: PendingPush) => { this.#timeOut(push) } })
    options.meter.source('pending_pushes', () => this.#wheel.size)
  }

  /** Waits that have not settled. */
  get size (): number { return this.#wheel.size }
  /** Bytes kept for them. */
  get bytes (): number { return this.#bytes }

  /** Whether a frame of `frameBytes` may wait for this many more devices [GW-ACK-5]. */
  hasRoom (devices: number, frameBytes: number): boolean {
    return this.#wheel.size + devices <= this.#options.maxPending && this.#bytes + devices * frameBytes <= this.#options.maxPendingBytes
  }

  /**
   * Writes a message to a connection and waits at most `waitMs` for its ack. A message that waits there already is not
   * written again: the new wait joins it [GW-ACK-3]. Where nothing can be written, or there is no room, the waiter is told
   * before this returns.
   */
  push (connection: Connection, msgId: string, frame: Buffer, waitMs: number, waiter: PushWaiter): void {
    let first = connection.pending?.find(msgId)
    if (this.#isFull(connection) || !this.hasRoom(1, frame.length)) {
      this.#refuse(connection, msgId, 'SLOW', waiter)
      return
    }
    if (first === undefined) {
      const result = this.#options.outbox.send(connection, frame, 'message')
      if (result !== 'queued') {
        this.#refuse(connection, msgId, result === 'slow' ? 'SLOW' : 'GONE', waiter)
        return
      }
      // To make room for it another connection of the device may have been closed, and what waited there is here now.
      first = connection.pending?.find(msgId)
    }
    const push = new PendingPush(connection, msgId, frame, waiter, this.#begin(connection, msgId, first === undefined))
    this.#wheel.add(push, waitMs)
    if (first === undefined) this.#append(push)
    else connection.pending?.join(first, push)
  }

  /** What waited in the connection's outbox was written to its socket, which holds back so many bytes. */
  written (connection: Connection, stalledBytes: number): void {
    const { pending } = connection
    if (pending === null) return
    for (let push = pending.unwritten; push !== null; push = push.next) this.#options.recorder?.passed(push.row, stalledBytes)
    pending.unwritten = null
  }

  /** A client's ack. It counts for this connection alone; one that nobody waits for is counted by what it is [GW-ACK-2]. */
  ack (connection: Connection, msgId: string): void {
    const push = connection.pending?.find(msgId)
    if (push === undefined) {
      const kind = this.#recent.kindOf(connection.serial, msgId) ?? (this.#awaited.has(msgId) ? 'foreign' : 'unknown')
      this.#options.meter.count('acks_ignored_total', 1, kind)
      if (kind === 'late') this.#options.recorder?.begin('late', msgId, connection.user.userId, connection.deviceId, '')
      return
    }
    this.#recent.acked(connection.serial, msgId)
    this.#settleAll(push, 'ACKED')
  }

  /**
   * Nothing will be acknowledged there any more. With a `successor`, a connection of the same device, what waits is written
   * once more to it and waits on until the same deadline [GW-CON-6]; without one it is settled at once [GW-ACK-4]: as MOVED where the device may be elsewhere.
   */
  connectionClosed (connection: Connection, reason: 'gone' | 'slow', successor?: Connection): void {
    const list = connection.pending
    if (list === null) return
    const outcome: WaitOutcome = reason === 'slow' ? 'SLOW' : connection.closedFor === 'replaced' || connection.held ? 'MOVED' : 'GONE'
    for (let push = list.first; push !== null; push = list.first) {
      if (successor === undefined) this.#settleAll(push, outcome)
      else this.#move(push, successor)
    }
  }

  #begin ({ user, deviceId }: Connection, msgId: string, isFirst: boolean): number {
    return this.#options.recorder?.begin(isFirst ? 'device' : 'again', msgId, user.userId, deviceId, '') ?? NO_ROW
  }

  #end (push: PendingPush, outcome: WaitOutcome): void {
    this.#options.recorder?.ended(push.row, outcome)
    push.waiter.settled(push.connection.deviceId, outcome)
  }

  #refuse (connection: Connection, msgId: string, outcome: WaitOutcome, waiter: PushWaiter): void {
    const { recorder } = this.#options
    recorder?.ended(this.#begin(connection, msgId, true), outcome)
    waiter.settled(connection.deviceId, outcome)
  }

  #isFull (connection: Connection): boolean {
    return connection.pending !== null && connection.pending.waits >= this.#maxPerConnection
  }

  #append (push: PendingPush): void {
    push.connection.pending ??= new PendingList()
    push.connection.pending.append(push)
    // Where the outbox had too much it has written already.
    if (push.connection.queue === null) this.written(push.connection, push.connection.stalledBytes)
    this.#bytes += push.frame.length
    this.#awaited.set(push.msgId, (this.#awaited.get(push.msgId) ?? 0) + 1)
  }

  #timeOut (push: PendingPush): void {
    const { connection, msgId } = push
    if (this.#remove(push)) this.#recent.timedOut(connection.serial, msgId)
    this.#end(push, 'ACK_TIMEOUT')
  }

  /** All waits for a message on one connection, from the first one on. */
  #settleAll (first: PendingPush, outcome: WaitOutcome): void {
    for (let push: PendingPush | null = first; push !== null;) {
      const next: PendingPush | null = push.nextJoined
      this.#wheel.remove(push)
      this.#remove(push)
      this.#end(push, outcome)
      push = next
    }
  }

  #move (first: PendingPush, successor: Connection): void {
    const { msgId, frame } = first
    let head = successor.pending?.find(msgId)
    let result: SendResult = this.#isFull(successor) ? 'slow' : 'queued'
    if (result === 'queued' && head === undefined) {
      result = this.#options.outbox.send(successor, frame, 'message')
      head = successor.pending?.find(msgId) // as in `push`: sending may have moved waits to here
    }
    if (result !== 'queued') {
      this.#settleAll(first, result === 'slow' ? 'SLOW' : 'GONE')
      return
    }
    for (let push: PendingPush | null = first; push !== null;) {
      const next: PendingPush | null = push.nextJoined
      this.#remove(push)
      this.#options.recorder?.ended(push.row, 'REPLACED')
      push.row = this.#begin(successor, msgId, head === undefined)
      push.connection = successor
      if (head === undefined) this.#append(head = push)
      else successor.pending?.join(head, push)
      push = next
    }
  }

  /** True: it was the connection's last wait for this message. */
  #remove (push: PendingPush): boolean {
    const { connection, msgId, frame } = push
    const list = connection.pending
    if (list === null || !list.remove(push)) return false
    if (list.waits === 0) connection.pending = null
    this.#bytes -= frame.length
    const others = (this.#awaited.get(msgId) ?? 0) - 1
    if (others > 0) this.#awaited.set(msgId, others)
    else this.#awaited.delete(msgId)
    return true
  }
}
