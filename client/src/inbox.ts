/**
 * Messages as the application wants them: each once, and of one conversation in the order of its numbers. What is missing
 * between two numbers is waited for or fetched from the history before the later one is shown.
 */
import { ask, type ClientClock } from './clock.ts'
import type { Message } from './frames.ts'
import { Seen } from './seen.ts'

/** All messages of a conversation after a number, the user's own too, in order; empty: there are no more. `messageOf` makes them of what has the fields of a `message` frame. */
export type History = (conversation: string, after: number) => Promise<readonly Message[]>

/** Messages that could not be had: numbers between the two. `error`: what the history failed with at last; without it there is none, or it does not have them. */
export interface Gap { readonly conversation: string, readonly after: number, readonly before: number, readonly error?: unknown }

export interface InboxOptions {
  readonly history?: History
  readonly deliver: (message: Message, conversation: string) => void
  readonly onGap: (gap: Gap) => void
  /** Whether a number of the conversation may come with an ack of our own. */
  readonly isSending: (conversation: string) => boolean
  readonly clock: ClientClock
  /** How long a later number is held back for an earlier one that may still come by itself. */
  readonly reorderMs: number
}

/** `message` is undefined where the number is taken by what is not shown. */
interface Held { readonly sequenceNumber: number, readonly message: Message | undefined }
interface Conversation { readonly name: string, last: number | undefined, held: Held[], timer: unknown, retry: unknown, retryMs: number, isFetching: boolean, wantsSync: boolean }

const HISTORY_ATTEMPTS = 4
const HISTORY_PAUSE_MS = 500
const HISTORY_TIMEOUT_MS = 10_000
/** Where no attempt told anything and nothing is held, so that no gap is seen: the next fetch, twice as late after each that fails so. */
const HISTORY_RETRY_MS = 30_000
const MAX_HISTORY_RETRY_MS = 600_000
/** Pages of one fetch; a conversation that grows faster than it is read ends somewhere. */
const MAX_PAGES = 1_000

export class Inbox {
  readonly #options: InboxOptions
  readonly #seen = new Seen()
  readonly #conversations = new Map<string, Conversation>()
  #isClosed = false

  constructor (options: InboxOptions) {
    this.#options = options
  }

  /** A message of this client: its own copies are not shown to it. */
  own (msgId: string): void {
    this.#seen.add(msgId)
  }

  /** The number that a message of this client got. */
  accepted (name: string, sequenceNumber: number): void {
    this.#place(this.#of(name), { sequenceNumber, message: undefined })
  }

  receive (message: Message, name: string): void {
    const { sequenceNumber } = message
    this.#place(this.#of(name), { sequenceNumber, message: this.#seen.add(message.msgId) ? message : undefined })
  }

  /** After a new session: what came to the known conversations meanwhile. */
  sync (): void {
    for (const conversation of this.#conversations.values()) {
      if (conversation.last === undefined || this.#options.history === undefined) continue
      conversation.wantsSync = true
      if (!conversation.isFetching) void this.#fetch(conversation)
    }
  }

  /** What is held is shown, and nothing more is waited for. */
  close (): void {
    this.#isClosed = true
    for (const conversation of this.#conversations.values()) this.#release(conversation, Infinity)
  }

  #of (name: string): Conversation {
    let conversation = this.#conversations.get(name)
    if (conversation === undefined) this.#conversations.set(name, conversation = { name, last: undefined, held: [], timer: undefined, retry: undefined, retryMs: HISTORY_RETRY_MS, isFetching: false, wantsSync: false })
    return conversation
  }

  #place (conversation: Conversation, held: Held): void {
    const { last, isFetching } = conversation
    const { sequenceNumber } = held
    if (sequenceNumber === 0 || (!isFetching && sequenceNumber <= (last ?? Infinity))) {
      this.#show(conversation, held)
      return
    }
    conversation.held.push(held)
    if (isFetching) return
    this.#release(conversation, 0)
    if (conversation.held.length > 0) this.#expect(conversation)
  }

  #show (conversation: Conversation, { sequenceNumber, message }: Held): void {
    if (sequenceNumber > 0) conversation.last = Math.max(conversation.last ?? 0, sequenceNumber)
    if (message !== undefined) this.#options.deliver(message, conversation.name)
  }

  /** Shows what has no gap before it any more, and what goes up to a number with the gaps before it told: numbers have none of their own. */
  #release (conversation: Conversation, upTo: number, fault: { readonly error?: unknown } = {}): void {
    const { held, name } = conversation
    // The lowest is the last: thousands are taken off one by one.
    held.sort((a, b) => b.sequenceNumber - a.sequenceNumber)
    for (let next; (next = held.at(-1)) !== undefined;) {
      const { last = 0 } = conversation
      const before = next.sequenceNumber
      if (before <= last + 1) this.#show(conversation, held.pop() as Held)
      else if (before > upTo) return
      else {
        // Whoever is told may end the client, which releases the rest.
        conversation.last = before - 1
        this.#options.onGap({ conversation: name, after: last, before, ...fault })
      }
    }
    this.#options.clock.clearTimer(conversation.timer as never)
    conversation.timer = undefined
  }

  /** The history is asked at once, unless an ack that is under way may bring what is missing. */
  #expect (conversation: Conversation): void {
    const { history, isSending, clock, reorderMs } = this.#options
    if (history !== undefined && !isSending(conversation.name)) void this.#fetch(conversation)
    else conversation.timer ??= clock.setTimer(() => { void this.#fetch(conversation) }, reorderMs)
  }

  async #fetch (conversation: Conversation): Promise<void> {
    const { history, clock } = this.#options
    clock.clearTimer(conversation.timer as never)
    clock.clearTimer(conversation.retry as never)
    conversation.timer = undefined
    conversation.isFetching = true
    let isUntold
    do {
      conversation.wantsSync = false
      const fault = history === undefined ? {} : await this.#read(conversation, history)
      isUntold = 'error' in fault && conversation.held.length === 0
      this.#release(conversation, Infinity, fault)
    } while (conversation.wantsSync)
    conversation.isFetching = false
    const { retryMs } = conversation
    conversation.retryMs = isUntold ? Math.min(2 * retryMs, MAX_HISTORY_RETRY_MS) : HISTORY_RETRY_MS
    if (isUntold && !this.#isClosed) conversation.retry = clock.setTimer(() => { void this.#fetch(conversation) }, retryMs)
  }

  /** Shows what the history has and what is held, until nothing is missing or the history does not answer, which is told or tried again. */
  async #read (conversation: Conversation, history: History): Promise<{ readonly error?: unknown }> {
    const { clock } = this.#options
    const { name } = conversation
    let failures = 0
    for (let page = 0; page < MAX_PAGES && !this.#isClosed;) {
      const after = conversation.last ?? 0
      const asked = conversation.held.slice()
      let messages
      try {
        const answer = await ask(clock, () => history(name, after), HISTORY_TIMEOUT_MS)
        // Without its id it would come a second time; without a number it is after none, and passed over would be lost.
        if (answer.some(({ msgId, sequenceNumber }) => !msgId || !(sequenceNumber > 0))) throw new TypeError('no msgId or sequenceNumber')
        messages = answer.filter(({ sequenceNumber }) => sequenceNumber > after)
      } catch (error) {
        if (++failures === HISTORY_ATTEMPTS || this.#isClosed) return { error }
        await new Promise<void>((resolve) => { clock.setTimer(resolve, HISTORY_PAUSE_MS * failures) })
        continue
      }
      if (this.#isClosed) break
      page++
      failures = 0
      // A message that is held and in the page is the page's.
      const ids = new Set(messages.map(({ msgId }) => msgId))
      const twice = new Set<string>()
      conversation.held = conversation.held.filter(({ message }) => message === undefined || !ids.has(message.msgId) || !twice.add(message.msgId))
      for (const message of messages) {
        const { msgId, sequenceNumber } = message
        conversation.held.push({ sequenceNumber, message: this.#seen.add(msgId) || twice.delete(msgId) ? message : undefined })
      }
      // Where it has no more: of what was held when it was asked. What came since may have a gap before it.
      const isEnd = messages.length === 0
      this.#release(conversation, (isEnd ? asked : messages).reduce((highest, { sequenceNumber }) => Math.max(highest, sequenceNumber), 0))
      if (isEnd && conversation.held.length === 0) break
    }
    return {}
  }
}
