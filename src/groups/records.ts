/**
 * Bus records: JSON values in, facts of the core out. Never throws: what cannot be read is `poison`, counted and passed
 * over by the consumer. Ids, content and sizes are what a client's frame may carry, for these go to clients.
 */
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import { parse } from 'secure-json-parse'
import { isPartyId } from '../protocol/decode.ts'
import { encodeMessage, type MembershipChange, type ReadReceipt } from '../protocol/encode.ts'
import { ID_PATTERN, MAX_FRAME_BYTES, MAX_METADATA_KEYS, MESSAGE_TYPES, PARTY_PATTERN, type OutboundMessage } from '../protocol/frames.ts'
import type { PoisonReason } from './record-tally.ts'

/** Larger values are not parsed. */
export const MAX_RECORD_BYTES = 512 * 1024

export type Read<T> =
  | { readonly ok: true, readonly value: T }
  | { readonly ok: false, readonly reason: Extract<PoisonReason, 'empty' | 'too_large' | 'bad_json' | 'bad_shape'> }

/** A group message and the one frame for all its members; `fault`: why its record is passed over, with the message if that could be read. */
export type GroupFrame =
  | { readonly message: OutboundMessage, readonly frame: Buffer, readonly fault?: undefined }
  | { readonly message: OutboundMessage | undefined, readonly frame?: undefined, readonly fault: PoisonReason }

export interface GroupReceipt extends ReadReceipt {
  /** Whose devices get it. */
  readonly senderId: string
  /** Only this device, where it is set. */
  readonly deviceId: string | undefined
}

// Producers in other languages write null for an absent field.
const optional = <T extends Type.TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]))
const Id = Type.String({ pattern: ID_PATTERN })
const Party = Type.String({ pattern: PARTY_PATTERN })
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })

const groupMessage = Compile(Type.Object({
  msg_id: Id,
  group_id: Party,
  sender_id: Party,
  content: Type.String(),
  message_type: Type.Enum([...MESSAGE_TYPES]),
  sequence_number: Count,
  timestamp: Count,
  metadata: optional(Type.Record(Type.String(), Type.String(), { maxProperties: MAX_METADATA_KEYS }))
}))
const membershipChange = Compile(Type.Object({
  group_id: Party,
  user_id: Party,
  event_type: Type.Enum(['join', 'leave']),
  timestamp: Count
}))
const readReceipt = Compile(Type.Object({
  msg_id: Id,
  sender_id: Party,
  reader_id: Party,
  conversation_id: Party,
  read_at: Count,
  device_id: optional(Id)
}))

export function readGroupMessage (value: Buffer | null): Read<OutboundMessage> {
  const json = readJson(value)
  if (!json.ok) return json
  const record = json.value
  if (!groupMessage.Check(record) || !isPartyId(record.sender_id) || !isPartyId(record.group_id)) return { ok: false, reason: 'bad_shape' }
  return {
    ok: true,
    value: {
      msgId: record.msg_id,
      sender: record.sender_id,
      recipient: record.group_id,
      content: record.content,
      messageType: record.message_type,
      metadata: record.metadata ?? undefined,
      timestamp: record.timestamp,
      sequenceNumber: record.sequence_number
    }
  }
}

/** `groupId`: by the record's key, which chose the members. */
export function groupFrame (groupId: string, value: Buffer | null): GroupFrame {
  const read = readGroupMessage(value)
  if (!read.ok) return { message: undefined, fault: read.reason }
  const message = read.value
  if (message.recipient !== groupId) return { message, fault: 'key_mismatch' }
  const frame = encodeMessage(message, false)
  return frame.length > MAX_FRAME_BYTES ? { message, fault: 'too_large' } : { message, frame }
}

export function readMembershipChange (value: Buffer | null): Read<MembershipChange> {
  const json = readJson(value)
  if (!json.ok) return json
  const record = json.value
  if (!membershipChange.Check(record) || !isPartyId(record.user_id) || !isPartyId(record.group_id)) return { ok: false, reason: 'bad_shape' }
  return { ok: true, value: { groupId: record.group_id, userId: record.user_id, eventType: record.event_type } }
}

export function readReceiptEvent (value: Buffer | null): Read<GroupReceipt> {
  const json = readJson(value)
  if (!json.ok) return json
  const record = json.value
  if (!readReceipt.Check(record) || !isPartyId(record.sender_id) || !isPartyId(record.reader_id)) return { ok: false, reason: 'bad_shape' }
  return {
    ok: true,
    value: {
      msgId: record.msg_id,
      senderId: record.sender_id,
      readerId: record.reader_id,
      conversationId: record.conversation_id,
      readAtMs: record.read_at,
      deviceId: record.device_id ?? undefined
    }
  }
}

function readJson (value: Buffer | null): Read<unknown> {
  if (value === null || value.length === 0) return { ok: false, reason: 'empty' }
  if (value.length > MAX_RECORD_BYTES) return { ok: false, reason: 'too_large' }
  try {
    return { ok: true, value: parse(value.toString(), null, { protoAction: 'error', constructorAction: 'error' }) as unknown }
  } catch {
    return { ok: false, reason: 'bad_json' }
  }
}
