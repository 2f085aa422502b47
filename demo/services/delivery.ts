/**
 * Private messages to devices: looks the user up, pushes through a gateway, tries again after 1, 2 and 4 seconds, and
 * then leaves the message to the history. A device that missed a message another device of the user acknowledged sees the
 * gap in the numbers and fetches the history as well.
 */
import type { PushMessageRequest, PushMessageResponse } from '../../src/generated/gateway/v1/gateway.ts'
import { Scope } from '../../src/generated/gateway/v1/gateway.ts'
import type { Clock, Logger, Timer } from '../../src/ports.ts'
import type { StoredMessage } from '../stores/message-store.ts'
import { Lines } from './lines.ts'

/** Where a user is; `gateway` is the gRPC address of the node that holds most of the devices. */
export interface Whereabouts { readonly gateway: string, readonly deviceIds: readonly string[] }

export interface DeliveryOptions {
  /** undefined: the registry answered and knows no device. Rejects where the registry cannot tell. */
  readonly locate: (userId: string) => Promise<Whereabouts | undefined>
  readonly push: (gateway: string, request: PushMessageRequest, deadlineMs: number) => Promise<PushMessageResponse>
  readonly retryDelaysMs?: readonly number[]
  readonly clock: Clock
  readonly logger: Logger
}

export type DeliveryResult = 'delivered' | 'offline'

interface Target { readonly userId: string, readonly excludeDeviceId: string }

const RETRY_DELAYS_MS = [1_000, 2_000, 4_000]
/** ACK_TIMEOUT of the gateway and what it takes off a caller's deadline. */
const PUSH_DEADLINE_MS = 6_000
/** Past it a message goes to the history at once. */
const MAX_UNDER_WAY = 10_000

export class Delivery {
  readonly #options: DeliveryOptions
  /** Pushes of one conversation leave in the order of their numbers. */
  readonly #lines = new Lines()
  readonly #sleeping = new Map<Timer, () => void>()
  #underWay = 0
  #isClosed = false

  constructor (options: DeliveryOptions) {
    this.#options = options
  }

  /** To all devices of the recipient; never rejects. */
  toRecipient (message: StoredMessage): Promise<DeliveryResult> {
    const isOwn = message.senderId === message.recipientId
    return this.#deliver(message, { userId: message.recipientId, excludeDeviceId: isOwn ? message.senderDeviceId : '' })
  }

  /** To the sender's devices but the sending one; never rejects. */
  toSender (message: StoredMessage): Promise<DeliveryResult> {
    return this.#deliver(message, { userId: message.senderId, excludeDeviceId: message.senderDeviceId })
  }

  /** What waits for another try ends as offline at once. */
  async close (): Promise<void> {
    this.#isClosed = true
    for (const [timer, wake] of this.#sleeping) {
      this.#options.clock.clearTimer(timer)
      wake()
    }
    this.#sleeping.clear()
    await this.#lines.idle()
  }

  async #deliver (message: StoredMessage, target: Target): Promise<DeliveryResult> {
    if (this.#underWay >= MAX_UNDER_WAY) return 'offline'
    this.#underWay++
    try {
      for (const delayMs of [0, ...(this.#options.retryDelaysMs ?? RETRY_DELAYS_MS)]) {
        if (delayMs > 0) await this.#sleep(delayMs)
        if (this.#isClosed) return 'offline'
        const outcome = await this.#attempt(message, target)
        if (outcome !== 'again') return outcome
      }
      return 'offline'
    } finally {
      this.#underWay--
    }
  }

  async #attempt (message: StoredMessage, target: Target): Promise<DeliveryResult | 'again'> {
    try {
      // Only up to the start of the push: a device that takes its time does not hold up the next message.
      const started = await this.#lines.run(message.conversation, async () => await this.#start(message, target))
      if (started === undefined) return 'offline'
      const report = await started.report
      if (report.success) return 'delivered'
      return report.devices.length === 0 && !report.routesIncomplete ? 'offline' : 'again'
    } catch (error) {
      this.#options.logger.warn({ err: error, msgId: message.msgId }, 'a push failed')
      return 'again'
    }
  }

  /** In an object, so that waiting for the start is not waiting for the report. */
  async #start (message: StoredMessage, target: Target): Promise<{ readonly report: Promise<PushMessageResponse> } | undefined> {
    const whereabouts = await this.#options.locate(target.userId)
    const devices = whereabouts?.deviceIds.filter((deviceId) => deviceId !== target.excludeDeviceId) ?? []
    if (whereabouts === undefined || devices.length === 0) return undefined
    const report = this.#options.push(whereabouts.gateway, requestOf(message, target), PUSH_DEADLINE_MS)
    // Its owner may not have got to it yet when it fails.
    report.catch(() => {})
    return { report }
  }

  #sleep (delayMs: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#options.clock.setTimer(() => {
        this.#sleeping.delete(timer)
        resolve()
      }, delayMs)
      this.#sleeping.set(timer, resolve)
    })
  }
}

function requestOf (message: StoredMessage, target: Target): PushMessageRequest {
  return {
    msgId: message.msgId,
    recipientId: target.userId,
    deviceId: '',
    senderId: message.senderId,
    content: message.content,
    messageType: message.messageType,
    sequenceNumber: message.sequenceNumber,
    timestamp: BigInt(message.acceptedAtMs),
    // The sender's other devices file it under the one it was sent to.
    conversationId: message.recipientId,
    metadata: { ...message.metadata },
    excludeDeviceId: target.excludeDeviceId,
    scope: Scope.CLUSTER
  }
}
