/** One person of the page: a client of the gateway with its conversations. */
import { ImClient, ImError, type ClientState, type Message } from '../../client/src/index.ts'
import { Conversation, type Entry } from './conversation.ts'
import { GROUP_PREFIX, Services } from './services.ts'

/** What the people of one page share. */
export interface PersonHost {
  /** Something is to be drawn anew. */
  readonly onChange: () => void
  readonly onNews: (text: string) => void
  /** A message of this person was accepted after so many milliseconds. */
  readonly onAccepted: (latencyMs: number) => void
  /** Monotonic milliseconds; remembered until the message arrives. */
  readonly onSend: (msgId: string, startedMs: number) => void
  /** Milliseconds since its sender's button; undefined: it was not sent from this page. */
  readonly onReceived: (msgId: string) => number | undefined
  /** How many others a conversation has. */
  readonly othersIn: (conversation: string) => number
}

/** Pages of history that are read at the start. */
const MAX_PAGES = 20

export class Person {
  readonly name: string
  /** One for each page, so that two of them do not take each other's place. */
  readonly deviceId: string
  readonly services: Services
  readonly client: ImClient
  state: ClientState = 'idle'
  /** Whose conversation is open. */
  peer = ''
  /** Whether this is the one who looks: what is open is read. */
  isReading = false
  lastAcceptedMs: number | undefined
  readonly #host: PersonHost
  readonly #conversations = new Map<string, Conversation>()
  /** Those whose numbers the client knows: it closes their gaps itself. */
  readonly #followed = new Set<string>()
  #lostMs: number | undefined

  constructor (name: string, deviceId: string, host: PersonHost) {
    this.name = name
    this.deviceId = deviceId
    this.#host = host
    this.services = new Services(name, deviceId)
    this.client = new ImClient({
      url: `${location.origin.replace(/^http/, 'ws')}/ws/${encodeURIComponent(name)}`,
      token: () => this.services.token(),
      history: (peer, after) => this.services.history(peer, after),
      onMessage: (message, peer) => { this.#receive(message, peer) },
      onReceipt: ({ msgId, readerId, conversationId }) => {
        this.conversation(conversationId).readBy(msgId, readerId, host.othersIn(conversationId))
        host.onChange()
      },
      onState: (state) => { this.#enter(state) },
      onGap: ({ conversation, after, before }) => { host.onNews(`${name}: ${before - after - 1} messages of ${conversation} could not be had`) },
      onEnd: ({ code }) => { host.onNews(`${name} will not come back (${code})`) }
    })
  }

  /** Found or made. */
  conversation (peer: string): Conversation {
    let conversation = this.#conversations.get(peer)
    if (conversation === undefined) {
      this.#conversations.set(peer, conversation = new Conversation(peer, this.name))
      if (this.state === 'open') void this.load(peer)
    }
    return conversation
  }

  open (peer: string): void {
    this.peer = peer
    if (this.isReading) this.read()
    this.#host.onChange()
  }

  send (peer: string, content: string): void {
    const msgId = crypto.randomUUID()
    this.conversation(peer).send(msgId, content, Date.now())
    this.#submit(peer, msgId, content)
  }

  /** What was refused, once more: with its id, so that it is taken once. */
  sendAgain (peer: string, entry: Entry): void {
    entry.error = undefined
    this.#submit(peer, entry.msgId, entry.content)
  }

  /** Tells the senders of what is open that it was read. */
  read (): void {
    for (const entry of this.conversation(this.peer).unread) {
      entry.isRead = true
      this.services.markRead(entry.sender, entry.msgId).catch(() => { entry.isRead = false })
    }
  }

  /** Fetches what the client does not follow yet; never rejects. Of the first session all is taken for read. */
  async load (peer: string): Promise<void> {
    const conversation = this.conversation(peer)
    const isRead = this.client.sessions === 1
    try {
      for (let page = 0; page < MAX_PAGES; page++) {
        const after = Math.max(0, ...conversation.entries.map(({ sequenceNumber }) => sequenceNumber).filter(Number.isFinite))
        const messages = await this.services.history(conversation.id, after)
        if (messages.length === 0) return
        for (const message of messages) conversation.receive(message, undefined, isRead)
        this.#host.onChange()
      }
    } catch {
      // Not a member, or the services are away: the next session asks again.
    }
  }

  #submit (peer: string, msgId: string, content: string): void {
    const conversation = this.conversation(peer)
    const startedMs = performance.now()
    this.#host.onSend(msgId, startedMs)
    this.client.send(peer, content, { msgId }).then(({ sequenceNumber }) => {
      this.#followed.add(peer)
      this.lastAcceptedMs = performance.now() - startedMs
      conversation.accepted(msgId, sequenceNumber, this.lastAcceptedMs)
      this.#host.onAccepted(this.lastAcceptedMs)
    }, (error: unknown) => {
      conversation.refused(msgId, error instanceof ImError ? error.code : String(error))
    }).finally(this.#host.onChange)
    this.#host.onChange()
  }

  #receive (message: Message, peer: string): void {
    this.#followed.add(peer)
    const latencyMs = message.sender === this.name ? undefined : this.#host.onReceived(message.msgId)
    this.conversation(peer).receive(message, latencyMs, false)
    if (this.isReading && this.peer === peer) this.read()
    this.#host.onChange()
  }

  #enter (state: ClientState): void {
    const { onNews, onChange } = this.#host
    if (this.state === 'open') {
      this.#lostMs = performance.now()
      if (state === 'waiting') onNews(`${this.name} lost the connection`)
    }
    this.state = state
    if (state === 'open') {
      if (this.#lostMs !== undefined) onNews(`${this.name} is back after ${Math.round(performance.now() - this.#lostMs)} ms`)
      for (const conversation of this.#conversations.values()) if (!this.#followed.has(conversation.id)) void this.load(conversation.id)
    }
    onChange()
  }
}

export function isGroup (peer: string): boolean {
  return peer.startsWith(GROUP_PREFIX)
}

/** `group_friends` as `friends`. */
export function titleOf (peer: string): string {
  return isGroup(peer) ? peer.slice(GROUP_PREFIX.length) : peer
}
