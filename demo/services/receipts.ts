/** Read receipts: of a private message by a push to its sender's devices, of a group message through the broker. */
import type { PushMessageResponse, PushReadReceiptRequest } from '../../src/generated/gateway/v1/gateway.ts'
import { Scope } from '../../src/generated/gateway/v1/gateway.ts'
import type { Clock } from '../../src/ports.ts'
import type { Producer } from '../producer.ts'
import { participantsOf, type MessageStore } from '../stores/message-store.ts'

export interface ReceiptsOptions {
  readonly store: MessageStore
  readonly producer: Producer
  /** The gRPC address of any live gateway; undefined where there is none. */
  readonly anyGateway: () => Promise<string | undefined>
  readonly push: (gateway: string, request: PushReadReceiptRequest, deadlineMs: number) => Promise<PushMessageResponse>
  readonly isMember: (groupId: string, userId: string) => Promise<boolean | undefined>
  readonly clock: Clock
}

const PUSH_DEADLINE_MS = 2_000

export class Receipts {
  readonly #options: ReceiptsOptions

  constructor (options: ReceiptsOptions) {
    this.#options = options
  }

  /** Resolves to false where there is no such message, or where the reader has no part in its conversation. */
  async markRead (readerId: string, senderId: string, msgId: string): Promise<boolean> {
    const { store, producer, anyGateway, push, isMember, clock } = this.#options
    const message = await store.find(senderId, msgId)
    if (message === undefined) return false
    const isReader = message.isGroup
      ? await isMember(message.recipientId, readerId) === true
      : participantsOf(message.conversation)?.includes(readerId) === true
    if (!isReader) return false
    const readAt = clock.unixMs()
    if (message.isGroup) {
      const record = { msg_id: msgId, sender_id: senderId, reader_id: readerId, conversation_id: message.recipientId, read_at: readAt }
      await producer.produce('read_receipt_events', senderId, record)
      return true
    }
    const gateway = await anyGateway()
    // Without a gateway nobody is online to be told.
    if (gateway !== undefined) {
      // The sender knows the conversation by the reader's name.
      await push(gateway, { msgId, senderId, readerId, conversationId: readerId, readAt: BigInt(readAt), scope: Scope.CLUSTER }, PUSH_DEADLINE_MS)
    }
    return true
  }
}
