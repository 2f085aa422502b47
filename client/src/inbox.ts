/**
 * Messages as the application wants them: each once, and of one conversation in the order of its numbers. What is missing
 * between two numbers is fetched from the history before the later one is shown.
 */
import type { ClientClock } from './clock.ts'
import type { Message } from './frames.ts'
import { Seen } from './seen.ts'

/** Messages of a conversation after a number, in order; empty: there are no more. */
export type History = (conversation: string, after: number) => Promise<readonly Message[]>

/** Messages that could not be had: numbers between the two. */
export interface Gap { readonly conversation: string, readonly after: number, readonly before: number }

export interface InboxOptions {
  readonly history: History | undefined
  readonly deliver: (message: Message, conversation: string) => void
  readonly onGap: (gap: Gap) => void
  readonly clock: ClientClock
  /** Message ids that are remembered. */
  readonly maxSeen: number
}

interface Conversation { last: number | undefined, held: Message[], isFetching: boolean, wantsSync: boolean }

const HISTORY_ATTEMPTS = 4
const HISTORY_PAUSE_MS = 500
/** Pages of one fetch; a conversation that grows faster than it is read ends somewhere. */
const MAX_PAGES = 1_000

export class Inbox {
  readonly #options: InboxOptions
  readonly #seen: Seen
  readonly #conversations = new Map<string, Conversation>()

  constructor (options: InboxOptions) {
    this.#options = options
    this.#seen = new Seen(options.maxSeen)
  }

  /** A message of this client: its own copies are not shown to it. */
  own (msgId: string): void {
    this.#seen.add(msgId)
  }

  /** The number that a message of this client got. */
  accepted (name: string, sequenceNumber: number): void {
    this.#advance(name, this.#of(name), sequenceNumber)
  }

  receive (message: Message, name: string): void {
    const conversation = this.#of(name)
    const { sequenceNumber } = message
    if (!this.#seen.add(message.msgId)) {
      this.#advance(name, conversation, sequenceNumber)
      return
    }
    const { last } = conversation
    if (conversation.isFetching && sequenceNumber > 0) conversation.held.push(message)
    else if (sequenceNumber === 0 || last === undefined || sequenceNumber <= last + 1) {
      this.#options.deliver(message, name)
      if (sequenceNumber > 0) conversation.last = Math.max(last ?? 0, sequenceNumber)
    } else {
      conversation.held.push(message)
      void this.#fetch(name, conversation)
    }
  }

  /** After a new session: what came to the known conversations meanwhile. */
  sync (): void {
    for (const [name, conversation] of this.#conversations) {
      if (conversation.last === undefined || this.#options.history === undefined) continue
      conversation.wantsSync = true
      if (!conversation.isFetching) void this.#fetch(name, conversation)
    }
  }

  #of (name: string): Conversation {
    let conversation = this.#conversations.get(name)
    if (conversation === undefined) this.#conversations.set(name, conversation = { last: undefined, held: [], isFetching: false, wantsSync: false })
    return conversation
  }

  /** Something that is not shown has this number. */
  #advance (name: string, conversation: Conversation, sequenceNumber: number): void {
    const { last } = conversation
    if (conversation.isFetching || sequenceNumber === 0) return
    if (last === undefined || sequenceNumber === last + 1) conversation.last = sequenceNumber
    else if (sequenceNumber > last + 1) void this.#fetch(name, conversation)
  }

  async #fetch (name: string, conversation: Conversation): Promise<void> {
    conversation.isFetching = true
    do {
      conversation.wantsSync = false
      const isComplete = await this.#read(name, conversation)
      this.#release(name, conversation, isComplete)
    } while (conversation.wantsSync)
    conversation.isFetching = false
  }

  /** False where the history did not answer, or there is none. */
  async #read (name: string, conversation: Conversation): Promise<boolean> {
    const { history, clock, deliver } = this.#options
    if (history === undefined) return false
    let failures = 0
    for (let page = 0; page < MAX_PAGES;) {
      let messages
      try {
        messages = await history(name, conversation.last ?? 0)
      } catch {
        if (++failures === HISTORY_ATTEMPTS) return false
        await new Promise<void>((resolve) => { clock.setTimer(resolve, HISTORY_PAUSE_MS * failures) })
        continue
      }
      page++
      failures = 0
      const before = conversation.last ?? 0
      for (const message of messages) {
        if (message.sequenceNumber <= before) continue
        conversation.last = Math.max(conversation.last ?? 0, message.sequenceNumber)
        const held = conversation.held.findIndex(({ msgId }) => msgId === message.msgId)
        if (held !== -1) conversation.held.splice(held, 1)
        if (this.#seen.add(message.msgId) || held !== -1) deliver(message, name)
      }
      if (conversation.last === before || conversation.last === undefined) return true
    }
    return true
  }

  /** Shows what was held; numbers that the history does not have are a gap only where it did not answer. */
  #release (name: string, conversation: Conversation, isComplete: boolean): void {
    const held = conversation.held.sort((a, b) => a.sequenceNumber - b.sequenceNumber)
    conversation.held = []
    for (const message of held) {
      const last = conversation.last ?? 0
      if (!isComplete && message.sequenceNumber > last + 1) this.#options.onGap({ conversation: name, after: last, before: message.sequenceNumber })
      this.#options.deliver(message, name)
      conversation.last = Math.max(last, message.sequenceNumber)
    }
  }
}
