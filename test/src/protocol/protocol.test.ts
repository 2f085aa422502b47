import t from 'tap'
import { ERRORS, errorBody, GatewayError, type ErrorCode } from '../../../src/errors.ts'
import { CLOSE } from '../../../src/protocol/close-codes.ts'
import { decode, isClientId, isPartyId } from '../../../src/protocol/decode.ts'
import {
  encodeAck, encodeAuth, encodeError, encodeHeartbeat, encodeMembershipChange, encodeMessage, encodeReadReceipt, encodeShutdown, encodeWelcome, textFrame
} from '../../../src/protocol/encode.ts'
import { parseFrames } from '../../helpers/fake-socket.ts'

const send = { type: 'send_msg', msg_id: 'm-1', recipient: 'bob', content: 'hi', timestamp: 5 }
const text = (value: unknown): string => JSON.stringify(value)

t.test('a send_msg frame becomes a frame of the core, with its defaults', async (t) => {
  t.strictSame(decode(text(send)), {
    ok: true,
    frame: { type: 'send_msg', msgId: 'm-1', recipient: 'bob', isGroup: false, content: 'hi', timestamp: 5, messageType: 'text', metadata: undefined, traceparent: undefined }
  })
  const full = decode(text({ ...send, recipient: 'group_1', message_type: 'image', metadata: { a: 'b' }, traceparent: '00-x', more: [1] }))
  t.match(full, { ok: true, frame: { isGroup: true, messageType: 'image', metadata: { a: 'b' }, traceparent: '00-x' } })
})

t.test('malformed frames are INVALID_MESSAGE with their msg_id where it is well-formed [GW-SND-1]', async (t) => {
  const cases: Array<[unknown, string | undefined]> = [
    [{ ...send, msg_id: 'has space' }, undefined],
    [{ ...send, msg_id: 'x'.repeat(65) }, undefined],
    [{ ...send, msg_id: 7 }, undefined],
    [{ ...send, content: 7 }, 'm-1'],
    [{ ...send, content: undefined }, 'm-1'],
    [{ ...send, content: '\ud800' }, 'm-1'],
    [{ ...send, recipient: 7 }, 'm-1'],
    [{ ...send, recipient: undefined }, 'm-1'],
    [{ ...send, timestamp: -1 }, 'm-1'],
    [{ ...send, timestamp: 1.5 }, 'm-1'],
    [{ ...send, timestamp: '5' }, 'm-1'],
    [{ ...send, message_type: 'hologram' }, 'm-1'],
    [{ ...send, metadata: { a: 1 } }, 'm-1'],
    [{ ...send, metadata: { a: '\ud800' } }, 'm-1'],
    [{ ...send, metadata: { '\ud800': 'a' } }, 'm-1'],
    [{ ...send, metadata: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'v'])) }, 'm-1'],
    [{ ...send, traceparent: 'x'.repeat(129) }, 'm-1'],
    [{ type: 'ack' }, undefined],
    [{ type: 'ack', msg_ids: [] }, undefined],
    [{ type: 'ack', msg_id: 'm-1', msg_ids: ['no good'] }, 'm-1'],
    [{ type: 'ack', msg_ids: Array.from({ length: 257 }, (_, i) => `m${i}`) }, undefined],
    [{ type: 'heartbeat', timestamp: 'now' }, undefined],
    [{ type: 'auth' }, undefined],
    [{ type: 'auth', token: 'x'.repeat(4097) }, undefined],
    [{ type: 7 }, undefined],
    [{}, undefined], [[], undefined], [null, undefined], [7, undefined], ['send_msg', undefined]
  ]
  for (const [frame, msgId] of cases) t.match(decode(text(frame)), { ok: false, code: 'INVALID_MESSAGE', msgId }, text(frame).slice(0, 80))
  for (const broken of ['', '{', 'nonsense', '{"type":"ack"', '\u0000']) t.match(decode(broken), { ok: false, code: 'INVALID_MESSAGE', type: 'invalid' })
})

t.test('own __proto__ and constructor keys are refused at any depth', async (t) => {
  for (const evil of [
    '{"type":"heartbeat","__proto__":{"admin":true}}',
    '{"type":"send_msg","msg_id":"m","recipient":"b","content":"c","timestamp":1,"metadata":{"__proto__":"x"}}',
    '{"type":"heartbeat","a":{"constructor":{"prototype":{"x":1}}}}'
  ]) t.match(decode(evil), { ok: false, code: 'INVALID_MESSAGE' }, evil)
})

t.test('unknown types and malformed recipients have codes of their own', async (t) => {
  t.match(decode(text({ type: 'dance', msg_id: 'm-2' })), { ok: false, code: 'UNKNOWN_MESSAGE_TYPE', msgId: 'm-2', type: 'invalid' })
  for (const recipient of ['', 'a\u0000b', 'x'.repeat(129), 'a\nb', '\u0085', 'bad\ud800']) {
    t.match(decode(text({ ...send, recipient })), { ok: false, code: 'INVALID_RECIPIENT', msgId: 'm-1', type: 'send_msg' })
  }
  t.match(decode(text({ ...send, recipient: 'ü/ 😀' })), { ok: true })
})

t.test('an ack may name one message, many, or both', async (t) => {
  t.strictSame(decode(text({ type: 'ack', msg_id: 'a' })), { ok: true, frame: { type: 'ack', msgIds: ['a'] } })
  t.strictSame(decode(text({ type: 'ack', msg_ids: ['a', 'b'] })), { ok: true, frame: { type: 'ack', msgIds: ['a', 'b'] } })
  t.strictSame(decode(text({ type: 'ack', msg_id: 'c', msg_ids: ['a'] })), { ok: true, frame: { type: 'ack', msgIds: ['c', 'a'] } })
})

t.test('heartbeat and auth frames', async (t) => {
  t.strictSame(decode(text({ type: 'heartbeat', timestamp: 5 })), { ok: true, frame: { type: 'heartbeat', timestamp: 5 } })
  t.strictSame(decode(text({ type: 'heartbeat' })), { ok: true, frame: { type: 'heartbeat', timestamp: undefined } })
  t.strictSame(decode(text({ type: 'auth', token: 'x' })), { ok: true, frame: { type: 'auth', token: 'x' } })
})

t.test('ids: what clients make and what names users', async (t) => {
  t.ok(isClientId('A-z0.9_:'))
  t.notOk(isClientId('ä'))
  t.notOk(isClientId('a\n'))
  t.ok(isPartyId('a/b ü'))
  t.notOk(isPartyId('\ud800'))
})

t.test('frames have the length form of RFC 6455 for every size', async (t) => {
  for (const size of [0, 1, 125, 126, 127, 65535, 65536, 70000]) {
    const frame = textFrame(JSON.stringify('x'.repeat(size)))
    const payload = size + 2
    t.equal(frame.length, payload + (payload < 126 ? 2 : payload < 65536 ? 4 : 10), `${size} characters`)
    t.equal((parseFrames(frame)[0] as unknown as string).length, size)
  }
  t.strictSame(parseFrames(textFrame('"ü😀"')), ['ü😀'])
})

t.test('every frame to a client has the fields of the protocol', async (t) => {
  const welcome = { connectionId: 'c', userId: 'u', deviceId: 'd', nodeId: 'n', heartbeatIntervalMs: 1, heartbeatTimeoutMs: 2, maxMessageBytes: 3, tokenExpiresAtMs: 4 }
  const message = { msgId: 'm', sender: 'a', recipient: 'b', content: '"c"', messageType: 'text', metadata: undefined, timestamp: 6, sequenceNumber: Number.MAX_SAFE_INTEGER }
  t.strictSame(parseFrames(Buffer.concat([
    encodeWelcome(welcome, 5),
    encodeMessage(message, true),
    encodeMessage({ ...message, metadata: { k: 'v' } }, false),
    encodeAck('m', 7, 8),
    encodeError('RATE_LIMIT_EXCEEDED', 9, { msgId: 'm', retryAfterMs: 10 }),
    encodeError('INVALID_MESSAGE', 9),
    encodeHeartbeat(11, undefined),
    encodeHeartbeat(11, 12),
    encodeAuth(13, 14),
    encodeReadReceipt({ msgId: 'm', readerId: 'r', conversationId: 'c', readAtMs: 15 }, 16),
    encodeMembershipChange({ groupId: 'g', userId: 'u', eventType: 'join' }, 17),
    encodeShutdown(18, 19)
  ])), [
    { type: 'welcome', connection_id: 'c', user_id: 'u', device_id: 'd', node_id: 'n', heartbeat_interval_ms: 1, heartbeat_timeout_ms: 2, max_message_bytes: 3, token_expires_at: 4, timestamp: 5 },
    { type: 'message', msg_id: 'm', sender: 'a', recipient: 'b', content: '"c"', message_type: 'text', timestamp: 6, sequence_number: Number.MAX_SAFE_INTEGER, ack_required: true },
    { type: 'message', msg_id: 'm', sender: 'a', recipient: 'b', content: '"c"', message_type: 'text', metadata: { k: 'v' }, timestamp: 6, sequence_number: Number.MAX_SAFE_INTEGER },
    { type: 'ack', msg_id: 'm', sequence_number: 7, timestamp: 8 },
    { type: 'error', msg_id: 'm', error_code: 'RATE_LIMIT_EXCEEDED', error_message: ERRORS.RATE_LIMIT_EXCEEDED.text, retryable: true, retry_after_ms: 10, timestamp: 9 },
    { type: 'error', error_code: 'INVALID_MESSAGE', error_message: ERRORS.INVALID_MESSAGE.text, retryable: false, timestamp: 9 },
    { type: 'heartbeat', timestamp: 11 },
    { type: 'heartbeat', timestamp: 11, client_timestamp: 12 },
    { type: 'auth', token_expires_at: 13, timestamp: 14 },
    { type: 'read_receipt', msg_id: 'm', reader_id: 'r', conversation_id: 'c', read_at: 15, timestamp: 16 },
    { type: 'membership_change', group_id: 'g', user_id: 'u', event_type: 'join', timestamp: 17 },
    { type: 'shutdown', reconnect_after_ms: 18, timestamp: 19 }
  ])
})

t.test('the close-code table is the protocol\'s', async (t) => {
  const codes = Object.values(CLOSE).map((row) => row.code)
  for (const code of [1000, 1002, 1003, 1006, 1007, 1008, 1009, 1012, 1013, 4000, 4001, 4002, 4003, 4401, 4403, 4409, 4429]) t.ok(codes.includes(code as never), String(code))
})

t.test('the error table has every code of the protocol, and an error carries its cause for the log alone', async (t) => {
  const codes: ErrorCode[] = ['INVALID_MESSAGE', 'UNKNOWN_MESSAGE_TYPE', 'INVALID_RECIPIENT', 'INVALID_DEVICE', 'RATE_LIMIT_EXCEEDED', 'OVERLOADED', 'UPGRADE_REQUIRED',
    'AUTH_REQUIRED', 'INVALID_TOKEN', 'TOKEN_EXPIRED', 'TOKEN_REVOKED', 'DEVICE_LIMIT_EXCEEDED', 'ORIGIN_NOT_ALLOWED', 'ROUTING_ERROR',
    'CONTENT_TOO_LONG', 'SENDER_NOT_FOUND', 'RECIPIENT_NOT_FOUND', 'GROUP_NOT_FOUND', 'NOT_GROUP_MEMBER', 'SENSITIVE_CONTENT',
    'SERVICE_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'SERVER_SHUTDOWN', 'INTERNAL_ERROR']
  t.same(Object.keys(ERRORS).sort(), [...codes].sort())
  t.strictSame(errorBody('AUTH_REQUIRED'), { error_code: 'AUTH_REQUIRED', error_message: ERRORS.AUTH_REQUIRED.text })
  const cause = new Error('secret upstream words')
  const error = new GatewayError('ROUTING_ERROR', { cause, retryAfterMs: 5 })
  t.match(error, { code: 'ROUTING_ERROR', message: ERRORS.ROUTING_ERROR.text, cause, retryAfterMs: 5, name: 'GatewayError' })
  t.equal(new GatewayError('ROUTING_ERROR', { detail: 'more' }).message, 'more')
})
