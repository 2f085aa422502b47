/** docs/codes.md: close codes, error codes, and the answers to refused upgrades. */
import { errorBody, ERRORS, RETRY_SPREAD_S } from '../../src/errors.ts'
import { CLOSE, type CloseKind } from '../../src/protocol/close-codes.ts'
import { BACKOFF, CLOSE_REASONS, ERROR_TEXTS, RECONNECT, REFUSALS, THEN, type ErrorText } from './codes.ts'
import { code, frameBlock, table, writtenFrom } from './markdown.ts'
import { setting } from './settings.ts'

export function codesPage (): string {
  const closes = (Object.keys(CLOSE) as CloseKind[]).map((kind) => {
    const { code: number, reason, reconnect } = CLOSE[kind]
    return [String(number), code(reason), CLOSE_REASONS[kind], code(reconnect)]
  })
  const errors = (Object.entries(ERROR_TEXTS) as Array<[keyof typeof ERRORS, ErrorText]>).map(([name, { where, when, then }]) => {
    const { httpStatus, retryable } = ERRORS[name]
    return [code(name), where.includes('upgrade') ? String(httpStatus) : '', where.includes('frame') ? (retryable ? 'retryable' : 'final') : '', when, then]
  })
  const refusals = REFUSALS.map(({ status, code: name, when, retryAfter = '' }) => [String(status), name === undefined ? 'no body' : code(name), when, retryAfter])
  return `# Codes

${writtenFrom('src/protocol/close-codes.ts, src/errors.ts and scripts/docs/codes.ts')}

A refused upgrade gets an HTTP status, a refused frame an \`error\` frame on a socket that stays, an ended session a close code. Frames are in [protocol.md](protocol.md).

## Close codes

Codes from 4000 on are the gateway's own, the others those of RFC 6455. The reason is the text of the close frame and the label of \`im_gateway_connections_closed_total\`. A code that is
not here: reconnect with back-off.

${table(['code', 'reason', 'when', 'reconnect'], closes)}

What the last column means:

${table(['reconnect', 'when'], Object.entries(RECONNECT).map(([word, text]) => [code(word), text]))}

${BACKOFF} An attempt that ends before \`welcome\`, by whatever code, counts as a failure. The gateway takes up to ${setting('CLOSE_TIMEOUT')} for the closing handshake, then the socket is destroyed.

## Error codes

\`error_message\` is the table's own text and never an upstream's. In an \`error\` frame \`retryable\` says that the same frame may succeed when it is sent again unchanged; a message keeps its \`msg_id\`, by
which the IM Service recognises it, so that a repeat of an accepted message is answered with its first \`ack\`. A client gives up at some point of its own and tells the user that the outcome is not known.

${Object.entries(THEN).map(([word, text]) => `- ${word}: ${text}`).join('\n')}

${table(['code', 'upgrade', 'frame', 'when', 'what a client does'], errors)}

## Refused upgrades

Checked in this order, from cheap to dear; the first that fails answers, and no socket is opened. The body is

${frameBlock(errorBody('TOKEN_EXPIRED'))}

${table(['status', 'error_code', 'when', 'Retry-After'], refusals)}

- \`Retry-After\` is in seconds: 1 to ${RETRY_SPREAD_S} where it is drawn, so that those who were refused together come back spread.
- 401 carries \`WWW-Authenticate: Bearer\`, with \`error="invalid_token"\` where there was a token (RFC 6750). 426 names \`Upgrade: websocket\`.
- A plain GET of \`/ws\` is answered like the second line. What is no HTTP request gets 400, a head over 8 KiB 431, one that is not there after 5 s 408, all with \`INVALID_MESSAGE\`.
- After ${setting('HANDSHAKE_TIMEOUT')} a handshake that is not done is cut without an answer.
- A browser shows scripts none of this, only close code 1006: there a failure before \`open\` is followed by back-off, and by a fresh token from the second failure on.
`
}
