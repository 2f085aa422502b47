/** docs/protocol.md: every frame, both directions, and the limits. */
import { EARLY_FRAMES, INBOX_BYTES, MAX_INVALID_FRAMES } from '../../src/connections/inbound.ts'
import { AUTH_LIMITS, FRAME_RATE_FACTOR } from '../../src/connections/rate-limits.ts'
import { MAX_FRAME_BYTES, MAX_TOKEN_LENGTH } from '../../src/protocol/frames.ts'
import { SUBPROTOCOL } from '../../src/protocol/subprotocol.ts'
import { MAX_PER_CONNECTION } from '../../src/upstream/sender.ts'
import { MAX_FRAGMENTS } from '../../plugins/connections.ts'
import { CLIENT_FRAMES } from './client-frames.ts'
import { frameBlock, table, writtenFrom } from './markdown.ts'
import { fieldTable, type FrameDoc } from './schema-text.ts'
import { SERVER_FRAMES } from './server-frames.ts'
import { setting } from './settings.ts'

export const EXAMPLE_TOKEN = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl'

/** With the key and the answer of RFC 6455 section 1.3. */
export const EXAMPLE_UPGRADE = [
  'GET /ws?device_id=phone HTTP/1.1',
  'Host: gateway.example',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  `Sec-WebSocket-Protocol: ${SUBPROTOCOL}, bearer.${EXAMPLE_TOKEN}`
]
export const EXAMPLE_ANSWER = [
  'HTTP/1.1 101 Switching Protocols',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`
]

const KB = 1024

const LIMITS = [
  ['a frame from a client, as a whole', setting('MAX_MESSAGE_SIZE'), 'close 1009'],
  ['fragments of a message', String(MAX_FRAGMENTS), 'close 1008'],
  ['a frame to a client', `${MAX_FRAME_BYTES / KB} KiB`, 'the push is refused, the record passed over'],
  ['messages of a user a second, all devices on a node together', setting('MAX_MESSAGES_PER_SECOND'), '`RATE_LIMIT_EXCEEDED`, then close 4002'],
  ['frames of a connection a second, of all types, pings and pongs', `${FRAME_RATE_FACTOR} × that`, 'dropped unread, then close 4002'],
  ['`auth` frames of a connection', `one in ${1 / AUTH_LIMITS.ratePerSecond} s, ${AUTH_LIMITS.burst} at once`, '`RATE_LIMIT_EXCEEDED`'],
  ['frames in a row that are malformed, or of an unknown type', String(MAX_INVALID_FRAMES), 'close 4003'],
  ['messages of a connection without an answer', String(MAX_PER_CONNECTION), 'the socket is not read until one is answered'],
  ['messages before `welcome`', `${EARLY_FRAMES}, or ${INBOX_BYTES / KB} KiB`, 'the socket is not read until then'],
  ['silence of a client', setting('HEARTBEAT_TIMEOUT'), 'close 4000'],
  ['bytes that a client has not read, and their age', `${setting('OUTBOX_BYTES')}, ${setting('WRITE_WAIT')}`, 'close 4001'],
  ['time of a device for the `ack` of a push', setting('ACK_TIMEOUT'), 'the caller is told ACK_TIMEOUT'],
  ['devices of a user in the cluster', setting('MAX_DEVICES_PER_USER'), '`DEVICE_LIMIT_EXCEEDED`']
]

export function protocolPage (): string {
  return `# WebSocket protocol

${writtenFrom('src/protocol and scripts/docs')}

\`GET /ws\`, subprotocol \`${SUBPROTOCOL}\`: text frames, each one JSON object with a \`type\`. All times are Unix milliseconds. Fields that the other side does not know are ignored; a client passes
over types that it does not know, the gateway answers them with an \`error\`. There are no binary frames (1003) and no compression. The same for machines: [asyncapi.yaml](asyncapi.yaml);
codes: [codes.md](codes.md); a client step by step: [write-a-client.md](write-a-client.md); rules with ids like [GW-SND-1]: [behaviour.md](behaviour.md).

## Handshake

Everything that can refuse a client does so before the upgrade, by an [HTTP answer](codes.md#refused-upgrades) [GW-CON-1]. The token is looked for in this order, and is at most ${MAX_TOKEN_LENGTH} characters long:

1. \`Authorization: Bearer <token>\`
2. \`Sec-WebSocket-Protocol: ${SUBPROTOCOL}, bearer.<token>\`, for browsers, which cannot set headers; only \`${SUBPROTOCOL}\` comes back
3. \`?token=<token>\`, only with \`ALLOW_QUERY_TOKEN=true\`: proxies may log it

A token names a user and may name a device. Where it names none, \`?device_id=\` does (1–64 of \`A-Za-z0-9._:-\`); where both do they have to be equal. A device is one connection: the
same device again replaces the older one, which is closed with 4409 [GW-CON-6]. Where no subprotocol is offered, \`${SUBPROTOCOL}\` is assumed.

\`\`\`http
${EXAMPLE_UPGRADE.join('\n')}

${EXAMPLE_ANSWER.join('\n')}
\`\`\`

\`welcome\` is the first frame. Frames that a client sends before it are kept in order [GW-CON-5].

## From client to gateway

${frames(CLIENT_FRAMES, 'client')}

A frame is checked in this order [GW-SND-1]: its size, the frame bucket, JSON and shape, the bucket of its type, the recipient, then the IM Service. Strings have to be well-formed UTF-16: no lone surrogates.

## From gateway to client

${frames(SERVER_FRAMES, 'gateway')}

## What holds between frames

- **Accepted or not.** An \`ack\` means that the IM Service has the message; nothing else does. Without an answer, also over a lost connection, the client sends again with the same \`msg_id\`.
  A repeat that comes while the first is under way joins it [GW-SND-5].
- **At least once.** The gateway may write a message twice to a device, never twice to a connection for one push. A client keeps the ids it has shown, and drops the rest.
- **Order.** Messages of one conversation are written in the order in which they reached the node. \`sequence_number\` rises by exactly one in a conversation, for both sides of it: a number that
  is skipped is a message that this device has not got, and the IM Service's history has it. The gateway keeps no messages.
- **Ping and pong.** The node pings every \`heartbeat_interval_ms\`; WebSocket libraries and browsers answer by themselves. Any frame is a sign of life [GW-CON-9].
- **End.** The close code says whether to come back, and when: [codes.md](codes.md#close-codes).

## Limits

${table(['what', 'limit', 'past it'], LIMITS)}
`
}

function frames (docs: Readonly<Record<string, FrameDoc>>, from: string): string {
  return Object.entries(docs).map(([type, doc]) => [
    `### ${type} (from ${from})`, doc.about, frameBlock(...doc.examples), fieldTable(doc)
  ].join('\n\n')).join('\n\n')
}
