/** What a node sends. The examples are made by the gateway's own encoders; test/scripts/docs compares the schemas with what a node really sends. */
import Type from 'typebox'
import { ERRORS, type ErrorCode } from '../../src/errors.ts'
import {
  encodeAck, encodeAuth, encodeError, encodeHeartbeat, encodeMembershipChange, encodeMessage, encodeReadReceipt, encodeShutdown, encodeWelcome
} from '../../src/protocol/encode.ts'
import { ID_PATTERN, MAX_METADATA_KEYS, MESSAGE_TYPES, PARTY_PATTERN, type ServerFrameType } from '../../src/protocol/frames.ts'
import { NOW } from './client-frames.ts'
import { frame, type FrameDoc } from './schema-text.ts'

const HOUR_MS = 3_600_000
const Id = Type.String({ pattern: ID_PATTERN })
const Party = Type.String({ pattern: PARTY_PATTERN })
const Count = Type.Integer({ minimum: 0 })
const Sequence = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const SENT = 'When the node sent it, Unix milliseconds'

export const SERVER_FRAMES: Readonly<Record<ServerFrameType, FrameDoc>> = {
  welcome: frame({
    schema: Type.Object({
      type: Type.Literal('welcome'), connection_id: Type.String(), user_id: Party, device_id: Id, node_id: Type.String(), heartbeat_interval_ms: Count, heartbeat_timeout_ms: Count, max_message_bytes: Count, token_expires_at: Count, timestamp: Count
    }),
    about: 'The first frame of every session: the device is registered in the cluster.',
    fields: {
      connection_id: 'For logs and support; changes with every connection',
      user_id: 'Of the token',
      device_id: 'Of the token, or of `?device_id=`',
      node_id: 'The node that holds the connection',
      heartbeat_interval_ms: 'Time between the node\'s pings, and the one to send `heartbeat` in',
      heartbeat_timeout_ms: 'Silence after which the node closes with 4000; a client may as well',
      max_message_bytes: 'Largest frame that this node takes, the whole JSON text in UTF-8',
      token_expires_at: 'When the session ends with 4401 unless `auth` renews it, Unix milliseconds',
      timestamp: SENT
    },
    examples: [payloadOf(encodeWelcome({
      connectionId: 'q3vJ0bXe.1f', userId: 'ann', deviceId: 'phone', nodeId: 'gateway-0', heartbeatIntervalMs: 30_000, heartbeatTimeoutMs: 90_000, maxMessageBytes: 10_240, tokenExpiresAtMs: NOW + HOUR_MS
    }, NOW))]
  }),
  message: frame({
    schema: Type.Object({
      type: Type.Literal('message'), msg_id: Id, sender: Party, recipient: Party, content: Type.String(), message_type: Type.Enum([...MESSAGE_TYPES]), metadata: Type.Optional(Type.Record(Type.String(), Type.String(), { maxProperties: MAX_METADATA_KEYS })), timestamp: Count, sequence_number: Sequence, ack_required: Type.Optional(Type.Literal(true))
    }),
    about: 'A message for this device. One with `ack_required` is to be acknowledged at once, also where it is a repeat; the caller of the push is waiting. Group messages carry no such field, and come to the sender\'s own devices too, the sending one included.',
    fields: {
      msg_id: 'The sender\'s; a client shows each once',
      sender: 'User id',
      recipient: 'The group, or the user that it was sent to: in a copy for the sender\'s other devices that is the other side',
      content: 'As it was sent',
      message_type: 'As it was sent',
      metadata: 'Only where there is some',
      timestamp: 'As the IM Service says, Unix milliseconds',
      sequence_number: 'Rises by exactly one in a conversation; 0: the message has none',
      ack_required: 'Only where somebody waits for the `ack`'
    },
    examples: [
      payloadOf(encodeMessage({ msgId: 's1-1', sender: 'bob', recipient: 'ann', content: 'Hello Ann', messageType: 'text', metadata: undefined, timestamp: NOW, sequenceNumber: 42 }, true)),
      payloadOf(encodeMessage({ msgId: 's1-9', sender: 'bob', recipient: 'group_friends', content: 'https://files.example/cat.png', messageType: 'image', metadata: { reply_to: 'c1-1' }, timestamp: NOW, sequenceNumber: 7 }, false))
    ]
  }),
  ack: frame({
    schema: Type.Object({ type: Type.Literal('ack'), msg_id: Id, sequence_number: Sequence, timestamp: Count }),
    about: 'The IM Service has accepted the message; until then nothing is acknowledged. A repeat is answered with the number of the first.',
    fields: {
      msg_id: 'Of the `send_msg`',
      sequence_number: 'The message\'s place in its conversation',
      timestamp: 'When it was accepted, Unix milliseconds'
    },
    examples: [payloadOf(encodeAck('c1-1', 43, NOW))]
  }),
  error: frame({
    schema: Type.Object({
      type: Type.Literal('error'), msg_id: Type.Optional(Id), error_code: Type.Enum(Object.keys(ERRORS) as ErrorCode[]), error_message: Type.String(), retryable: Type.Boolean(), retry_after_ms: Type.Optional(Count), timestamp: Count
    }),
    about: 'A frame was refused; the socket stays.',
    fields: {
      msg_id: 'Of the frame that is refused, where it has a well-formed one',
      error_code: 'What a client does about each: [error codes](codes.md#error-codes)',
      error_message: 'For people; its words may change',
      retryable: 'Whether the same frame may succeed when it is sent again unchanged, `msg_id` included',
      retry_after_ms: 'How long to wait before that, where it is known',
      timestamp: SENT
    },
    examples: [
      payloadOf(encodeError('RATE_LIMIT_EXCEEDED', NOW, { msgId: 'c1-1', retryAfterMs: 120 })),
      payloadOf(encodeError('NOT_GROUP_MEMBER', NOW, { msgId: 'c1-2' })),
      payloadOf(encodeError('INVALID_TOKEN', NOW))
    ]
  }),
  heartbeat: frame({
    schema: Type.Object({ type: Type.Literal('heartbeat'), timestamp: Count, client_timestamp: Type.Optional(Count) }),
    about: 'The answer to a `heartbeat`.',
    fields: { timestamp: SENT, client_timestamp: 'What the client had sent as `timestamp`' },
    examples: [payloadOf(encodeHeartbeat(NOW + 12, NOW))]
  }),
  auth: frame({
    schema: Type.Object({ type: Type.Literal('auth'), token_expires_at: Count, timestamp: Count }),
    about: 'The new token holds from now on.',
    fields: { token_expires_at: 'When the session ends now, Unix milliseconds', timestamp: SENT },
    examples: [payloadOf(encodeAuth(NOW + 2 * HOUR_MS, NOW))]
  }),
  read_receipt: frame({
    schema: Type.Object({ type: Type.Literal('read_receipt'), msg_id: Id, reader_id: Party, conversation_id: Party, read_at: Count, timestamp: Count }),
    about: 'Somebody has read a message of this user. May come more than once: known by `msg_id` and `reader_id` together. Not acknowledged.',
    fields: {
      msg_id: 'Of the message that was read',
      reader_id: 'Who read it',
      conversation_id: 'Where, as the IM Service calls it',
      read_at: 'Unix milliseconds',
      timestamp: SENT
    },
    examples: [payloadOf(encodeReadReceipt({ msgId: 'c1-1', readerId: 'bob', conversationId: 'bob', readAtMs: NOW - 500 }, NOW))]
  }),
  membership_change: frame({
    schema: Type.Object({ type: Type.Literal('membership_change'), group_id: Party, user_id: Party, event_type: Type.Enum(['join', 'leave']), timestamp: Count }),
    about: 'Somebody has joined or left a group. Goes to that user and, in groups that are not large, to the members. Not acknowledged.',
    fields: { group_id: 'Which group', user_id: 'Who joined or left', event_type: 'Which of the two', timestamp: SENT },
    examples: [payloadOf(encodeMembershipChange({ groupId: 'group_friends', userId: 'carol', eventType: 'join' }, NOW))]
  }),
  shutdown: frame({
    schema: Type.Object({ type: Type.Literal('shutdown'), reconnect_after_ms: Count, timestamp: Count }),
    about: 'The node will close this connection with 1012 when its turn comes. Until then it is served as before, but for messages sent in the last moment, which get no answer and are sent again in the next session.',
    fields: { reconnect_after_ms: 'How long to wait before the next connection, counted from the close that follows', timestamp: SENT },
    examples: [payloadOf(encodeShutdown(740, NOW))]
  })
}

/** What a client reads: the JSON behind the header of a text frame (RFC 6455 section 5.2). */
function payloadOf (bytes: Buffer): object {
  const length = bytes[1] as number
  return JSON.parse(bytes.toString('utf8', length < 126 ? 2 : length === 126 ? 4 : 10)) as object
}
