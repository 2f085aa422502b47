/** Messages in memory, for as long as the process lives. */
import type { MessageStatus, MessageStore, NewMessage, StoredMessage } from './message-store.ts'

export class MemoryMessageStore implements MessageStore {
  /** Each conversation's messages; the one numbered n stands at n - 1. */
  readonly #conversations = new Map<string, StoredMessage[]>()
  readonly #byId = new Map<string, StoredMessage>()
  /** Those with the status accepted, in the order they came. */
  readonly #unfinished = new Set<string>()

  async accept (message: NewMessage, nowMs: number): Promise<StoredMessage> {
    const key = keyOf(message.senderId, message.msgId)
    const known = this.#byId.get(key)
    if (known !== undefined) return known
    const messages = this.#conversations.get(message.conversation) ?? []
    this.#conversations.set(message.conversation, messages)
    const stored: StoredMessage = { ...message, sequenceNumber: BigInt(messages.length + 1), acceptedAtMs: nowMs, status: 'accepted' }
    messages.push(stored)
    this.#byId.set(key, stored)
    this.#unfinished.add(key)
    return stored
  }

  async setStatus (senderId: string, msgId: string, status: MessageStatus): Promise<void> {
    const key = keyOf(senderId, msgId)
    const stored = this.#byId.get(key)
    if (stored === undefined) return
    const changed = { ...stored, status }
    this.#byId.set(key, changed)
    const messages = this.#conversations.get(stored.conversation) ?? []
    messages[Number(stored.sequenceNumber) - 1] = changed
    if (status === 'accepted') this.#unfinished.add(key)
    else this.#unfinished.delete(key)
  }

  async find (senderId: string, msgId: string): Promise<StoredMessage | undefined> {
    return this.#byId.get(keyOf(senderId, msgId))
  }

  async history (conversation: string, after: bigint, limit: number): Promise<readonly StoredMessage[]> {
    const from = Number(after)
    return this.#conversations.get(conversation)?.slice(from, from + limit) ?? []
  }

  async unfinished (limit: number): Promise<readonly StoredMessage[]> {
    return [...this.#unfinished].slice(0, limit).flatMap((key) => this.#byId.get(key) ?? [])
  }

  async close (): Promise<void> {}
}

/** A msg_id has no space in it. */
function keyOf (senderId: string, msgId: string): string {
  return `${msgId} ${senderId}`
}
