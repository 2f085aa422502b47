/**
 * The frames of `im.v1.json`, one schema each. Types, validators and the reference page come from here.
 * All timestamps are Unix milliseconds.
 */
import Type, { type Static } from 'typebox'

/** 1-64 characters: ids that clients make (msg_id, device_id). */
export const ID_PATTERN = '^[A-Za-z0-9._:-]{1,64}$'
/** 1-128 characters, none of them a control character: user and group ids. */
export const PARTY_PATTERN = '^[^\\u0000-\\u001f\\u007f-\\u009f]{1,128}$'
/** A recipient that starts so is a group; the whole string is its id. */
export const GROUP_PREFIX = 'group_'
export const MAX_METADATA_KEYS = 32
/** Longest token that is looked at, in characters. */
export const MAX_TOKEN_LENGTH = 4096
/** No client gets a larger frame, whether it is pushed or comes from a group: an outbox would take it for a slow reader. */
export const MAX_FRAME_BYTES = 65_536
const MAX_ACK_IDS = 256

export const MESSAGE_TYPES = ['text', 'image', 'file', 'audio', 'video', 'location', 'system'] as const
export type MessageType = typeof MESSAGE_TYPES[number]

const Id = Type.String({ pattern: ID_PATTERN })
const Timestamp = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const Metadata = Type.Record(Type.String(), Type.String(), { maxProperties: MAX_METADATA_KEYS })

export const SendFrameSchema = Type.Object({
  type: Type.Literal('send_msg'),
  msg_id: Id,
  recipient: Type.String({ pattern: PARTY_PATTERN }),
  content: Type.String(),
  timestamp: Timestamp,
  message_type: Type.Optional(Type.Enum([...MESSAGE_TYPES])),
  metadata: Type.Optional(Metadata),
  traceparent: Type.Optional(Type.String({ maxLength: 128 }))
})

export const AckFrameSchema = Type.Object({
  type: Type.Literal('ack'),
  msg_id: Type.Optional(Id),
  msg_ids: Type.Optional(Type.Array(Id, { minItems: 1, maxItems: MAX_ACK_IDS }))
})

export const HeartbeatFrameSchema = Type.Object({
  type: Type.Literal('heartbeat'),
  timestamp: Type.Optional(Timestamp)
})

export const AuthFrameSchema = Type.Object({
  type: Type.Literal('auth'),
  token: Type.String({ minLength: 1, maxLength: MAX_TOKEN_LENGTH })
})

/** What the core sees of a `send_msg` frame. */
export interface SendFrame {
  readonly type: 'send_msg'
  readonly msgId: string
  readonly recipient: string
  readonly isGroup: boolean
  readonly content: string
  readonly timestamp: number
  readonly messageType: MessageType
  readonly metadata: Readonly<Record<string, string>> | undefined
  readonly traceparent: string | undefined
}

/** An `ack` frame; both spellings become a list. */
export interface AckFrame { readonly type: 'ack', readonly msgIds: readonly string[] }
export interface HeartbeatFrame { readonly type: 'heartbeat', readonly timestamp: number | undefined }
export interface AuthFrame { readonly type: 'auth', readonly token: string }
export type ClientFrame = SendFrame | AckFrame | HeartbeatFrame | AuthFrame
export type ClientFrameType = ClientFrame['type']

export type WireSend = Static<typeof SendFrameSchema>

/** A message as the IM Service or Kafka brings it, ready to be encoded for a client. */
export interface OutboundMessage {
  readonly msgId: string
  readonly sender: string
  /** The user or the group the message was sent to. */
  readonly recipient: string
  readonly content: string
  readonly messageType: string
  readonly metadata: Readonly<Record<string, string>> | undefined
  readonly timestamp: number
  /** At most 2^53-1; beyond that the push is refused, never rounded. */
  readonly sequenceNumber: number
}

/** Types of the frames that a gateway sends, as metric labels. */
export type ServerFrameType = 'welcome' | 'message' | 'ack' | 'error' | 'heartbeat' | 'auth' | 'read_receipt' | 'membership_change' | 'shutdown'
