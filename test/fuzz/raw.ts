/** Bytes on a bare socket: what follows an upgrade, and the upgrade itself. */
import { connect } from 'node:net'
import fc from 'fast-check'
import { tokenFor } from '../helpers/app.ts'
import { chunked, endings, mutated, noise, type Ending } from './arbitraries.ts'
import { fuzzedUser } from './people.ts'
import { closing, within, type Subject, type Target } from './target.ts'

interface Stream {
  readonly user: number
  /** Hexadecimal; the loop turns between them. */
  readonly chunks: readonly string[]
  readonly ending: Ending
}

/** A request is a text in which this becomes the user's token. */
const TOKEN = '$TOKEN'
/** After the last byte, for the node to have seen it. Nothing depends on it: it only decides which state the end meets. */
const LINGER_MS = 20

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** Writes the chunks, ends as asked, and waits for the socket to be gone. 'close': the node is left to do it, at its own deadline at last. */
async function stream (port: number, chunks: readonly Buffer[], ending: Ending): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.on('error', () => {})
  const closed = closing(socket)
  let answered: () => void = () => {}
  const answer = new Promise<void>((resolve) => { answered = resolve })
  socket.on('data', answered)
  socket.on('close', answered)
  for (const chunk of chunks) {
    if (socket.writable) socket.write(chunk)
    await turn()
  }
  if (ending === 'close') {
    await within(answer, 'an answer')
    socket.end()
  } else {
    const linger = setTimeout(answered, LINGER_MS)
    await answer
    clearTimeout(linger)
    if (ending === 'end') socket.end()
    else socket.resetAndDestroy()
  }
  await within(closed, 'the end of a socket')
}

const UPGRADE = ['Host: test', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', `Authorization: Bearer ${TOKEN}`]
const requestText = (line: string, headers: readonly string[]): string => `${line}\r\n${headers.join('\r\n')}\r\n\r\n`

function wireFrame (flags: number, payload: Buffer, mask: Buffer): Buffer {
  const masked = payload.map((byte, i) => byte ^ (mask[i & 3] as number))
  const head = payload.length < 126 ? [flags, 0x80 | payload.length] : [flags, 0x80 | 126, payload.length >> 8, payload.length & 255]
  return Buffer.concat([Buffer.from(head), mask, masked])
}

const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes))
const flags = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(0x81, 0x81, 0x01, 0x00, 0x80, 0x82, 0x88, 0x89, 0x8a) }, fc.nat(255))
const payload = fc.oneof(
  fc.constantFrom('{"type":"heartbeat"}', '{"type":"send_msg","msg_id":"m1","recipient":"fodder","content":"hi","timestamp":1}', '{"type":"ack","msg_id":"p1"}', '\u0003\u00e8').map((text) => Buffer.from(text)),
  noise
)
const frameStream = fc.array(fc.tuple(flags, payload, mask).map((parts) => wireFrame(...parts)), { maxLength: 20 }).map((list) => Buffer.concat(list))

export const bytes: Target<Stream> = {
  cases: fc.record({ user: fc.nat(40), chunks: chunked(fc.oneof({ weight: 4, arbitrary: mutated(frameStream) }, noise)), ending: fc.constantFrom('end', 'reset') }),
  play: async ({ port }: Subject, { user, chunks, ending }) => {
    const request = requestText('GET /ws HTTP/1.1', UPGRADE).replace(TOKEN, tokenFor(fuzzedUser(user)))
    await stream(port, [Buffer.from(request), ...chunks.map((chunk) => Buffer.from(chunk, 'hex'))], ending)
  }
}

const junk = fc.string({ unit: 'binary', maxLength: 40 })
const line = fc.oneof(
  { weight: 6, arbitrary: fc.constant('GET /ws HTTP/1.1') },
  fc.tuple(
    fc.constantFrom('GET', 'POST', 'get', 'CONNECT', 'PRI', 'HEAD', ''),
    fc.oneof(fc.constantFrom('/ws', '/ws/', '/ws?device_id=a', '/ws?device_id=a&device_id=b', '/ws?token=x', '/ws?%', '/healthz', '/metrics', '/readyz', '*', '/', '//ws', '/%77s', '/../ws', 'http://other/ws', '/__proto__', `/${'a'.repeat(9_000)}`), junk.map((text) => `/${text}`)),
    fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', '')
  ).map((parts) => parts.join(' '))
)
const extra = fc.oneof(
  fc.constantFrom(
    ...UPGRADE, 'Host: other', 'Connection: close', 'Connection: keep-alive, Upgrade', 'Upgrade: h2c', 'Upgrade: websocket, websocket', 'Sec-WebSocket-Version: 8', 'Sec-WebSocket-Key: x', 'Authorization: Basic x', 'Authorization: Bearer', 'Authorization: Bearer a.b.c',
    'Sec-WebSocket-Protocol: im.v1.json', 'Sec-WebSocket-Protocol: im.v1.json, im.v1.json', `Sec-WebSocket-Protocol: im.v1.json, bearer.${TOKEN}`, 'Sec-WebSocket-Protocol: ,', 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99', 'Sec-WebSocket-Extensions: ;;=', 'Origin: null', 'Origin: https://evil.example',
    'Content-Length: 5', 'Content-Length: -1', 'Transfer-Encoding: chunked', 'Expect: 100-continue', 'X-Forwarded-For: 1.2.3.4, 5.6.7.8', 'X-Forwarded-For: x', '__proto__: 1', 'constructor: 1', ' folded', 'no colon', `X-Long: ${'x'.repeat(20_000)}`
  ),
  fc.tuple(junk, junk).map(([name, value]) => `${name}: ${value}`)
)
const request = fc.tuple(line, fc.shuffledSubarray(UPGRADE, { minLength: 4 }), fc.array(extra, { maxLength: 4 }), fc.oneof(fc.constantFrom('', 'hello', 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n', requestText('GET /ws HTTP/1.1', UPGRADE)), junk))
  .map(([first, usual, more, behind]) => requestText(first, [...usual, ...more]) + behind)

export const upgrades: Target<{ readonly user: number, readonly request: readonly string[], readonly ending: Ending }> = {
  cases: fc.record({
    user: fc.nat(40),
    request: chunked(fc.oneof({ weight: 3, arbitrary: request.map((text) => Buffer.from(text)) }, mutated(request.map((text) => Buffer.from(text))))),
    ending: endings
  }),
  play: async ({ port }: Subject, { user, request: chunks, ending }) => {
    const token = tokenFor(fuzzedUser(user))
    await stream(port, chunks.map((chunk) => Buffer.from(Buffer.from(chunk, 'hex').toString('latin1').replace(TOKEN, token), 'latin1')), ending)
  }
}
