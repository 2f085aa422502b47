/** The two things that go to a user's devices at somebody's request: a message, whose ack is awaited, and a read receipt. */
import { Scope, type PushMessageRequest, type PushMessageResponse, type PushReadReceiptRequest } from '../generated/gateway/v1/gateway.ts'
import type { Connection } from '../connections/connection.ts'
import type { Outbox } from '../connections/outbox.ts'
import type { UserEntry } from '../connections/hub.ts'
import { encodeMessage, encodeReadReceipt } from '../protocol/encode.ts'
import type { WaitOutcome } from './pending.ts'
import type { PeerNodes } from './peers.ts'
import type { Tracker } from './tracker.ts'

export type DeviceOutcome = WaitOutcome | 'WRITTEN'

export interface ParcelWaiter {
  settled (deviceId: string, outcome: DeviceOutcome): void
}

export interface Parcel {
  readonly kind: 'push' | 'receipt'
  readonly userId: string
  readonly msgId: string
  /** Who wrote the message, or has read it. */
  readonly senderId: string
  /** Empty: all devices. */
  readonly deviceId: string
  readonly excludeDeviceId: string
  /** No other node is asked. */
  readonly isLocal: boolean
  /** The whole frame. */
  readonly frame: Buffer
  /** Hands it to the device that `connection` belongs to. The waiter is told once, before this returns or later. */
  deliver (connection: Connection, waitMs: number, waiter: ParcelWaiter): void
  /** Asks the node at `address` to deliver it to a device, or with an empty `deviceId` to all of the user's devices there. */
  forward (peers: PeerNodes, address: string, deviceId: string, deadlineMs: number, traceparent?: string): Promise<PushMessageResponse>
}

export class MessageParcel implements Parcel {
  readonly #request: PushMessageRequest
  readonly #tracker: Tracker
  readonly kind = 'push'
  readonly frame: Buffer

  /** The request has passed its field limits. */
  constructor (request: PushMessageRequest, tracker: Tracker) {
    this.#request = request
    this.#tracker = tracker
    this.frame = encodeMessage({
      msgId: request.msgId,
      sender: request.senderId,
      recipient: request.conversationId === '' ? request.recipientId : request.conversationId,
      content: request.content,
      messageType: request.messageType === '' ? 'text' : request.messageType,
      metadata: Object.keys(request.metadata).length > 0 ? request.metadata : undefined,
      timestamp: Number(request.timestamp),
      sequenceNumber: Number(request.sequenceNumber)
    }, true)
  }

  get userId (): string { return this.#request.recipientId }
  get senderId (): string { return this.#request.senderId }
  get msgId (): string { return this.#request.msgId }
  get deviceId (): string { return this.#request.deviceId }
  get excludeDeviceId (): string { return this.#request.excludeDeviceId }
  get isLocal (): boolean { return this.#request.scope === Scope.LOCAL }

  deliver (connection: Connection, waitMs: number, waiter: ParcelWaiter): void {
    this.#tracker.push(connection, this.msgId, this.frame, waitMs, waiter)
  }

  forward (peers: PeerNodes, address: string, deviceId: string, deadlineMs: number, traceparent?: string): Promise<PushMessageResponse> {
    return peers.push(address, { ...this.#request, deviceId, scope: Scope.LOCAL }, deadlineMs, traceparent)
  }
}

export class ReceiptParcel implements Parcel {
  readonly #request: PushReadReceiptRequest
  readonly #outbox: Pick<Outbox, 'send'>
  readonly kind = 'receipt'
  readonly frame: Buffer
  readonly deviceId = ''
  readonly excludeDeviceId = ''

  /** The request has passed its field limits. */
  constructor (request: PushReadReceiptRequest, outbox: Pick<Outbox, 'send'>, nowUnixMs: number) {
    this.#request = request
    this.#outbox = outbox
    this.frame = encodeReadReceipt({
      msgId: request.msgId, readerId: request.readerId, conversationId: request.conversationId, readAtMs: Number(request.readAt)
    }, nowUnixMs)
  }

  get userId (): string { return this.#request.senderId }
  get senderId (): string { return this.#request.readerId }
  get msgId (): string { return this.#request.msgId }
  get isLocal (): boolean { return this.#request.scope === Scope.LOCAL }

  /** Nobody would notice the loss in a socket that is being replaced: all sockets of the device get it. */
  deliver (connection: Connection, _waitMs: number, waiter: ParcelWaiter): void {
    let outcome: DeviceOutcome = 'GONE'
    for (const each of connection.user.connections) {
      if (each.deviceId !== connection.deviceId) continue
      const result = this.#outbox.send(each, this.frame, 'read_receipt')
      if (result === 'queued') outcome = 'WRITTEN'
      else if (result === 'slow' && outcome === 'GONE') outcome = 'SLOW'
    }
    waiter.settled(connection.deviceId, outcome)
  }

  forward (peers: PeerNodes, address: string, _deviceId: string, deadlineMs: number): Promise<PushMessageResponse> {
    return peers.pushReadReceipt(address, { ...this.#request, scope: Scope.LOCAL }, deadlineMs)
  }
}

/**
 * One connection for each device that a parcel is for. Of several the newest that is registered: what waits there moves
 * on with its replacement, while one that is still opening may yet be refused.
 */
export function targetsOf (user: UserEntry | undefined, deviceId: string, excludeDeviceId: string): Connection[] {
  const targets: Connection[] = []
  if (user === undefined) return targets
  for (const connection of user.connections) {
    if (deviceId !== '' && connection.deviceId !== deviceId) continue
    if (connection.deviceId === excludeDeviceId) continue
    if (connection.isEnding) continue
    const at = targets.findIndex((target) => target.deviceId === connection.deviceId)
    if (at === -1) targets.push(connection)
    else if (isBetter(connection, targets[at] as Connection)) targets[at] = connection
  }
  return targets
}

function isBetter (connection: Connection, than: Connection): boolean {
  if (connection.state !== than.state) return connection.state === 'open'
  return connection.serial > than.serial
}
