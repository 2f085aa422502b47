/**
 * Hands group messages to the broker in the order of their numbers. What the broker did not take stays at the head of its
 * group's backlog and is tried again before anything newer, by the next message or by a timer.
 */
import type { Clock, Timer } from '../../src/ports.ts'
import type { Producer } from '../producer.ts'
import type { MessageStore, StoredMessage } from '../stores/message-store.ts'

export interface GroupPublisherOptions {
  readonly producer: Producer
  readonly store: MessageStore
  readonly clock: Clock
}

const MAX_BACKLOG = 10_000
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 30_000

export class GroupPublisher {
  readonly #options: GroupPublisherOptions
  readonly #backlogs = new Map<string, StoredMessage[]>()
  #size = 0
  #retryMs = FIRST_RETRY_MS
  #timer: Timer | undefined
  #retry: (groupId: string) => void = () => {}

  constructor (options: GroupPublisherOptions) {
    this.#options = options
  }

  /** Whether no further message may be accepted before the broker has taken some. */
  get isFull (): boolean { return this.#size >= MAX_BACKLOG }

  /** How the timer asks for another try: the owner calls `flush` when no other call for the group is under way. */
  onRetry (retry: (groupId: string) => void): void {
    this.#retry = retry
  }

  /** Takes its place by its number; one that is there already stays alone. */
  add (message: StoredMessage): void {
    const backlog = this.#backlogs.get(message.recipientId) ?? []
    this.#backlogs.set(message.recipientId, backlog)
    const before = backlog.findLastIndex((other) => other.sequenceNumber <= message.sequenceNumber)
    if (backlog[before]?.sequenceNumber === message.sequenceNumber) return
    backlog.splice(before + 1, 0, message)
    this.#size++
  }

  /** Resolves once the broker has everything of the group; one call at a time for a group. */
  async flush (groupId: string): Promise<void> {
    const backlog = this.#backlogs.get(groupId)
    if (backlog === undefined) return
    const { producer, store } = this.#options
    try {
      for (let message = backlog[0]; message !== undefined; message = backlog[0]) {
        await producer.produce('group_msg', groupId, recordOf(message))
        await store.setStatus(message.senderId, message.msgId, 'published')
        backlog.shift()
        this.#size--
        this.#retryMs = FIRST_RETRY_MS
      }
    } catch (error) {
      this.#schedule()
      throw error
    }
    this.#backlogs.delete(groupId)
  }

  close (): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  #schedule (): void {
    if (this.#timer !== undefined) return
    this.#timer = this.#options.clock.setTimer(() => {
      this.#timer = undefined
      for (const groupId of this.#backlogs.keys()) this.#retry(groupId)
    }, this.#retryMs)
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
  }
}

/** A `group_msg` record. */
function recordOf (message: StoredMessage): object {
  return {
    msg_id: message.msgId,
    group_id: message.recipientId,
    sender_id: message.senderId,
    content: message.content,
    message_type: message.messageType,
    sequence_number: Number(message.sequenceNumber),
    timestamp: message.acceptedAtMs,
    ...(Object.keys(message.metadata).length === 0 ? {} : { metadata: message.metadata })
  }
}
