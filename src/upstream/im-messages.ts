/** RouteRequest to the messages of the IM Service and its replies back. */
import {
  MessageType, type RouteGroupMessageRequest, type RouteItem, type RoutePrivateMessageRequest, type RouteReply
} from '../generated/im/v1/im.ts'
import { GatewayError } from '../errors.ts'
import type { MessageType as MessageTypeName } from '../protocol/frames.ts'
import type { RouteAccepted, RouteRequest } from '../ports.ts'
import { imError } from './service-errors.ts'

const MESSAGE_TYPES: Readonly<Record<MessageTypeName, MessageType>> = {
  text: MessageType.MESSAGE_TYPE_TEXT,
  image: MessageType.MESSAGE_TYPE_IMAGE,
  file: MessageType.MESSAGE_TYPE_FILE,
  audio: MessageType.MESSAGE_TYPE_AUDIO,
  video: MessageType.MESSAGE_TYPE_VIDEO,
  location: MessageType.MESSAGE_TYPE_LOCATION,
  system: MessageType.MESSAGE_TYPE_SYSTEM
}
const NO_METADATA: { readonly [key: string]: string } = Object.freeze({})
const MAX_DATE_MS = 8.64e15
const MAX_SEQUENCE = BigInt(Number.MAX_SAFE_INTEGER)
// Tags, lengths, the timestamp and the type, generously.
const FIXED_BYTES = 128
const BYTES_PER_UNIT = 3

/** The request of either call, each of which encodes the recipient's field that it has. One literal: to spread a common part into two costs more than to encode it. */
export function imRequest (request: RouteRequest): RoutePrivateMessageRequest & RouteGroupMessageRequest {
  return {
    msgId: request.msgId,
    senderId: request.senderId,
    senderDeviceId: request.senderDeviceId,
    recipientId: request.recipientId,
    groupId: request.recipientId,
    content: request.content,
    messageType: MESSAGE_TYPES[request.messageType],
    metadata: request.metadata ?? NO_METADATA,
    // A Date holds 8.64e15 ms; what a client claims beyond is of no use and must not make the call fail.
    clientTimestamp: new Date(Math.min(request.clientTimestampMs, MAX_DATE_MS))
  }
}

/** One message of a RouteStream batch. */
export function routeItem (correlation: number, request: RouteRequest): RouteItem {
  return {
    correlation,
    traceparent: request.traceparent ?? '',
    message: request.kind === 'private'
      ? { $case: 'private', value: imRequest(request) }
      : { $case: 'group', value: imRequest(request) }
  }
}

/** An upper bound of an encoded item's bytes: a UTF-16 unit is three bytes of UTF-8 at most. */
export function maxItemBytes (request: RouteRequest): number {
  let units = (request.traceparent?.length ?? 0) + request.msgId.length + request.senderId.length + request.senderDeviceId.length + request.recipientId.length + request.content.length
  let bytes = FIXED_BYTES
  for (const key in request.metadata) {
    units += key.length + (request.metadata[key]?.length ?? 0)
    bytes += FIXED_BYTES
  }
  return bytes + units * BYTES_PER_UNIT
}

/** The fields that a gateway reads of an IM Service's reply, private or group. */
export type ImReply = Pick<NonNullable<RouteReply['reply']>['value'], 'sequenceNumber' | 'serverTimestamp' | 'errorCode'>

/**
 * What an OK reply says. Throws a GatewayError: the IM Service's refusal, or INTERNAL_ERROR for a sequence number that a
 * JSON number cannot carry; such a number is never rounded, so the client gets no ack.
 */
export function acceptedFrom (reply: ImReply, nowMs: number): RouteAccepted {
  const code = imError(reply.errorCode)
  if (code !== undefined) throw new GatewayError(code)
  if (reply.sequenceNumber < 0n || reply.sequenceNumber > MAX_SEQUENCE) {
    throw new GatewayError('INTERNAL_ERROR', { detail: `the IM Service's sequence number ${reply.sequenceNumber} is out of range` })
  }
  const timestampMs = reply.serverTimestamp?.getTime() ?? NaN
  return { sequenceNumber: Number(reply.sequenceNumber), timestampMs: Number.isNaN(timestampMs) ? nowMs : timestampMs }
}
