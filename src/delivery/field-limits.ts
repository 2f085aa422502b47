/** What the fields of the calls may hold [GW-ACK-6]. Each function names the first field that is wrong, by its name in the proto file. */
import { Scope, type DisconnectRequest, type ExplainRequest, type GetPresenceRequest, type PushMessageRequest, type PushReadReceiptRequest } from '../generated/gateway/v1/gateway.ts'
import { isClientId, isPartyId } from '../protocol/decode.ts'
import { MAX_METADATA_KEYS, MESSAGE_TYPES } from '../protocol/frames.ts'

const TYPES: ReadonlySet<string> = new Set(MESSAGE_TYPES)
const MAX_NUMBER = BigInt(Number.MAX_SAFE_INTEGER)
export const MAX_PRESENCE_USERS = 100
/** Characters of a reason. */
export const MAX_REASON_LENGTH = 256

const AN_ID = 'must be 1-64 characters of A-Za-z0-9._:-'
const A_PARTY = 'must be 1-128 characters, none of them a control character'
const A_NUMBER = 'must be between 0 and 2^53-1'
const A_SCOPE = 'must be CLUSTER or LOCAL'

/** An empty `message_type` counts as `text`, as in `send_msg`. Whether the content fits a frame is seen when the frame is built. */
export function pushFault (request: PushMessageRequest): string | undefined {
  if (!isClientId(request.msgId)) return `msg_id ${AN_ID}`
  if (!isPartyId(request.recipientId)) return `recipient_id ${A_PARTY}`
  if (request.deviceId !== '' && !isClientId(request.deviceId)) return `device_id ${AN_ID}, or empty`
  if (!isPartyId(request.senderId)) return `sender_id ${A_PARTY}`
  if (request.messageType !== '' && !TYPES.has(request.messageType)) return `message_type must be one of ${MESSAGE_TYPES.join(', ')}`
  if (!isNumber(request.sequenceNumber)) return `sequence_number ${A_NUMBER}`
  if (!isNumber(request.timestamp)) return `timestamp ${A_NUMBER}`
  if (request.conversationId !== '' && !isPartyId(request.conversationId)) return `conversation_id ${A_PARTY}, or empty`
  if (Object.keys(request.metadata).length > MAX_METADATA_KEYS) return `metadata must have at most ${MAX_METADATA_KEYS} keys`
  if (request.excludeDeviceId !== '' && !isClientId(request.excludeDeviceId)) return `exclude_device_id ${AN_ID}, or empty`
  if (request.excludeDeviceId !== '' && request.excludeDeviceId === request.deviceId) return 'exclude_device_id must not be device_id'
  if (!isScope(request.scope)) return `scope ${A_SCOPE}`
  return undefined
}

export function receiptFault (request: PushReadReceiptRequest): string | undefined {
  if (!isClientId(request.msgId)) return `msg_id ${AN_ID}`
  if (!isPartyId(request.senderId)) return `sender_id ${A_PARTY}`
  if (!isPartyId(request.readerId)) return `reader_id ${A_PARTY}`
  if (!isPartyId(request.conversationId)) return `conversation_id ${A_PARTY}`
  if (!isNumber(request.readAt)) return `read_at ${A_NUMBER}`
  if (!isScope(request.scope)) return `scope ${A_SCOPE}`
  return undefined
}

export function presenceFault (request: GetPresenceRequest): string | undefined {
  if (request.userIds.length > MAX_PRESENCE_USERS) return `user_ids must be at most ${MAX_PRESENCE_USERS}`
  if (!request.userIds.every(isPartyId)) return `user_ids each ${A_PARTY}`
  return undefined
}

export function disconnectFault (request: DisconnectRequest): string | undefined {
  if (!isPartyId(request.userId)) return `user_id ${A_PARTY}`
  if (request.deviceId !== '' && !isClientId(request.deviceId)) return `device_id ${AN_ID}, or empty`
  if (request.reason.length > MAX_REASON_LENGTH) return `reason must be at most ${MAX_REASON_LENGTH} characters`
  if (!isScope(request.scope)) return `scope ${A_SCOPE}`
  return undefined
}

export function explainFault ({ msgId, userId }: ExplainRequest): string | undefined {
  if ((msgId === '') === (userId === '')) return 'one of msg_id and user_id must be set'
  if (msgId !== '' && !isClientId(msgId)) return `msg_id ${AN_ID}`
  if (userId !== '' && !isPartyId(userId)) return `user_id ${A_PARTY}`
  return undefined
}

function isNumber (value: bigint): boolean {
  return value >= 0n && value <= MAX_NUMBER
}

function isScope (scope: Scope): boolean {
  return scope === Scope.CLUSTER || scope === Scope.LOCAL
}
