/** The edge over real sockets: route, guard and driver, with a registry and an authenticator that answer as the test says. */
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect as connectTcp, type Socket } from 'node:net'
import Fastify from 'fastify'
import WebSocket from 'ws'
import t, { type Test } from 'tap'
import metrics from '../../plugins/metrics.ts'
import rateLimit from '../../plugins/rate-limit.ts'
import { DemoClient, RefusedError } from '../../demo/client.ts'
import type { Connection } from '../../src/connections/connection.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { ErrorCode } from '../../src/errors.ts'
import type { Admission, AuthResult } from '../../src/ports.ts'
import { FakeRegistry } from '../helpers/connections.ts'
import { identityOf, startEdge, type EdgeOptions } from '../helpers/edge.ts'
import { HeldIm } from '../helpers/fake-im.ts'

type Options = Omit<EdgeOptions, 'registry' | 'im' | 'authenticate'>

/** Tokens are `user` or `user/device`. */
async function edge (t: Test, options: Options = {}) {
  const registry = new FakeRegistry()
  const im = new HeldIm()
  const asked: string[] = []
  const state = {
    auth: undefined as AuthResult | undefined,
    admission: { ok: true, revision: 1 } as Admission,
    refusal: undefined as ErrorCode | undefined,
    accepted: 0
  }
  registry.admit = async () => state.admission
  const { app, port, url } = await startEdge({
    ...options,
    registry,
    im,
    authenticate: async (token) => {
      asked.push(token)
      return state.auth ?? identityOf(token)
    },
    ws: { refusal: () => state.refusal, onAccepted: () => { state.accepted++ }, ...options.ws }
  })
  t.teardown(() => app.close())
  const refusedWith = async (headers: Record<string, string>, path = '', protocols: string[] = []): Promise<{ status: number, code: string, headers: Record<string, unknown> }> => {
    const socket = new WebSocket(url + path, protocols, { headers })
    socket.on('error', () => {})
    const [, response] = await once(socket, 'unexpected-response') as [unknown, IncomingMessage]
    let body = ''
    for await (const chunk of response) body += String(chunk)
    return { status: response.statusCode ?? 0, code: body === '' ? '' : (JSON.parse(body) as { error_code: string }).error_code, headers: response.headers }
  }
  return { app, registry, im, asked, state, port, url, refusedWith }
}

/** What comes back for some bytes until the server closes. */
async function rawAnswer (port: number, request: string): Promise<string> {
  const socket = connectTcp(port, '127.0.0.1').setEncoding('latin1')
  let text = ''
  socket.on('data', (chunk: string) => { text += chunk }).on('error', () => {})
  socket.write(request, 'latin1')
  await once(socket, 'close')
  return text
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })

t.test('a bad token is an HTTP answer, never a socket [GW-CON-1]', async (t) => {
  const { refusedWith, state, registry } = await edge(t)
  t.match(await refusedWith({}), { status: 401, code: 'AUTH_REQUIRED', headers: { 'www-authenticate': 'Bearer' } })
  for (const code of ['INVALID_TOKEN', 'TOKEN_EXPIRED', 'TOKEN_REVOKED'] as const) {
    state.auth = { ok: false, code }
    t.match(await refusedWith(bearer('ann/phone')), { status: 401, code, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } })
  }
  state.auth = undefined
  registry.revoked.add('ann phone')
  t.match(await refusedWith(bearer('ann'), '?device_id=phone'), { status: 401, code: 'TOKEN_REVOKED' }, 'of a token that names no device: for the device that the query names')
  state.auth = { ok: false, code: 'SERVICE_UNAVAILABLE' }
  const away = await refusedWith(bearer('ann/phone'))
  t.match(away, { status: 503, code: 'SERVICE_UNAVAILABLE' })
  t.ok(Number(away.headers['retry-after']) >= 1)
  t.equal(registry.registered.length, 0)
})

t.test('every other refusal of the table comes before the upgrade as well [GW-CON-1]', async (t) => {
  const { refusedWith, state, asked, port } = await edge(t)
  t.match(await refusedWith(bearer('ann')), { status: 400, code: 'INVALID_DEVICE' })
  t.match(await refusedWith(bearer('ann/phone'), '?device_id=laptop'), { status: 400, code: 'INVALID_DEVICE' })
  t.match(await refusedWith(bearer('ann/phone'), '?device_id=a&device_id=b'), { status: 400, code: 'INVALID_MESSAGE' })
  t.match(await refusedWith(bearer('x'.repeat(4097))), { status: 401, code: 'INVALID_TOKEN' })
  state.admission = { ok: false, code: 'DEVICE_LIMIT_EXCEEDED' }
  t.match(await refusedWith(bearer('ann/phone')), { status: 429, code: 'DEVICE_LIMIT_EXCEEDED' })
  state.admission = { ok: false, code: 'SERVICE_UNAVAILABLE' }
  t.match(await refusedWith(bearer('ann/phone')), { status: 503, code: 'SERVICE_UNAVAILABLE' })
  for (const code of ['SERVER_SHUTDOWN', 'OVERLOADED'] as const) {
    state.refusal = code
    t.match(await refusedWith(bearer('ann/phone')), { status: 503, code })
  }
  state.refusal = undefined
  const before = asked.length
  t.match(await refusedWith({ ...bearer('ann/phone'), origin: 'https://evil.example' }), { status: 403, code: 'ORIGIN_NOT_ALLOWED' })
  t.equal(asked.length, before, 'no check of the token for an evil origin')
  const plain = await fetch(`http://127.0.0.1:${port}/ws`)
  t.equal(plain.status, 426)
  t.equal(plain.headers.get('connection'), 'Upgrade, close')
  t.equal(plain.headers.get('sec-websocket-version'), '13')
  t.match(await plain.json(), { error_code: 'UPGRADE_REQUIRED' })
})

t.test('a request that is malformed in itself gets a body of the table too, before anybody looks at its token', async (t) => {
  const { port, asked } = await edge(t)
  const head = 'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer ann/phone\r\nSec-WebSocket-Version: 13\r\n'
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  for (const [request, status, code] of [
    [`${head}\r\n`, 400, 'INVALID_MESSAGE'],
    [`${head}Sec-WebSocket-Key: x\r\n\r\n`, 400, 'INVALID_MESSAGE'],
    [`${head.replace('Host: x\r\n', '')}${key}\r\n`, 400, 'INVALID_MESSAGE'],
    [`${head.replace('13', '8')}${key}\r\n`, 426, 'UPGRADE_REQUIRED'],
    [`${head}${key}X: ${'x'.repeat(9_000)}\r\n\r\n`, 431, 'INVALID_MESSAGE'],
    ['\x16\x03\x01\x02\x00', 400, 'INVALID_MESSAGE']
  ] as const) {
    const answer = await rawAnswer(port, request)
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} [^]*"error_code":"${code}"`), request.slice(-60))
  }
  t.equal(asked.length, 0)
})

t.test('handshakes are limited by address and by user, with a time to wait', async (t) => {
  const byAddress = await edge(t, { perAddress: 1 })
  t.match(await byAddress.refusedWith({}), { status: 401 })
  const refused = await byAddress.refusedWith(bearer('ann/phone'))
  t.match(refused, { status: 429, code: 'RATE_LIMIT_EXCEEDED' })
  t.ok(Number(refused.headers['retry-after']) > 1)
  const byUser = await edge(t, { perUser: 1 })
  const client = await DemoClient.connect({ url: byUser.url, token: 'ann/phone' })
  t.match(await byUser.refusedWith(bearer('ann/laptop')), { status: 429, code: 'RATE_LIMIT_EXCEEDED' })
  const other = await DemoClient.connect({ url: byUser.url, token: 'bob/phone' })
  await Promise.all([client.close(), other.close()])
})

t.test('a client is welcomed, its messages go upstream, its close is seen', async (t) => {
  const { url, im, app, registry, state } = await edge(t)
  const client = await DemoClient.connect({ url, token: 'ann/phone' })
  t.match(client.welcome, { type: 'welcome', user_id: 'ann', device_id: 'phone', node_id: 'n1', connection_id: 's1.1' })
  t.equal(state.accepted, 1)
  const sent = client.send('bob', 'hi')
  while (im.open.length === 0) await new Promise((resolve) => setImmediate(resolve))
  im.open[0]?.accept(7)
  t.match(await sent, { sequenceNumber: 7 })
  await client.close()
  while (registry.unregistered.length === 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal(app.gateway.hub.connectionCount, 0)
  t.match(await app.metrics.expose(), /im_gateway_connections_closed_total\{reason="client_closed"\} 1/)
})

t.test('the answer to an upgrade leaves in one write with the welcome, once the session is registered [GW-CON-5]', async (t) => {
  const { port, registry } = await edge(t)
  let register: (outcome: 'registered') => void = () => {}
  registry.outcome = new Promise((resolve) => { register = resolve })
  const { socket, first } = upgrade(t, port)
  while (registry.registered.length === 0) await new Promise((resolve) => setImmediate(resolve))
  t.equal(socket.bytesRead, 0)
  register('registered')
  const [text] = await first
  t.match(text, /^HTTP\/1\.1 101 /)
  t.match(text, /"type":"welcome"/)
})

t.test('a session that ends before its welcome has its answer, and the code of its end [GW-CON-5]', async (t) => {
  const { port, registry } = await edge(t)
  registry.outcome = 'unavailable'
  t.match((await upgrade(t, port).first)[0], /^HTTP\/1\.1 101 [^]*overloaded/)

  registry.outcome = new Promise(() => {})
  const { socket, first } = upgrade(t, port)
  while (registry.registered.length < 2) await new Promise((resolve) => setImmediate(resolve))
  socket.write(Buffer.from([0x81, 0x00])) // not masked
  const [text] = await first
  t.match(text, /^HTTP\/1\.1 101 /)
  t.match(text.slice(text.indexOf('\r\n\r\n') + 4), '\u0088\u0002\u0003\u00ea', 'a close frame with 1002')
})

const UPGRADE = 'GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer ann/phone\r\n\r\n'

/** A bare socket that asked for an upgrade, and the first that comes back. */
function upgrade (t: Test, port: number) {
  const socket = connectTcp(port, '127.0.0.1').setEncoding('latin1')
  t.teardown(() => { socket.destroy() })
  socket.write(UPGRADE)
  return { socket, first: once(socket, 'data') as Promise<[string]> }
}

t.test('the token may travel as a subprotocol, and only ours is selected', async (t) => {
  const { url } = await edge(t)
  const socket = new WebSocket(url, ['bearer.ann/phone', 'im.v1.json'].map((each) => each.replace('/', '.')))
  socket.on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response') as [unknown, { statusCode: number }]
  t.equal(response.statusCode, 400, 'the user of this token has no device')
  const fine = new WebSocket(`${url}?device_id=tab`, ['im.v1.json', 'bearer.ann'])
  const [data] = await once(fine, 'message') as [Buffer]
  t.equal(fine.protocol, 'im.v1.json')
  t.match(JSON.parse(String(data)), { type: 'welcome', device_id: 'tab' })
  fine.terminate()
})

t.test('what breaks the protocol closes with its code and is counted by it', async (t) => {
  const { url, app } = await edge(t)
  const cases: Array<[(socket: WebSocket) => void, number, string]> = [
    [(socket) => { socket.send(Buffer.from([1])) }, 1003, 'binary_frame'],
    [(socket) => { socket.send('x'.repeat(10_241)) }, 1009, 'message_too_large'],
    [(socket) => { rawSocket(socket).write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28])) }, 1007, 'invalid_utf8'],
    [(socket) => { rawSocket(socket).write(Buffer.from([0x83, 0x80, 0, 0, 0, 0])) }, 1002, 'protocol_error'],
    [(socket) => { rawSocket(socket).write(Buffer.from([0x81, 0x00])) }, 1002, 'protocol_error'],
    [(socket) => { rawSocket(socket).write(Buffer.concat([Buffer.from([0x01, 0x80, 0, 0, 0, 0]), ...Array.from({ length: 5_000 }, () => Buffer.from([0x00, 0x80, 0, 0, 0, 0]))])) }, 1008, 'too_many_fragments'],
    [(socket) => { socket.close(4001) }, 4001, 'client_closed']
  ]
  for (const [act, code, reason] of cases) {
    const socket = new WebSocket(url, { headers: bearer('ann/phone') })
    await once(socket, 'message')
    const closed = once(socket, 'close') as Promise<[number]>
    act(socket)
    t.equal((await closed)[0], code, reason)
  }
  const text = await app.metrics.expose()
  for (const [, , reason] of cases) t.match(text, new RegExp(`connections_closed_total\\{reason="${reason}"\\}`))
})

function rawSocket (socket: WebSocket): NodeJS.WritableStream {
  return (socket as unknown as { _socket: NodeJS.WritableStream })._socket
}

t.test('a client that closed is gone with its close frame, however long its end of TCP takes [GW-ACK-4]', async (t) => {
  const { port, app, registry } = await edge(t, { connections: { closeTimeoutMs: 60_000 } })
  const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true }).setEncoding('latin1')
  t.teardown(() => { socket.destroy() })
  socket.write(UPGRADE)
  t.match(String((await once(socket, 'data'))[0]), /"type":"welcome"/)
  const settled: string[] = []
  const [connection] = app.gateway.hub.all
  app.gateway.tracker.push(connection as Connection, 'm1', Buffer.from([0x81, 0x00]), 60_000, { settled: (_device, outcome) => { settled.push(outcome) } })
  socket.write(Buffer.from([0x88, 0x80, 0, 0, 0, 0]))
  let text = ''
  while (!text.endsWith('\u0088\u0000')) text += String((await once(socket, 'data'))[0])
  t.equal(text, '\u0081\u0000\u0088\u0000', 'what was queued for it leaves before the answer')
  t.equal(app.gateway.hub.connectionCount, 0)
  t.strictSame(settled, ['GONE'])
  t.equal(registry.unregistered.length, 1)
  t.match(await app.metrics.expose(), /im_gateway_connections_closed_total\{reason="client_closed"\} 1/)
})

t.test('a handshake that a drain overtakes is refused, one that the end of the app overtakes is closed at once [GW-END-1]', async (t) => {
  const { url, state, registry, refusedWith, app } = await edge(t)
  const admits: Array<(admission: Admission) => void> = []
  registry.admit = () => new Promise((resolve) => { admits.push(resolve) })
  const refused = refusedWith(bearer('ann/phone'))
  while (admits.length === 0) await new Promise((resolve) => setImmediate(resolve))
  state.refusal = 'SERVER_SHUTDOWN'
  admits[0]?.({ ok: true, revision: 1 })
  t.match(await refused, { status: 503, code: 'SERVER_SHUTDOWN' })
  t.equal(state.accepted, 0)

  state.refusal = undefined
  const late = new WebSocket(url, { headers: bearer('ann/phone') })
  late.on('error', () => {})
  while (admits.length === 1) await new Promise((resolve) => setImmediate(resolve))
  const ended = app.close()
  // Its server listens no more once the others were closed.
  while (app.server.listening) await new Promise((resolve) => setImmediate(resolve))
  admits[1]?.({ ok: true, revision: 1 })
  await Promise.all([once(late, 'close'), ended])
  t.equal(app.gateway.hub.connectionCount, 0)
})

t.test('a client that resets its connection is gone, the node lives', async (t) => {
  const { url, app } = await edge(t)
  const socket = new WebSocket(url, { headers: bearer('ann/phone') })
  await once(socket, 'message');
  (rawSocket(socket) as unknown as { resetAndDestroy (): void }).resetAndDestroy()
  socket.on('error', () => {})
  while (app.gateway.hub.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve))
  const next = await DemoClient.connect({ url, token: 'ann/phone' })
  await next.close()
})

t.test('the request and its reply are let go once the socket is upgraded', async (t) => {
  const { url, app } = await edge(t)
  const client = await DemoClient.connect({ url, token: 'ann/phone' })
  const [connection] = app.gateway.hub.all
  const ws = connection?.socket as unknown as WebSocket & { _socket: { _httpMessage: unknown } }
  t.equal(ws._socket._httpMessage, null)
  t.strictSame(ws.eventNames(), [], 'nobody listens who would keep them')
  t.equal(app.gateway.guard.pendingCount, 0)
  await client.close()
})

t.test('a reader that stops is closed with 4001 while others are served [GW-OUT-1]', async (t) => {
  const { url, app } = await edge(t, { core: { outboxBytes: 50_000, writeWaitMs: 60_000 } })
  const slow = await DemoClient.connect({ url, token: 'ann/phone' })
  const healthy = await DemoClient.connect({ url, token: 'bob/phone' })
  slow.pause()
  const { hub, outbox } = app.gateway
  const { textFrame } = await import('../../src/protocol/encode.ts')
  const frame = textFrame(JSON.stringify({ type: 'message', msg_id: 'big', pad: 'x'.repeat(20_000) }))
  const target = hub.device('ann', 'phone')
  for (let n = 0; n < 10_000 && target?.state === 'open'; n++) {
    outbox.send(target, frame, 'message')
    if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(target?.closedFor, 'slowConsumer')
  const other = hub.device('bob', 'phone')
  if (other !== undefined) outbox.send(other, textFrame(JSON.stringify({ type: 'message', msg_id: 'small' })), 'message')
  t.match(await healthy.message('small'), { msg_id: 'small' })
  slow.resume()
  t.match(await slow.closed(), { code: 4001 })
  await healthy.close()
})

t.test('one listener waits for a stalled socket, however many parts were written to it', async (t) => {
  const { url, app } = await edge(t, { core: { outboxBytes: 50_000_000, writeWaitMs: 60_000 } })
  const client = new WebSocket(url, { headers: bearer('ann/phone') })
  await once(client, 'message')
  const { hub, outbox } = app.gateway
  const target = hub.device('ann', 'phone') as Connection
  const { textFrame } = await import('../../src/protocol/encode.ts')
  const frame = textFrame(JSON.stringify({ type: 'message', pad: 'x'.repeat(20_000) }))
  client.pause()
  while (!target.blocked) {
    outbox.send(target, frame, 'message')
    await new Promise((resolve) => setImmediate(resolve))
  }
  for (let n = 0; n < 300; n++) outbox.send(target, frame, 'message')
  const raw = (target.socket as unknown as { _socket: Socket })._socket
  t.equal(raw.listenerCount('drain'), 1)
  const { queuedBytes } = target
  client.resume()
  while (target.queuedBytes === queuedBytes) await new Promise((resolve) => setImmediate(resolve))
  t.equal(target.blocked, true, 'the kernel did not take all of it')
  t.equal(raw.listenerCount('drain'), 1)
  client.terminate()
})

t.test('a ping is answered with its payload, but for a client that does not read [GW-CON-9]', async (t) => {
  const { url, app } = await edge(t, { core: { outboxBytes: 50_000_000, writeWaitMs: 60_000 } })
  const client = new WebSocket(url, { headers: bearer('ann/phone') })
  await once(client, 'message')
  client.ping('are you there')
  const [payload] = await once(client, 'pong') as [Buffer]
  t.equal(payload.toString(), 'are you there')
  const { hub, outbox } = app.gateway
  const target = hub.device('ann', 'phone') as Connection
  const { textFrame } = await import('../../src/protocol/encode.ts')
  client.pause()
  const frame = textFrame(JSON.stringify({ type: 'message', pad: 'x'.repeat(100_000) }))
  while (!target.blocked) {
    outbox.send(target, frame, 'message')
    await new Promise((resolve) => setImmediate(resolve))
  }
  const raw = (target.socket as unknown as { _socket: Socket })._socket
  const held = raw.writableLength
  let pongs = 0
  client.on('pong', () => { pongs++ })
  const seen = target.lastSeenMs = -1
  client.ping('and now')
  while (target.lastSeenMs === seen) await new Promise((resolve) => setImmediate(resolve))
  t.equal(raw.writableLength, held, 'a pong would wait behind what is not read')
  client.resume()
  while (raw.writableLength > 0) await new Promise((resolve) => setImmediate(resolve))
  client.ping('and then')
  t.equal(String((await once(client, 'pong'))[0]), 'and then')
  t.equal(pongs, 1)
  client.terminate()
})

t.test('a hung check is cut off with the handshake\'s deadline [GW-CON-10]', async (t) => {
  const { port, registry, app } = await edge(t, { connections: { handshakeTimeoutMs: 50 } })
  registry.admit = () => new Promise(() => {})
  const { socket, first } = upgrade(t, port)
  first.catch(() => {})
  socket.on('error', () => {})
  await once(socket, 'close')
  t.equal(app.gateway.guard.pendingCount, 0)
})

t.test('an upgrade of a plain route is answered 404 and never upgraded [GW-CON-10]', async (t) => {
  const { port } = await edge(t)
  const error = await DemoClient.connect({ url: `ws://127.0.0.1:${port}/healthz`, token: 'ann/phone' }).catch((error: unknown) => error)
  t.match(error, { status: 404 })
  t.ok(error instanceof RefusedError)
})

t.test('options that cannot hold are refused at the start', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(metrics, { version: 'test', processMetrics: false })
  app.register(rateLimit, { windowMs: 1, perAddress: 1, perUser: 1, redis: undefined, clock: systemClock })
  await t.rejects(async () => { await app.ready() }, { message: /windowMs/ })
})
