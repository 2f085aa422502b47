/** What the tables of codes do not say themselves: when each comes, and what a client does. test/scripts/docs provokes the errors and the refusals. */
import type { ErrorCode } from '../../src/errors.ts'
import { MAX_INVALID_FRAMES } from '../../src/connections/inbound.ts'
import { ABUSE_AFTER_MS, FRAME_RATE_FACTOR } from '../../src/connections/rate-limits.ts'
import type { CloseKind, CloseRow } from '../../src/protocol/close-codes.ts'
import { MAX_FRAGMENTS } from '../../plugins/connections.ts'
import { ABUSE_DELAY_MS, FIRST_BACKOFF_MS, MAX_BACKOFF_MS, SPREAD_MS } from '../../client/src/reconnect.ts'
import { setting } from './settings.ts'

export const CLOSE_REASONS: Readonly<Record<CloseKind, string>> = {
  clientClosed: 'The client closed the connection, with whatever code it likes; the node echoes it',
  protocolError: 'A frame breaks RFC 6455: not masked, a reserved bit or opcode, a malformed close',
  binary: 'A binary frame; the protocol has text frames only',
  lost: 'Never sent: the connection ended without a close frame',
  invalidUtf8: 'A text frame or a close reason is not UTF-8',
  tooManyFragments: `A message in more than ${MAX_FRAGMENTS} fragments`,
  tooLarge: `A message over ${setting('MAX_MESSAGE_SIZE')}; \`welcome\` tells it as \`max_message_bytes\``,
  shutdown: 'The node drains or ends; a `shutdown` frame came before it',
  overloaded: `The session could not be registered within ${setting('REGISTRATION_TIMEOUT')}; there was no \`welcome\``,
  heartbeatTimeout: `Nothing was heard of the client for ${setting('HEARTBEAT_TIMEOUT')}, pongs included`,
  slowConsumer: `The client does not read: more than ${setting('OUTBOX_BYTES')} wait for it, or for longer than ${setting('WRITE_WAIT')}, or all connections together have more than ${setting('OUTBOX_TOTAL_BYTES')} and this one the most`,
  rateLimitAbuse: `Over a limit for ${ABUSE_AFTER_MS / 1000} s without falling under it, or ${2 * FRAME_RATE_FACTOR} times the message rate in frames at once`,
  invalidFrames: `${MAX_INVALID_FRAMES} frames in a row that are malformed, of an unknown type or to a malformed recipient`,
  tokenExpired: 'The token\'s time is over and no `auth` frame renewed it',
  disconnected: 'An operator or a service ended the session by `Disconnect`; the token is still good',
  revoked: 'The token was revoked while it was in use',
  replaced: 'The same device of the same user connected again, here or on another node',
  deviceLimit: `Another device took the last of ${setting('MAX_DEVICES_PER_USER')} places at the same moment; there was no \`welcome\``
}

/** Longer than the default: what the table's word means. */
export const RECONNECT: Readonly<Record<CloseRow['reconnect'], string>> = {
  no: 'Not by itself. Something has to change first: the person, the token, the program',
  yes: `After a random part of ${SPREAD_MS / 1000} s, then with back-off`,
  backoff: 'With back-off',
  'after-fix': 'With back-off, and without sending the same thing again',
  'after-delay': `1012: after the \`reconnect_after_ms\` of the \`shutdown\` frame. 4002: after ${ABUSE_DELAY_MS / 1000} s`,
  'after-token': `With a fresh token, after a random part of ${SPREAD_MS / 1000} s`
}

export const BACKOFF = `Back-off is exponential with full jitter: a random part of ${FIRST_BACKOFF_MS} ms × 2ⁿ after n failures, of ${MAX_BACKOFF_MS / 1000} s at most; a session that has lasted ten seconds sets n to 0.`

/** Where a code is met: as the answer to an upgrade, or in an `error` frame. */
export type Where = 'upgrade' | 'frame'

export interface ErrorText { readonly where: readonly Where[], readonly when: string, readonly then: string }

const AGAIN = '*again*'
const TELL = '*tell*'
const MEND = '*mend*'

/** What the words of the last column mean. */
export const THEN = {
  [AGAIN]: 'the same frame once more, of a message with the same `msg_id`, after `retry_after_ms`, else after a second or so; an upgrade after `Retry-After`, else with back-off',
  [TELL]: 'the user has to know, the same again is refused again',
  [MEND]: 'the client or what it runs in is at fault, the same again is refused again'
}

export const ERROR_TEXTS: Readonly<Record<ErrorCode, ErrorText>> = {
  INVALID_MESSAGE: { where: ['upgrade', 'frame'], when: 'Not JSON, not an object, a field missing or out of its limits; a `msg_id` under way with other content; an upgrade with a header or parameter twice, or without a proper key', then: MEND },
  UNKNOWN_MESSAGE_TYPE: { where: ['frame'], when: 'A type that this version does not know', then: MEND },
  INVALID_RECIPIENT: { where: ['frame'], when: 'The recipient is no user or group id', then: MEND },
  INVALID_DEVICE: { where: ['upgrade'], when: 'Neither token nor `?device_id=` names a device, the name is malformed, or the two differ', then: MEND },
  RATE_LIMIT_EXCEEDED: { where: ['upgrade', 'frame'], when: 'Handshakes of the address or the user, messages of the user, or `auth` frames come too fast; handshakes or connections of one address are too many', then: AGAIN },
  OVERLOADED: { where: ['upgrade', 'frame'], when: 'The node, or the IM Service, has no room', then: AGAIN },
  UPGRADE_REQUIRED: { where: ['upgrade'], when: 'No upgrade to WebSocket was asked for, or another version than 13', then: MEND },
  AUTH_REQUIRED: { where: ['upgrade'], when: 'No token', then: 'get a token' },
  INVALID_TOKEN: { where: ['upgrade', 'frame'], when: 'Malformed, too long, wrongly signed, not for this gateway; in `auth`: also one of another user or device', then: 'get a fresh token; twice in a row: log in anew' },
  TOKEN_EXPIRED: { where: ['upgrade', 'frame'], when: 'Its time is over', then: 'get a fresh token' },
  TOKEN_REVOKED: { where: ['upgrade', 'frame'], when: 'Issued before the user or the device was revoked', then: 'log in anew' },
  DEVICE_LIMIT_EXCEEDED: { where: ['upgrade'], when: `The user has ${setting('MAX_DEVICES_PER_USER')} other devices connected`, then: `${TELL}: one of the others has to go` },
  ORIGIN_NOT_ALLOWED: { where: ['upgrade'], when: 'The page\'s `Origin` is not allowed here', then: `${MEND}, or the gateway's \`ALLOWED_ORIGINS\`` },
  ROUTING_ERROR: { where: ['frame'], when: 'The IM Service could not pass the message on', then: AGAIN },
  CONTENT_TOO_LONG: { where: ['frame'], when: 'Longer than the IM Service takes', then: TELL },
  SENDER_NOT_FOUND: { where: ['frame'], when: 'The IM Service does not know the token\'s user', then: TELL },
  RECIPIENT_NOT_FOUND: { where: ['frame'], when: 'There is no such user', then: TELL },
  GROUP_NOT_FOUND: { where: ['frame'], when: 'There is no such group', then: TELL },
  NOT_GROUP_MEMBER: { where: ['frame'], when: 'The sender is not in the group', then: TELL },
  SENSITIVE_CONTENT: { where: ['frame'], when: 'The IM Service refuses the content', then: TELL },
  SERVICE_UNAVAILABLE: { where: ['upgrade', 'frame'], when: 'A service or the registry does not answer. Of a message nobody knows whether it was accepted', then: AGAIN },
  DEADLINE_EXCEEDED: { where: ['frame'], when: 'The IM Service did not answer in time: nobody knows whether the message was accepted', then: AGAIN },
  SERVER_SHUTDOWN: { where: ['upgrade'], when: 'The node drains', then: `${AGAIN}: another node will answer` },
  INTERNAL_ERROR: { where: ['frame'], when: 'A fault of the gateway or of a service', then: `${AGAIN}, a few times` }
}

export interface RefusalText {
  readonly status: number
  /** undefined: the answer has no body. */
  readonly code?: ErrorCode
  readonly when: string
  /** What `Retry-After` says; absent where there is none. */
  readonly retryAfter?: string
}

const DRAWN = 'drawn for each client'

/** In the order of the checks: the first that fails answers. */
export const REFUSALS: readonly RefusalText[] = [
  { status: 404, when: 'Any other path than `/ws`, or another method than GET' },
  { status: 426, code: 'UPGRADE_REQUIRED', when: 'No `Upgrade: websocket`' },
  { status: 503, code: 'OVERLOADED', when: `${setting('MAX_PENDING_HANDSHAKES')} handshakes are under way`, retryAfter: DRAWN },
  { status: 429, code: 'RATE_LIMIT_EXCEEDED', when: `The address has ${setting('MAX_PENDING_HANDSHAKES_PER_IP')} handshakes under way, or \`MAX_CONNECTIONS_PER_IP\` connections`, retryAfter: DRAWN },
  { status: 503, code: 'SERVER_SHUTDOWN', when: 'The node drains', retryAfter: DRAWN },
  { status: 503, code: 'OVERLOADED', when: 'Past `MAX_CONNECTIONS`, or the limit on memory or on event-loop delay', retryAfter: DRAWN },
  { status: 429, code: 'RATE_LIMIT_EXCEEDED', when: `The address had ${setting('HANDSHAKES_PER_IP')} handshakes in ${setting('HANDSHAKE_WINDOW')}`, retryAfter: 'until the window ends' },
  { status: 400, code: 'INVALID_MESSAGE', when: '`Host` or `Sec-WebSocket-Key` is missing, malformed or there twice' },
  { status: 426, code: 'UPGRADE_REQUIRED', when: '`Sec-WebSocket-Version` is not 13' },
  { status: 400, code: 'INVALID_MESSAGE', when: '`Authorization`, `Sec-WebSocket-Protocol`, `Origin`, `token` or `device_id` is there twice, a subprotocol is malformed or repeated, or there are two `bearer.`' },
  { status: 403, code: 'ORIGIN_NOT_ALLOWED', when: 'The `Origin` is not in `ALLOWED_ORIGINS` (without a list: not the host that was asked), or there is none and `ALLOW_EMPTY_ORIGIN` is false' },
  { status: 401, code: 'AUTH_REQUIRED', when: 'No token' },
  { status: 401, code: 'INVALID_TOKEN', when: 'The token is malformed, too long or not valid' },
  { status: 400, code: 'INVALID_DEVICE', when: '`device_id` is malformed' },
  { status: 401, code: 'TOKEN_EXPIRED', when: 'The token has expired' },
  { status: 401, code: 'TOKEN_REVOKED', when: 'The token was revoked' },
  { status: 503, code: 'SERVICE_UNAVAILABLE', when: 'The Auth Service does not answer', retryAfter: DRAWN },
  { status: 400, code: 'INVALID_DEVICE', when: 'No device is named, or another than the token\'s' },
  { status: 429, code: 'RATE_LIMIT_EXCEEDED', when: `The user had ${setting('HANDSHAKES_PER_USER')} handshakes in ${setting('HANDSHAKE_WINDOW')}`, retryAfter: 'until the window ends' },
  { status: 429, code: 'DEVICE_LIMIT_EXCEEDED', when: `${setting('MAX_DEVICES_PER_USER')} other devices of the user are connected` },
  { status: 503, code: 'SERVICE_UNAVAILABLE', when: `etcd does not answer within ${setting('ADMISSION_TIMEOUT')}`, retryAfter: DRAWN }
]
