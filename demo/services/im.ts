/**
 * The stand-in IM Service: accepts messages once, numbers them, hands private ones to devices and group ones to the
 * broker, keeps the history. What it answered OK to is safe.
 */
import {
  DeliveryStatus, IMErrorCode, type RouteGroupMessageRequest, type RouteGroupMessageResponse,
  type RoutePrivateMessageRequest, type RoutePrivateMessageResponse
} from '../../src/generated/im/v1/im.ts'
import type { Clock, Logger } from '../../src/ports.ts'
import { conversationOf, type MessageStatus, type MessageStore, type NewMessage, type StoredMessage } from '../stores/message-store.ts'
import type { Delivery } from './delivery.ts'
import type { GroupPublisher } from './group-publisher.ts'
import { Lines } from './lines.ts'
import { typeName } from './message-types.ts'

export interface ImOptions {
  readonly store: MessageStore
  readonly delivery: Delivery
  readonly publisher: GroupPublisher
  readonly isUser: (userId: string) => boolean
  /** The User Service's word; undefined where it knows no such group. Rejects where it does not answer. */
  readonly isMember: (groupId: string, userId: string) => Promise<boolean | undefined>
  readonly maxContentBytes?: number
  readonly clock: Clock
  readonly logger: Logger
}

/** A refusal that the sender is told. */
class Refusal extends Error {
  readonly code: IMErrorCode

  constructor (code: IMErrorCode, text: string) {
    super(text)
    this.code = code
  }
}

const MAX_CONTENT_BYTES = 8_192
const MAX_RECOVERED = 10_000

const STATUSES: Readonly<Record<MessageStatus, DeliveryStatus>> = {
  accepted: DeliveryStatus.DELIVERY_STATUS_PENDING,
  published: DeliveryStatus.DELIVERY_STATUS_PENDING,
  delivered: DeliveryStatus.DELIVERY_STATUS_DELIVERED,
  offline: DeliveryStatus.DELIVERY_STATUS_OFFLINE
}

export class ImStandIn {
  readonly #options: ImOptions
  readonly #lines = new Lines()
  /** Private messages that are on their way to devices, by sender and msg_id. */
  readonly #underWay = new Set<string>()

  constructor (options: ImOptions) {
    this.#options = options
    options.publisher.onRetry((groupId) => {
      void this.#lines.run(conversationOf('', groupId, true), () => options.publisher.flush(groupId)).catch(() => {})
    })
  }

  /** Takes up what was accepted and not handed on before a restart. */
  async recover (): Promise<void> {
    const groups = new Set<string>()
    for (const message of await this.#options.store.unfinished(MAX_RECOVERED)) {
      if (!message.isGroup) this.#handOn(message)
      else {
        this.#options.publisher.add(message)
        groups.add(message.recipientId)
      }
    }
    for (const groupId of groups) await this.#lines.run(conversationOf('', groupId, true), () => this.#options.publisher.flush(groupId)).catch(() => {})
  }

  async routePrivate (request: RoutePrivateMessageRequest): Promise<RoutePrivateMessageResponse> {
    try {
      if (!this.#options.isUser(request.recipientId)) throw new Refusal(IMErrorCode.IM_ERROR_CODE_RECIPIENT_NOT_FOUND, 'no such user')
      const fresh = this.#check(request, request.recipientId, false)
      const message = await this.#lines.run(fresh.conversation, async () => {
        const stored = await this.#accept(fresh)
        this.#handOn(stored)
        return stored
      })
      return { ...accepted(message), deliveryStatus: STATUSES[message.status] }
    } catch (error) {
      return { ...this.#refused(error), deliveryStatus: DeliveryStatus.DELIVERY_STATUS_FAILED }
    }
  }

  /** The member counts stay 0: a gateway has no use for them, and counting 1,500 members takes longer than all the rest. */
  async routeGroup (request: RouteGroupMessageRequest): Promise<RouteGroupMessageResponse> {
    try {
      const isMember = await this.#options.isMember(request.groupId, request.senderId)
      if (isMember === undefined) throw new Refusal(IMErrorCode.IM_ERROR_CODE_GROUP_NOT_FOUND, 'no such group')
      if (!isMember) throw new Refusal(IMErrorCode.IM_ERROR_CODE_NOT_GROUP_MEMBER, 'not a member')
      const fresh = this.#check(request, request.groupId, true)
      const message = await this.#lines.run(fresh.conversation, async () => await this.#acceptAndPublish(fresh))
      return { ...accepted(message), onlineMemberCount: 0, offlineMemberCount: 0 }
    } catch (error) {
      return { ...this.#refused(error), onlineMemberCount: 0, offlineMemberCount: 0 }
    }
  }

  async close (): Promise<void> {
    this.#options.publisher.close()
    await this.#options.delivery.close()
    await this.#lines.idle()
  }

  #check (request: RoutePrivateMessageRequest | RouteGroupMessageRequest, recipientId: string, isGroup: boolean): NewMessage {
    const { msgId, senderId, senderDeviceId, content, metadata } = request
    const { isUser, maxContentBytes = MAX_CONTENT_BYTES } = this.#options
    if (msgId === '' || recipientId === '') throw new Refusal(IMErrorCode.IM_ERROR_CODE_INVALID_MESSAGE, 'an id is missing')
    if (!isUser(senderId)) throw new Refusal(IMErrorCode.IM_ERROR_CODE_SENDER_NOT_FOUND, 'no such sender')
    if (Buffer.byteLength(content) > maxContentBytes) throw new Refusal(IMErrorCode.IM_ERROR_CODE_CONTENT_TOO_LONG, `more than ${maxContentBytes} bytes`)
    const messageType = typeName(request.messageType)
    return { conversation: conversationOf(senderId, recipientId, isGroup), isGroup, msgId, senderId, senderDeviceId, recipientId, content, messageType, metadata }
  }

  /** A repeat has to say the same again: an id that comes with other words is a mistake of the client's, not a repeat. */
  async #accept (fresh: NewMessage): Promise<StoredMessage> {
    const stored = await this.#options.store.accept(fresh, this.#options.clock.unixMs())
    const { conversation, content, messageType } = stored
    if (conversation !== fresh.conversation || content !== fresh.content || messageType !== fresh.messageType) {
      throw new Refusal(IMErrorCode.IM_ERROR_CODE_INVALID_MESSAGE, 'this msg_id was used for another message')
    }
    return stored
  }

  async #acceptAndPublish (fresh: NewMessage): Promise<StoredMessage> {
    const { publisher } = this.#options
    if (publisher.isFull) throw new Refusal(IMErrorCode.IM_ERROR_CODE_KAFKA_ERROR, 'the broker does not keep up')
    const message = await this.#accept(fresh)
    // A repeat as well: the answer to the first attempt may have been lost right after it was kept.
    if (message.status === 'accepted') publisher.add(message)
    try {
      await publisher.flush(fresh.recipientId)
    } catch (error) {
      this.#options.logger.warn({ err: error, msgId: fresh.msgId }, 'the broker did not take a message')
      throw new Refusal(IMErrorCode.IM_ERROR_CODE_KAFKA_ERROR, 'the broker did not answer')
    }
    return message
  }

  /** Delivery goes on by itself: the sender's answer does not wait for the recipient's devices. */
  #handOn (message: StoredMessage): void {
    const { delivery, store, logger } = this.#options
    const key = `${message.msgId} ${message.senderId}`
    if (message.status !== 'accepted' || this.#underWay.has(key)) return
    this.#underWay.add(key)
    void delivery.toRecipient(message)
      .then((status) => store.setStatus(message.senderId, message.msgId, status))
      .catch((error: unknown) => { logger.error({ err: error, msgId: message.msgId }, 'the status of a message was not kept') })
      .finally(() => this.#underWay.delete(key))
    if (message.senderId !== message.recipientId) void delivery.toSender(message)
  }

  #refused (error: unknown) {
    const refusal = error instanceof Refusal ? error : undefined
    if (refusal === undefined) this.#options.logger.error({ err: error }, 'a message could not be accepted')
    return {
      sequenceNumber: 0n,
      serverTimestamp: undefined,
      errorCode: refusal?.code ?? IMErrorCode.IM_ERROR_CODE_INTERNAL_ERROR,
      errorMessage: refusal?.message ?? 'internal error'
    }
  }
}

function accepted (message: StoredMessage) {
  return {
    sequenceNumber: message.sequenceNumber,
    serverTimestamp: new Date(message.acceptedAtMs),
    errorCode: IMErrorCode.IM_ERROR_CODE_UNSPECIFIED,
    errorMessage: ''
  }
}
