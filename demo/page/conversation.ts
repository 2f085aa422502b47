/** One conversation as one person sees it: messages in the order of their numbers, each of the person's own with its tick. */
import type { Message } from '../../client/src/index.ts'

/** How far a message of one's own has come; it never goes back. */
export type Tick = 'waiting' | 'accepted' | 'delivered' | 'read'

export interface Entry {
  readonly msgId: string
  readonly sender: string
  readonly content: string
  /** Unix milliseconds. */
  readonly at: number
  readonly isOwn: boolean
  /** Infinity: not accepted yet, so after all others. */
  sequenceNumber: number
  tick: Tick
  /** An own message: until it was accepted; another's: from its sender's button to here. undefined: not seen by this page. */
  latencyMs: number | undefined
  /** Who has read it, of the others. */
  readonly readers: Set<string>
  /** Of a message that was refused for good. */
  error: string | undefined
  /** Another's: whether the person has read it. */
  isRead: boolean
}

const TICKS: readonly Tick[] = ['waiting', 'accepted', 'delivered', 'read']
/** Older ones scroll out of the page, not out of the history. */
const MAX_ENTRIES = 200

export class Conversation {
  readonly id: string
  readonly #owner: string
  readonly #byId = new Map<string, Entry>()

  /** `owner`: whose view it is. */
  constructor (id: string, owner: string) {
    this.id = id
    this.#owner = owner
  }

  /** In order. */
  get entries (): readonly Entry[] {
    return [...this.#byId.values()].sort((a, b) => a.sequenceNumber - b.sequenceNumber || a.at - b.at)
  }

  get unread (): readonly Entry[] {
    return [...this.#byId.values()].filter(({ isRead }) => !isRead)
  }

  send (msgId: string, content: string, at: number): void {
    this.#add({ msgId, sender: this.#owner, content, at, isOwn: true, sequenceNumber: Infinity, tick: 'waiting', latencyMs: undefined, readers: new Set(), error: undefined, isRead: true })
  }

  accepted (msgId: string, sequenceNumber: number, latencyMs: number): void {
    const entry = this.#byId.get(msgId)
    if (entry === undefined) return
    Object.assign(entry, { sequenceNumber, latencyMs })
    rise(entry, 'accepted')
  }

  refused (msgId: string, error: string): void {
    const entry = this.#byId.get(msgId)
    if (entry !== undefined) entry.error = error
  }

  delivered (msgId: string): void {
    const entry = this.#byId.get(msgId)
    if (entry !== undefined) rise(entry, 'delivered')
  }

  /** `others`: how many could read it; it counts as read when all of them have. */
  readBy (msgId: string, reader: string, others: number): void {
    const entry = this.#byId.get(msgId)
    if (entry === undefined) return
    entry.readers.add(reader)
    if (entry.readers.size >= others) rise(entry, 'read')
  }

  /** From the gateway or from the history; one that is here already is passed over. False: it was. */
  receive ({ msgId, sender, content, timestamp, sequenceNumber }: Message, latencyMs: number | undefined, isRead: boolean): boolean {
    if (this.#byId.has(msgId)) return false
    const isOwn = sender === this.#owner
    this.#add({ msgId, sender, content, at: timestamp, isOwn, sequenceNumber, tick: 'accepted', latencyMs, readers: new Set(), error: undefined, isRead: isOwn || isRead })
    return true
  }

  #add (entry: Entry): void {
    this.#byId.set(entry.msgId, entry)
    const [oldest] = this.#byId.keys()
    if (this.#byId.size > MAX_ENTRIES && oldest !== undefined) this.#byId.delete(oldest)
  }
}

function rise (entry: Entry, tick: Tick): void {
  if (TICKS.indexOf(tick) > TICKS.indexOf(entry.tick)) entry.tick = tick
}
