/**
 * What waits for one connection's acknowledgements. The list hangs on the connection only while something waits; it is
 * walked while it is short and indexed by message once it is not.
 */
import type { Connection } from '../connections/connection.ts'
import { IDLE_ENTRY, type WheelEntry } from './timer-wheel.ts'

/**
 * How a wait ends. ACK_TIMEOUT: no acknowledgement in time. SLOW: the device's queue is full or too old. GONE: its socket
 * closed. MOVED: its socket was replaced by one on another node.
 */
export type WaitOutcome = 'ACKED' | 'ACK_TIMEOUT' | 'SLOW' | 'GONE' | 'MOVED'

/** Who is told how a wait ended; called once for each wait, and not for more than one push at a time. */
export interface PushWaiter {
  settled (deviceId: string, outcome: WaitOutcome): void
}

/** One caller's wait for one connection's acknowledgement of one message. It stands in the tracker's wheel. */
export class PendingPush implements WheelEntry {
  wheelNext: WheelEntry | null = IDLE_ENTRY.wheelNext
  wheelPrevious: WheelEntry | null = IDLE_ENTRY.wheelPrevious
  wheelSlot: number = IDLE_ENTRY.wheelSlot
  wheelTick: number = IDLE_ENTRY.wheelTick
  connection: Connection
  readonly msgId: string
  /** The whole frame, shared with all other receivers: sent again where the connection is replaced. */
  frame: Buffer
  readonly waiter: PushWaiter
  /** Where it stands in the recorder. */
  row: number
  /** Neighbours among the connection's messages; used by the first wait of a message alone. */
  next: PendingPush | null = null
  previous: PendingPush | null = null
  /** Neighbours among the waits for the same message. */
  nextJoined: PendingPush | null = null
  previousJoined: PendingPush | null = null

  constructor (connection: Connection, msgId: string, frame: Buffer, waiter: PushWaiter, row: number) {
    this.connection = connection
    this.msgId = msgId
    this.frame = frame
    this.waiter = waiter
    this.row = row
  }
}

/** Longer lists are indexed, so that a connection with a thousand waits costs each ack no more than one with ten. */
const INDEX_ABOVE = 16

/** A connection's messages in the order they were written, each with all its waits. */
export class PendingList {
  first: PendingPush | null = null
  /** The first of those whose frames wait in the outbox; they are the last of the list. */
  unwritten: PendingPush | null = null
  #last: PendingPush | null = null
  #messages = 0
  #index: Map<string, PendingPush> | null = null
  /** Waits, those that joined included. */
  waits = 0

  find (msgId: string): PendingPush | undefined {
    if (this.#index !== null) return this.#index.get(msgId)
    for (let push = this.first; push !== null; push = push.next) {
      if (push.msgId === msgId) return push
    }
    return undefined
  }

  /** A message that is not in the list yet. */
  append (push: PendingPush): void {
    push.previous = this.#last
    if (this.#last === null) this.first = push
    else this.#last.next = push
    this.#last = push
    this.unwritten ??= push
    this.waits++
    this.#messages++
    if (this.#index !== null) this.#index.set(push.msgId, push)
    else if (this.#messages > INDEX_ABOVE) this.#buildIndex()
  }

  /** One more wait for a message that is in the list. The frame that was written is the one that is kept. */
  join (first: PendingPush, push: PendingPush): void {
    const { nextJoined } = first
    push.frame = first.frame
    push.previousJoined = first
    push.nextJoined = nextJoined
    if (nextJoined !== null) nextJoined.previousJoined = push
    first.nextJoined = push
    this.waits++
  }

  /** Takes out one wait. True: it was the last one for its message. */
  remove (push: PendingPush): boolean {
    this.waits--
    const { previousJoined, nextJoined } = push
    push.previousJoined = null
    push.nextJoined = null
    if (nextJoined !== null) nextJoined.previousJoined = previousJoined
    if (previousJoined !== null) {
      previousJoined.nextJoined = nextJoined
      return false
    }
    this.#replace(push, nextJoined)
    return nextJoined === null
  }

  /** Puts another wait in the place of a message's first one; null: the message leaves. */
  #replace (push: PendingPush, heir: PendingPush | null): void {
    const { previous, next } = push
    push.previous = null
    push.next = null
    if (this.unwritten === push) this.unwritten = heir ?? next
    if (heir !== null) {
      heir.previous = previous
      heir.next = next
    }
    if (previous === null) this.first = heir ?? next
    else previous.next = heir ?? next
    if (next === null) this.#last = heir ?? previous
    else next.previous = heir ?? previous
    if (heir === null) {
      this.#messages--
      this.#index?.delete(push.msgId)
    } else {
      this.#index?.set(push.msgId, heir)
    }
  }

  #buildIndex (): void {
    this.#index = new Map()
    for (let push = this.first; push !== null; push = push.next) this.#index.set(push.msgId, push)
  }
}
