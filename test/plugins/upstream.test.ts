import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { ServerCredentials, status } from '@grpc/grpc-js'
import upstream, { type UpstreamOptions } from '../../plugins/upstream.ts'
import { ChannelPool } from '../../plugins/lib/channel-pool.ts'
import { ImClient } from '../../plugins/lib/im-client.ts'
import { GatewayError } from '../../src/errors.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { RouteAccepted, RouteRequest } from '../../src/ports.ts'
import { createAuthority } from '../helpers/certificates.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../helpers/fakes.ts'
import { FakeServices } from '../helpers/fake-services.ts'

const BIG = 2n ** 53n

async function setUp (t: Test, overrides: Partial<UpstreamOptions> = {}, start: Parameters<FakeServices['start']> = []) {
  const services = await new FakeServices().start(...start)
  const app = Fastify()
  const meter = new FakeMeter()
  const health = new FakeHealth()
  const logger = new FakeLogger()
  app.register(upstream, {
    im: services.address,
    users: services.address,
    imTimeoutMs: 2_000,
    imAttemptTimeoutMs: 800,
    userTimeoutMs: 1_000,
    maxInFlight: 10_000,
    clock: systemClock,
    meter,
    health,
    logger,
    ...overrides
  })
  await app.ready()
  // The clock's timers do not keep the process alive, and while the server is gone nothing else does.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(async () => {
    clearInterval(alive)
    await app.close()
    services.stop()
  })
  const send = (message: Partial<RouteRequest> = {}) => app.imPolicy.run('Route', (attemptMs) => app.im.route(request(message), attemptMs))
  return { services, app, meter, health, logger, send }
}

let serial = 0
function request (overrides: Partial<RouteRequest> = {}): RouteRequest {
  return {
    kind: 'private',
    msgId: `m-${++serial}`,
    senderId: 'alice',
    senderDeviceId: 'phone',
    recipientId: 'bob',
    content: 'hello',
    messageType: 'text',
    metadata: { a: '1' },
    clientTimestampMs: 1_700_000_000_123,
    traceparent: undefined,
    ...overrides
  }
}

async function codeOf (promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'ok'
  } catch (error) {
    return error instanceof GatewayError ? error.code : String(error)
  }
}

async function until (condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 10_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`did not happen: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

t.test('messages of one turn travel in one batch of RouteStream, with sender and device of the request [GW-SND-6]', async (t) => {
  const { services, app } = await setUp(t, { channels: 1 })
  const [first, second, group] = await Promise.all([
    app.im.route(request({ msgId: 'a' }), 1_000),
    app.im.route(request({ msgId: 'b', recipientId: 'bob' }), 1_000),
    app.im.route(request({ msgId: 'c', kind: 'group', recipientId: 'group_1', messageType: 'image', metadata: undefined }), 1_000)
  ])
  t.same([first, second, group].map((accepted) => accepted?.sequenceNumber), [1, 2, 1])
  t.equal(first?.timestampMs, 1_700_000_000_000)
  t.same(services.im.batches, [3])
  t.match(services.im.requests[0], {
    kind: 'private',
    via: 'stream',
    message: { msgId: 'a', senderId: 'alice', senderDeviceId: 'phone', recipientId: 'bob', content: 'hello', messageType: 1, metadata: { a: '1' }, clientTimestamp: new Date(1_700_000_000_123) }
  })
  t.match(services.im.requests[2], { kind: 'group', message: { groupId: 'group_1', messageType: 2, metadata: {} } })
})

t.test('the channels take turns by batches, not by messages', async (t) => {
  const { services, app } = await setUp(t, { channels: 2 })
  for (const turn of ['a', 'b', 'c']) await Promise.all([1, 2, 3].map((n) => app.im.route(request({ msgId: `${turn}${n}` }), 1_000)))
  t.same(services.im.batches, [3, 3, 3])
  t.equal(services.im.streams.size, 2)
})

t.test('a stream that has answered and then is not implemented leaves its messages unknown: they are not sent again as unary calls', async (t) => {
  const { services, app } = await setUp(t, { channels: 1 })
  await app.im.route(request({ msgId: 'a' }), 1_000)
  services.im.behave = () => ({ silent: true })
  const unanswered = app.im.route(request({ msgId: 'b' }), 1_000)
  const isRefused = t.rejects(unanswered, { code: 'SERVICE_UNAVAILABLE' })
  while (services.im.requests.length < 2) await new Promise((resolve) => { setImmediate(resolve) })
  for (const stream of services.im.streams) stream.emit('error', { code: status.UNIMPLEMENTED, details: 'no longer' })
  await isRefused
  t.same(services.im.requests.map(({ via }) => via), ['stream', 'stream'])
})

t.test('a service without RouteStream is served by the unary calls, and that is remembered for the channel', async (t) => {
  const { services, app } = await setUp(t, { channels: 1 })
  services.im.offersStream = false
  let attempts = 0
  const offered = Object.getOwnPropertyDescriptor(services.im, 'offersStream')?.value as boolean
  Object.defineProperty(services.im, 'offersStream', { get: () => { attempts++; return offered } })
  const first = await Promise.all([app.im.route(request(), 1_000), app.im.route(request({ traceparent: '00-a-b-01' }), 1_000)])
  t.same(first.map((accepted) => accepted.sequenceNumber).sort(), [1, 2])
  await app.im.route(request({ kind: 'group', recipientId: 'group_1' }), 1_000)
  t.equal(attempts, 1)
  t.same(services.im.requests.map(({ via }) => via), ['unary', 'unary', 'unary'])
  t.same(services.im.requests.map(({ traceparent }) => traceparent), [undefined, '00-a-b-01', undefined])
})

for (const offersStream of [true, false]) {
  t.test(`the IM Service's refusals keep their meaning and its own words stay inside (${offersStream ? 'stream' : 'unary'})`, async (t) => {
    const { services, app } = await setUp(t)
    services.im.offersStream = offersStream
    const expected = [
      'INVALID_MESSAGE', 'CONTENT_TOO_LONG', 'SENDER_NOT_FOUND', 'RECIPIENT_NOT_FOUND', 'GROUP_NOT_FOUND', 'NOT_GROUP_MEMBER', 'SENSITIVE_CONTENT',
      'ROUTING_ERROR', 'ROUTING_ERROR', 'ROUTING_ERROR', 'ROUTING_ERROR', 'INTERNAL_ERROR', 'ROUTING_ERROR', 'INTERNAL_ERROR'
    ]
    for (const [at, code] of expected.entries()) {
      services.im.behave = () => ({ errorCode: at + 1 as 1 })
      await t.rejects(app.im.route(request(), 1_000), { code }, `IM error ${at + 1} is ${code}`)
    }
  })

  t.test(`a sequence number past 2^53-1 is an error, never rounded (${offersStream ? 'stream' : 'unary'})`, async (t) => {
    const { services, app } = await setUp(t)
    services.im.offersStream = offersStream
    services.im.behave = () => ({ sequenceNumber: BIG - 1n })
    t.equal((await app.im.route(request(), 1_000)).sequenceNumber, Number.MAX_SAFE_INTEGER)
    services.im.behave = () => ({ sequenceNumber: BIG })
    await t.rejects(app.im.route(request(), 1_000), { code: 'INTERNAL_ERROR' })
    services.im.behave = () => ({ sequenceNumber: -1n })
    await t.rejects(app.im.route(request(), 1_000), { code: 'INTERNAL_ERROR' })
  })

  t.test(`a silent IM Service costs one deadline and one retry with the same msg_id [GW-SND-4] (${offersStream ? 'stream' : 'unary'})`, async (t) => {
    const { services, send, meter } = await setUp(t, { imTimeoutMs: 700, imAttemptTimeoutMs: 300 })
    services.im.offersStream = offersStream
    services.im.behave = () => ({ silent: true })
    const startedAt = performance.now()
    await t.rejects(send({ msgId: 'same' }), { code: 'DEADLINE_EXCEEDED' })
    t.ok(performance.now() - startedAt < 1_000, 'within the deadline in all')
    t.same(services.im.requests.map(({ message }) => message.msgId), ['same', 'same'])
    t.equal(services.im.accepted.size, 1, 'accepted once')
    t.equal(meter.counted('upstream_retries_total im'), 1)
  })
}

t.test('a stream that breaks after the message was accepted is retried and answered with the first sequence number [GW-SND-4]', async (t) => {
  const { services, send } = await setUp(t)
  let calls = 0
  services.im.behave = () => calls++ === 0 ? { status: status.UNAVAILABLE, acceptFirst: true } : undefined
  const accepted = await send({ msgId: 'once' })
  t.equal(accepted.sequenceNumber, 1)
  t.equal(calls, 2)
  t.equal(services.im.accepted.size, 1)
})

t.test('an IM Service that is gone opens the breaker in less than 3 s; then no call leaves; its return is found by one probe [GW-SND-4]', async (t) => {
  const { services, send, meter, health } = await setUp(t)
  t.equal(await codeOf(send()), 'ok')
  const { address } = services
  services.stop()
  const stoppedAt = performance.now()
  while (meter.gauge('breaker_state im') === 0) await Promise.all([codeOf(send()), codeOf(send())])
  t.ok(performance.now() - stoppedAt < 3_000, 'opened in time')
  t.ok(health.downs.has('im'))
  const from = performance.now()
  t.equal(await codeOf(send()), 'SERVICE_UNAVAILABLE')
  t.ok(performance.now() - from < 20, 'answered at once')
  await services.start()
  t.equal(services.address, address)
  let result = ''
  await until(() => { void codeOf(send()).then((code) => { result = code }); return result === 'ok' }, 'messages go again')
  t.equal(meter.gauge('breaker_state im'), 0)
  t.notOk(health.downs.has('im'))
})

t.test('a server that ends connections by age costs at most one message in a thousand [GW-SND-4]', async (t) => {
  // Much longer than the pause before a retry: connections of the same age end within a tenth of it, and a retry on the next to end is lost as well.
  const { services, send } = await setUp(t, {}, [{ 'grpc.max_connection_age_ms': 1_000, 'grpc.max_connection_age_grace_ms': 100 }])
  const results: Array<Promise<string>> = []
  const end = performance.now() + 3_000
  while (performance.now() < end) {
    for (let at = 0; at < 10; at++) results.push(codeOf(send()))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const codes = await Promise.all(results)
  const failures = codes.filter((code) => code !== 'ok')
  t.ok(failures.length <= codes.length / 1_000, `of ${codes.length}: ${failures.join(' ')}`)
  t.ok(services.im.accepted.size >= codes.length - failures.length, 'nothing was answered that was not accepted')
})

t.test('with one replica of two in a black hole the failures end once keepalive has found it [GW-SND-4]', async (t) => {
  const hole = await new FakeServices().start()
  const other = await new FakeServices().start()
  const proxy = await blackHole(t, Number(hole.address.split(':')[1]))
  t.teardown(() => {
    hole.stop()
    other.stop()
  })
  hole.im.offersStream = other.im.offersStream = false
  const { app, send } = await setUp(t, { im: `ipv4:127.0.0.1:${proxy.port},${other.address}`, keepaliveTimeMs: 1_000, keepaliveTimeoutMs: 300, imAttemptTimeoutMs: 500 })
  await until(() => { void codeOf(send()); return hole.im.requests.length > 0 && other.im.requests.length > 0 }, 'both replicas serve')
  proxy.stop()
  const stoppedAt = performance.now()
  let failures = 0
  let lastFailureAt = stoppedAt
  const calls: Array<Promise<void>> = []
  while (performance.now() - stoppedAt < 3_000) {
    calls.push(codeOf(app.im.route(request(), 500)).then((code) => {
      if (code === 'ok') return
      failures++
      lastFailureAt = performance.now()
    }))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await Promise.all(calls)
  t.ok(failures > 0, `${failures} of ${calls.length} attempts failed`)
  t.ok(lastFailureAt - stoppedAt < 2_500, `the last after ${Math.round(lastFailureAt - stoppedAt)} ms`)
})

t.test('a stream is renewed by age without losing a message', async (t) => {
  const services = await new FakeServices().start()
  const pool = new ChannelPool({ address: services.address, channels: 1, clock: systemClock })
  const client = new ImClient({ pool, clock: systemClock, maxOutstanding: 100, streamMaxAgeMs: 20 })
  t.teardown(() => { client.close(); pool.close(); services.stop() })
  let opened = 0
  services.im.streams.add = function (stream) { opened++; return Set.prototype.add.call(this, stream) as typeof this }
  services.im.behave = () => ({ delayMs: 30 })
  const results: Array<Promise<RouteAccepted>> = []
  for (let at = 0; at < 20; at++) {
    results.push(client.route(request(), 2_000))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  t.equal((await Promise.all(results)).length, 20)
  t.ok(opened > 2, `${opened} streams`)
  await until(() => services.im.streams.size <= 1, 'old streams end')
})

t.test('a channel whose calls keep failing is replaced, its last calls are not cut', async (t) => {
  const services = await new FakeServices().start()
  services.im.offersStream = false
  let nowMs = 0
  const clock = { ...systemClock, monotonicMs: () => nowMs }
  const pool = new ChannelPool({ address: services.address, channels: 1, replaceAfterFailures: 3, clock })
  const client = new ImClient({ pool, clock, maxOutstanding: 100 })
  t.teardown(() => { client.close(); pool.close(); services.stop() })
  const first = pool.next()
  services.im.behave = ({ message }) => message.msgId === 'slow' ? { delayMs: 300 } : { status: status.INTERNAL }
  const slow = client.route(request({ msgId: 'slow' }), 2_000)
  for (let at = 0; at < 4; at++) await codeOf(client.route(request(), 1_000))
  t.equal(pool.next(), first, 'not within 10 s of its opening')
  nowMs = 11_000
  await codeOf(client.route(request(), 1_000))
  t.not(pool.next(), first)
  services.im.behave = () => undefined
  t.equal(await codeOf(client.route(request(), 1_000)), 'ok')
  t.equal((await slow).sequenceNumber > 0, true)
})

t.test('a call after the close is SERVICE_UNAVAILABLE, and one under way when it closes is not left hanging', async (t) => {
  const { services, app } = await setUp(t)
  services.im.behave = () => ({ silent: true })
  const open = codeOf(app.im.route(request(), 5_000))
  await until(() => services.im.requests.length === 1, 'the call is at the server')
  await app.close()
  t.equal(await open, 'SERVICE_UNAVAILABLE')
  t.equal(await codeOf(app.im.route(request(), 1_000)), 'SERVICE_UNAVAILABLE')
  t.equal(await codeOf(app.users.isMember('group_1', 'a')), 'SERVICE_UNAVAILABLE')
})

t.test('over TLS both sides are checked: the service by the authority given, we by our certificate', async (t) => {
  const authority = createAuthority()
  t.teardown(() => { authority.remove() })
  const server = authority.sign('IP:127.0.0.1')
  const { cert, key } = authority.sign('DNS:gateway.example')
  const { ca } = authority
  const credentials = ServerCredentials.createSsl(Buffer.from(ca), [{ cert_chain: Buffer.from(server.cert), private_key: Buffer.from(server.key) }], true)
  const codes: string[] = []
  for (const tls of [{ ca, cert, key }, { ca }, { cert, key }, undefined]) {
    const { app } = await setUp(t, { tls }, [{}, credentials])
    codes.push(await codeOf(app.im.route(request(), 2_000)))
  }
  t.same(codes, ['ok', 'SERVICE_UNAVAILABLE', 'SERVICE_UNAVAILABLE', 'SERVICE_UNAVAILABLE'])
})

t.test('past the bound of outstanding messages: OVERLOADED', async (t) => {
  const { services, app } = await setUp(t, { channels: 1, maxInFlight: 5 })
  services.im.behave = () => ({ delayMs: 50 })
  const codes = await Promise.all(Array.from({ length: 7 }, () => codeOf(app.im.route(request(), 1_000))))
  t.same(codes, ['ok', 'ok', 'ok', 'ok', 'ok', 'OVERLOADED', 'OVERLOADED'])
})

t.test('the User Service answers in pages; its errors are GROUP_NOT_FOUND or SERVICE_UNAVAILABLE', async (t) => {
  const { services, app } = await setUp(t)
  services.users.groups.set('group_1', ['a', 'b', 'c'])
  t.same(await app.users.groupMembers('group_1', '', 2), { userIds: ['a', 'b'], nextCursor: '2', hasMore: true, totalCount: 3 })
  t.same(await app.users.groupMembers('group_1', '2', 2), { userIds: ['c'], nextCursor: '', hasMore: false, totalCount: 3 })
  t.equal(await app.users.isMember('group_1', 'b'), true)
  t.equal(await app.users.isMember('group_1', 'x'), false)
  await t.rejects(app.users.groupMembers('group_2', '', 2), { code: 'GROUP_NOT_FOUND' })
  for (const errorCode of [1, 3, 4, 5, 6, 99] as const) {
    services.users.behave = () => ({ errorCode: errorCode as 1 })
    await t.rejects(app.users.isMember('group_1', 'b'), { code: 'SERVICE_UNAVAILABLE' })
  }
  services.users.behave = () => ({ silent: true })
  await t.rejects(app.users.groupMembers('group_1', '', 2), { code: 'DEADLINE_EXCEEDED' })
})

t.test('ready services are taken as they are, and an attempt longer than the whole is refused', async (t) => {
  const services = await new FakeServices().start()
  const ready = { route: async () => ({ sequenceNumber: 1, timestampMs: 2 }) }
  const { app } = await setUp(t, { im: ready, users: { groupMembers: async () => ({ userIds: [], nextCursor: '', hasMore: false, totalCount: 0 }), isMember: async () => true } })
  t.equal(app.im, ready)
  services.stop()
  const bad = Fastify()
  const options: UpstreamOptions = { im: ready, users: '127.0.0.1:1', imTimeoutMs: 1, imAttemptTimeoutMs: 2, userTimeoutMs: 1, maxInFlight: 1, clock: systemClock, meter: new FakeMeter(), health: new FakeHealth(), logger: new FakeLogger() }
  bad.register(upstream, options)
  await t.rejects(async () => { await bad.ready() }, RangeError)
})

/** A TCP proxy to `target` that can stop forwarding without closing anything. */
async function blackHole (t: Test, target: number): Promise<{ port: number, stop: () => void }> {
  const sockets: Socket[] = []
  const server = createServer((inner) => {
    const outer = connect(target, '127.0.0.1')
    sockets.push(inner, outer)
    inner.pipe(outer)
    outer.pipe(inner)
    inner.on('error', () => {})
    outer.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.removeAllListeners('connection')
      server.on('connection', (socket: Socket) => { sockets.push(socket) })
      for (const socket of sockets) {
        socket.unpipe()
        socket.pause()
      }
    }
  }
}
