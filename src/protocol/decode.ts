/**
 * Frames from clients: JSON text in, one member of a discriminated union out. Parsed once, here; the core never
 * sees JSON. Never throws: whatever a client sends is a frame or an error of the table.
 */
import { Compile } from 'typebox/compile'
import { parse } from 'secure-json-parse'
import type { ErrorCode } from '../errors.ts'
import {
  AckFrameSchema, AuthFrameSchema, GROUP_PREFIX, HeartbeatFrameSchema, ID_PATTERN, PARTY_PATTERN, SendFrameSchema,
  type ClientFrame, type ClientFrameType, type WireSend
} from './frames.ts'

export type Decoded =
  | { readonly ok: true, readonly frame: ClientFrame }
  | {
    readonly ok: false
    readonly code: Extract<ErrorCode, 'INVALID_MESSAGE' | 'UNKNOWN_MESSAGE_TYPE' | 'INVALID_RECIPIENT'>
    /** The frame's own id, where it has a well-formed one. */
    readonly msgId: string | undefined
    readonly type: ClientFrameType | 'invalid'
  }

// `__proto__` and `constructor` as own keys would swap a prototype in a later merge: refused, not dropped.
const PARSE_OPTIONS = { protoAction: 'error', constructorAction: 'error' } as const
const ID = new RegExp(ID_PATTERN, 'u')
const PARTY = new RegExp(PARTY_PATTERN, 'u')

const send = Compile(SendFrameSchema)
const ack = Compile(AckFrameSchema)
const heartbeat = Compile(HeartbeatFrameSchema)
const auth = Compile(AuthFrameSchema)

/** Whether a string can be a user or group id: 1-128 characters, no control characters, no lone surrogates. */
export function isPartyId (value: string): boolean {
  return PARTY.test(value) && value.isWellFormed()
}

/** Whether a string can be a msg_id or device_id. */
export function isClientId (value: string): boolean {
  return ID.test(value)
}

export function decode (text: string): Decoded {
  let value: unknown
  try {
    value = parse(text, null, PARSE_OPTIONS)
  } catch {
    return refuse('INVALID_MESSAGE', undefined, 'invalid')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('INVALID_MESSAGE', undefined, 'invalid')
  const { type, msg_id: id } = value as { type?: unknown, msg_id?: unknown }
  const msgId = typeof id === 'string' && ID.test(id) ? id : undefined
  switch (type) {
    case 'send_msg': return decodeSend(value, msgId)
    case 'ack': return decodeAck(value, msgId)
    case 'heartbeat':
      return heartbeat.Check(value)
        ? { ok: true, frame: { type, timestamp: value.timestamp } }
        : refuse('INVALID_MESSAGE', msgId, type)
    case 'auth':
      return auth.Check(value)
        ? { ok: true, frame: { type, token: value.token } }
        : refuse('INVALID_MESSAGE', msgId, type)
    default:
      return refuse(typeof type === 'string' ? 'UNKNOWN_MESSAGE_TYPE' : 'INVALID_MESSAGE', msgId, 'invalid')
  }
}

function decodeSend (value: object, msgId: string | undefined): Decoded {
  const { recipient } = value as { recipient?: unknown }
  if (typeof recipient === 'string' && !isPartyId(recipient)) return refuse('INVALID_RECIPIENT', msgId, 'send_msg')
  // A lone surrogate would reach the recipient as another character than was sent.
  if (!send.Check(value) || !isWellFormed(value)) return refuse('INVALID_MESSAGE', msgId, 'send_msg')
  return {
    ok: true,
    frame: {
      type: 'send_msg',
      msgId: value.msg_id,
      recipient: value.recipient,
      isGroup: value.recipient.startsWith(GROUP_PREFIX),
      content: value.content,
      timestamp: value.timestamp,
      messageType: value.message_type ?? 'text',
      metadata: value.metadata,
      traceparent: value.traceparent
    }
  }
}

function isWellFormed ({ content, metadata }: WireSend): boolean {
  if (!content.isWellFormed()) return false
  for (const key in metadata) if (!key.isWellFormed() || metadata[key]?.isWellFormed() !== true) return false
  return true
}

function decodeAck (value: object, msgId: string | undefined): Decoded {
  if (!ack.Check(value) || (value.msg_id === undefined && value.msg_ids === undefined)) return refuse('INVALID_MESSAGE', msgId, 'ack')
  const many = value.msg_ids ?? []
  return { ok: true, frame: { type: 'ack', msgIds: value.msg_id === undefined ? many : [value.msg_id, ...many] } }
}

function refuse (code: 'INVALID_MESSAGE' | 'UNKNOWN_MESSAGE_TYPE' | 'INVALID_RECIPIENT', msgId: string | undefined, type: ClientFrameType | 'invalid'): Decoded {
  return { ok: false, code, msgId, type }
}
