/** The gRPC server over real channels on loopback; devices are fake sockets that acknowledge when the test says so. */
import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import { Client, connectivityState, credentials, Metadata, status, type ChannelCredentials, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { protoPath as healthProtoPath, service as healthService } from 'grpc-health-check'
import t, { type Test } from 'tap'
import pushGrpc, { type PushGrpcOptions } from '../../plugins/push-grpc.ts'
import peers from '../../plugins/peers.ts'
import { serviceDefinition } from '../../plugins/lib/grpc-service.ts'
import { callerCheck, peerMetadata, subjectAltNames } from '../../plugins/lib/grpc-credentials.ts'
import { PeerClients } from '../../plugins/lib/peer-clients.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import {
  ExplainStep, GatewayServiceDefinition, Outcome, Scope, type PushBatch, type PushMessageRequest, type PushMessageResponse, type PushReport, type PushReportItem
} from '../../src/generated/gateway/v1/gateway.ts'
import type { Connection } from '../../src/connections/connection.ts'
import { Hub } from '../../src/connections/hub.ts'
import { Presence } from '../../src/delivery/presence.ts'
import { Push } from '../../src/delivery/push.ts'
import { Tracker } from '../../src/delivery/tracker.ts'
import { Explainer } from '../../src/explain/explainer.ts'
import { Recorder } from '../../src/explain/recorder.ts'
import { GatewayError } from '../../src/errors.ts'
import type { PeerNodes } from '../../src/delivery/peers.ts'
import { createAuthority } from '../helpers/certificates.ts'
import { connect } from '../helpers/connections.ts'
import { FakeLogger, FakeMeter } from '../helpers/fakes.ts'

const methods = serviceDefinition(GatewayServiceDefinition)

function message (fields: Partial<PushMessageRequest> = {}): PushMessageRequest {
  return {
    msgId: 'm1',
    recipientId: 'bob',
    deviceId: '',
    senderId: 'ann',
    content: 'hello',
    messageType: 'text',
    sequenceNumber: 1n,
    timestamp: 1n,
    conversationId: '',
    metadata: {},
    excludeDeviceId: '',
    scope: Scope.CLUSTER,
    ...fields
  }
}

interface WorldOptions extends Partial<Omit<PushGrpcOptions, 'push' | 'presence' | 'explainer'>> {
  readonly peers?: PeerNodes
  /** Devices of this user are on that node. */
  readonly elsewhere?: Readonly<Record<string, string>>
  readonly ackTimeoutMs?: number
  readonly maxPending?: number
  readonly autoAck?: boolean
  readonly notReady?: boolean
}

async function world (t: Test, options: WorldOptions = {}) {
  const { peers: nodes, elsewhere = {}, ackTimeoutMs = 5_000, maxPending = 100_000, autoAck = true, notReady = false, ...rest } = options
  const meter = new FakeMeter()
  const logger = new FakeLogger()
  const hub = new Hub()
  const written: Array<{ connection: Connection, frame: string }> = []
  const recorder = new Recorder({ clock: systemClock, entries: 100, bytes: 1e6 })
  const tracker: Tracker = new Tracker({
    recorder,
    clock: systemClock,
    meter,
    outbox: {
      send (connection, frame, type) {
        const text = frame.toString('utf8', frame.indexOf('{'))
        written.push({ connection, frame: text })
        const { msg_id: msgId } = JSON.parse(text) as { msg_id: string }
        if (autoAck && type === 'message') setImmediate(() => { tracker.ack(connection, msgId) })
        return 'queued'
      }
    },
    maxPending,
    maxPendingBytes: 1e9
  })
  const registry = {
    locate: async (userId: string) => {
      const nodeId = elsewhere[userId]
      return { devices: nodeId === undefined ? [] : [{ deviceId: 'phone', nodeId, connectionId: 'c', since: 1 }], complete: true }
    },
    nodeAddress: async (nodeId: string) => nodeId
  }
  const disconnected: Connection[] = []
  const shared = { nodeId: 'n1', hub, registry, peers: nodes ?? new PeerClients({}), clock: systemClock, meter, logger }
  const push = new Push({ ...shared, outbox: { send: (connection, frame) => { written.push({ connection, frame: frame.toString('utf8', frame.indexOf('{')) }); return 'queued' } }, tracker, recorder, ackTimeoutMs, maxPending, maxPendingBytes: 1e9 })
  const presence = new Presence({ ...shared, disconnect: (connection) => { disconnected.push(connection) } })
  const explainer = new Explainer({ nodeId: 'n1', clock: systemClock, recorder })
  const app = Fastify()
  await app.register(pushGrpc, { host: '127.0.0.1', port: 0, reflection: false, maxConnectionAgeMs: 300_000, clock: systemClock, meter, logger, push, presence, explainer, ...rest })
  t.teardown(async () => { await app.close() })
  if (!notReady) await app.ready()
  return { app, meter, hub, tracker, push, written, disconnected }
}

function clientOf (t: Test, app: FastifyInstance, channel: ChannelCredentials = credentials.createInsecure(), options: object = {}): Client {
  const client = new Client(`localhost:${app.pushServer.port}`, channel, { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_channelz': 0, ...options })
  t.teardown(() => { client.close() })
  return client
}

type UnaryMethod = Exclude<keyof typeof methods, 'pushStream'>
type Request<Name extends UnaryMethod> = Parameters<(typeof methods)[Name]['requestSerialize']>[0]
type Response<Name extends UnaryMethod> = ReturnType<(typeof methods)[Name]['responseDeserialize']>

/** Rejects with the ServiceError. */
function call<Name extends UnaryMethod> (client: Client, name: Name, request: Request<Name>, metadata = new Metadata(), deadlineMs = 3_000): Promise<Response<Name>> {
  const { path, requestSerialize, responseDeserialize } = methods[name]
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize as (value: unknown) => Buffer, responseDeserialize as (bytes: Buffer) => Response<Name>, request, metadata, { deadline: Date.now() + deadlineMs }, (error, response) => {
      if (error !== null) reject(error)
      else resolve(response as Response<Name>)
    })
  })
}

function openStream (client: Client, metadata = new Metadata()): ClientDuplexStream<PushBatch, PushReport> {
  const { path, requestSerialize, responseDeserialize } = methods.pushStream
  return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata)
}

function bearer (token: string): Metadata {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${token}`)
  return metadata
}

/** The first `count` report items of a stream. */
async function items (stream: ClientDuplexStream<PushBatch, PushReport>, count: number): Promise<PushReportItem[]> {
  const all: PushReportItem[] = []
  while (all.length < count) {
    const [report] = await once(stream, 'data') as [PushReport]
    all.push(...report.items)
  }
  return all
}

function health (client: Client, service = ''): Promise<string> {
  const { path, requestSerialize, responseDeserialize } = healthService.Check as typeof healthService[string]
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, { deadline: Date.now() + 3_000 }, (error, response) => {
      if (error !== null) reject(error)
      else resolve((response as { status: string }).status)
    })
  })
}

t.test('[GW-ACK-1] PushMessage is answered when the device has acknowledged', async (t) => {
  const { app, hub, written } = await world(t)
  connect(hub, 'bob', 'phone')
  const response = await call(clientOf(t, app), 'pushMessage', message({ sequenceNumber: 2n ** 53n - 1n, metadata: { k: 'v' } }))
  t.match(response, { success: true, deliveredCount: 1, failedDevices: [], devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_ACKED, nodeId: 'n1' }], routesIncomplete: false })
  t.match(JSON.parse(written[0]?.frame as string), { type: 'message', ack_required: true, sequence_number: Number.MAX_SAFE_INTEGER, metadata: { k: 'v' } })
})

t.test('[GW-ACK-1] a caller with a short deadline is answered before it', async (t) => {
  const { app, hub } = await world(t, { autoAck: false })
  connect(hub, 'bob', 'phone')
  const client = clientOf(t, app)
  const response = await call(client, 'pushMessage', message(), new Metadata(), 700)
  t.equal(response.devices[0]?.outcome, Outcome.OUTCOME_ACK_TIMEOUT)
  await t.rejects(call(client, 'pushMessage', message(), new Metadata(), 200), { code: status.DEADLINE_EXCEEDED })
})

t.test('[GW-ACK-5] [GW-ACK-6] refusals are statuses that say what is wrong', async (t) => {
  const { app, hub, meter } = await world(t, { maxPending: 0 })
  connect(hub, 'bob', 'phone')
  const client = clientOf(t, app)
  await t.rejects(call(client, 'pushMessage', message({ sequenceNumber: 2n ** 53n })), { code: status.INVALID_ARGUMENT, details: 'sequence_number must be between 0 and 2^53-1' })
  await t.rejects(call(client, 'pushMessage', message()), { code: status.RESOURCE_EXHAUSTED })
  await t.rejects(call(client, 'getPresence', { userIds: new Array<string>(101).fill('bob') }), { code: status.INVALID_ARGUMENT, details: /^user_ids/ })
  await t.rejects(call(client, 'pushMessage', message({ content: 'x'.repeat(66_000) })), { code: status.RESOURCE_EXHAUSTED, details: /65536 bytes/ }, 'unary messages have 64 KiB')
  t.equal(meter.counted('pushes_refused_total RESOURCE_EXHAUSTED'), 2)
})

t.test('[GW-EVT-1] receipts, presence and disconnects are answered', async (t) => {
  const { app, hub, written, disconnected } = await world(t)
  const { connection } = connect(hub, 'bob', 'phone')
  const client = clientOf(t, app)
  const receipt = await call(client, 'pushReadReceipt', { msgId: 'm1', senderId: 'bob', readerId: 'ann', conversationId: 'ann', readAt: 5n, scope: Scope.LOCAL })
  t.match(receipt, { success: true, deliveredCount: 1, devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_WRITTEN }] })
  t.match(JSON.parse(written[0]?.frame as string), { type: 'read_receipt', msg_id: 'm1', reader_id: 'ann', read_at: 5 })
  t.match(await call(client, 'getPresence', { userIds: ['bob', 'eve'] }), { users: [{ userId: 'bob', devices: [{ deviceId: 'phone', nodeId: 'n1' }] }, { userId: 'eve', devices: [] }], incomplete: false })
  t.same(await call(client, 'disconnect', { userId: 'bob', deviceId: '', reason: 'abuse', scope: Scope.LOCAL }), { disconnected: 1 })
  t.strictSame(disconnected, [connection])
})

t.test('[GW-ACK-1] PushStream answers each item by its correlation, many in one message; a bad item closes nothing', async (t) => {
  const { app, hub } = await world(t)
  connect(hub, 'bob', 'phone')
  const stream = openStream(clientOf(t, app))
  let reports = 0
  stream.on('data', () => { reports++ })
  stream.write({ items: Array.from({ length: 500 }, (_, correlation) => ({ correlation, traceparent: '', push: message({ msgId: `m${correlation}` }) })) })
  stream.write({ items: [{ correlation: 1_000, traceparent: '', push: message({ msgId: '' }) }, { correlation: 1_001, traceparent: '', push: undefined }, { correlation: 1_002, traceparent: '', push: message({ recipientId: 'eve' }) }] })
  const answers = new Map((await items(stream, 503)).map(({ correlation, response }) => [correlation, response]))
  t.equal(answers.size, 503)
  for (let correlation = 0; correlation < 500; correlation++) if (answers.get(correlation)?.success !== true) t.fail(`${correlation}`)
  t.equal(answers.get(1_000)?.errorMessage, 'INVALID_ARGUMENT: msg_id must be 1-64 characters of A-Za-z0-9._:-')
  t.equal(answers.get(1_001)?.errorMessage, 'INVALID_ARGUMENT: push must be set')
  t.match(answers.get(1_002), { success: false, devices: [], errorMessage: '' })
  t.ok(reports < 50, `${reports} messages`)
  stream.end()
  const [result] = await once(stream, 'status') as [{ code: number }]
  t.equal(result.code, status.OK)
})

t.test('a stream that was ended by its caller still answers what is under way', async (t) => {
  const { app, hub, tracker, written } = await world(t, { autoAck: false })
  const { connection } = connect(hub, 'bob', 'phone')
  const stream = openStream(clientOf(t, app))
  const answer = items(stream, 1)
  stream.end({ items: [{ correlation: 7, traceparent: '', push: message() }] })
  while (written.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setTimeout(resolve, 50))
  tracker.ack(connection, 'm1')
  t.match(await answer, [{ correlation: 7, response: { success: true } }])
  await once(stream, 'status')
})

t.test('[GW-ACK-5] with too much unanswered a stream is not read until enough has settled', async (t) => {
  const { app, hub, tracker, push, written } = await world(t, { autoAck: false, ackTimeoutMs: 60_000 })
  const connections = Array.from({ length: 20 }, (_, i) => connect(hub, `u${i}`, 'phone').connection)
  const stream = openStream(clientOf(t, app))
  const answered: PushReportItem[] = []
  stream.on('data', (report: PushReport) => { answered.push(...report.items) })
  let sent = 0
  for (let batch = 0; batch < 40; batch++) {
    stream.write({ items: Array.from({ length: 500 }, () => ({ correlation: sent, traceparent: '', push: message({ msgId: `m${sent}`, recipientId: `u${sent++ % 20}`, content: 'x'.repeat(200) }) })) })
  }
  let seen = -1
  for (let still = 0; still < 5; still++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    if (written.length !== seen) still = 0
    seen = written.length
  }
  t.ok(push.underWay >= 8_192 && push.underWay < 8_192 + 256, `${push.underWay} under way`)
  for (let at = 0; answered.length < 20_000;) {
    const next = written[at]
    if (next === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    } else {
      tracker.ack(next.connection, (JSON.parse(next.frame) as { msg_id: string }).msg_id)
      at++
    }
  }
  t.equal(answered.length, 20_000)
  t.ok(connections.every(({ pending }) => pending === null))
  stream.end()
  await once(stream, 'status')
})

t.test('a large batch is worked off in slices, the loop has its turns between them', async (t) => {
  const { app, push } = await world(t)
  let inTurn = 0
  let most = 0
  let isCounting = false
  const deliver = push.deliver.bind(push)
  push.deliver = (...args) => {
    most = Math.max(most, ++inTurn)
    if (!isCounting) setImmediate(() => { inTurn = 0; isCounting = false })
    isCounting = true
    deliver(...args)
  }
  const stream = openStream(clientOf(t, app))
  const answers = items(stream, 5_000)
  stream.end({ items: Array.from({ length: 5_000 }, (_, correlation) => ({ correlation, traceparent: '', push: message({ msgId: `m${correlation}`, scope: Scope.LOCAL }) })) })
  t.strictSame((await answers).map(({ correlation }) => correlation), Array.from({ length: 5_000 }, (_, correlation) => correlation))
  t.ok(most <= 512, `${most} in a turn`)
  await once(stream, 'status')
})

t.test('a stream message may have 1 MiB, a larger one ends the stream', async (t) => {
  const { app } = await world(t)
  const client = clientOf(t, app)
  const large = (bytes: number): PushBatch => ({ items: Array.from({ length: 32 }, (_, correlation) => ({ correlation, traceparent: '', push: message({ content: 'x'.repeat(bytes / 32) }) })) })
  const stream = openStream(client)
  const answers = items(stream, 32)
  stream.write(large(1_000_000))
  t.equal((await answers).length, 32)
  stream.end()
  await once(stream, 'status')
  const refused = openStream(client)
  refused.resume()
  refused.write(large(1_100_000))
  const [error] = await once(refused, 'error') as [ServiceError]
  t.equal(error.code, status.RESOURCE_EXHAUSTED)
})

t.test('a connection may have 1,000 calls open; the next one waits', async (t) => {
  const { app, hub, tracker, written, push } = await world(t, { autoAck: false, ackTimeoutMs: 60_000 })
  const { connection } = connect(hub, 'bob', 'phone')
  const client = clientOf(t, app)
  const answers = Array.from({ length: 1_010 }, (_, i) => call(client, 'pushMessage', message({ msgId: `m${i}`, recipientId: i < 900 ? 'bob' : 'eve', scope: Scope.LOCAL }), new Metadata(), 30_000))
  while (written.length < 900) await new Promise((resolve) => setTimeout(resolve, 10))
  t.equal(push.underWay, 900)
  for (let i = 0; i < 900; i++) tracker.ack(connection, `m${i}`)
  t.equal((await Promise.all(answers)).length, 1_010)
  const session = await new Promise<number | undefined>((resolve, reject) => {
    import('node:http2').then(({ connect }) => {
      const peer = connect(`http://127.0.0.1:${app.pushServer.port}`)
      peer.once('error', reject)
      peer.once('remoteSettings', ({ maxConcurrentStreams }) => { peer.close(); resolve(maxConcurrentStreams) })
    }, reject)
  })
  t.equal(session, 1_000)
})

t.test('a shared bearer is asked of every call, health alone is open', async (t) => {
  const { app, hub, meter } = await world(t, { authToken: 'secret-of-the-cluster', reflection: true })
  connect(hub, 'bob', 'phone')
  const client = clientOf(t, app)
  const wrong = [new Metadata(), bearer('secret-of-the-clustes'), bearer('secret'), bearer('')]
  const basic = new Metadata()
  basic.set('authorization', 'secret-of-the-cluster')
  for (const metadata of [...wrong, basic]) await t.rejects(call(client, 'pushMessage', message(), metadata), { code: status.UNAUTHENTICATED })
  t.equal(meter.counted('grpc_unauthenticated_total'), 5)
  const stream = openStream(client, bearer('wrong'))
  stream.resume()
  const [error] = await once(stream, 'error') as [ServiceError]
  t.equal(error.code, status.UNAUTHENTICATED)
  await t.rejects(reflect(client), { code: status.UNAUTHENTICATED })
  t.match(await call(client, 'pushMessage', message(), bearer('secret-of-the-cluster')), { success: true })
  t.ok((await reflect(client, bearer('secret-of-the-cluster'))).includes('gateway.v1.GatewayService'))
  t.equal(await health(client), 'SERVING')
})

t.test('mutual TLS: only callers with a certificate of an allowed name are served', async (t) => {
  const authority = createAuthority()
  const stranger = createAuthority()
  t.teardown(() => { authority.remove(); stranger.remove() })
  const server = authority.sign('DNS:localhost,URI:spiffe://im/gateway')
  const im = authority.sign('DNS:im-service.example')
  const other = authority.sign('DNS:evil.example,DNS:im-service.example.evil')
  const { app, hub, meter } = await world(t, { tls: { ...server, ca: authority.ca, allowedSans: ['im-service.example', 'spiffe://im/gateway'] } })
  connect(hub, 'bob', 'phone')
  const ssl = (pair?: { cert: string, key: string }): ChannelCredentials => credentials.createSsl(Buffer.from(authority.ca), pair && Buffer.from(pair.key), pair && Buffer.from(pair.cert))
  t.match(await call(clientOf(t, app, ssl(im)), 'pushMessage', message()), { success: true })
  await t.rejects(call(clientOf(t, app, ssl(other)), 'pushMessage', message()), { code: status.UNAUTHENTICATED })
  t.equal(meter.counted('grpc_unauthenticated_total'), 1)
  await t.rejects(call(clientOf(t, app, ssl()), 'pushMessage', message()), { code: status.UNAVAILABLE }, 'no certificate, no connection')
  await t.rejects(call(clientOf(t, app, ssl(stranger.sign('DNS:im-service.example'))), 'pushMessage', message()), { code: status.UNAVAILABLE }, 'an authority that is not ours')
  await t.rejects(call(clientOf(t, app), 'pushMessage', message()), { code: status.UNAVAILABLE }, 'plaintext')

  // A node calls another one by its address, and knows it by its name.
  const nodes = new PeerClients({ tls: { ...server, ca: authority.ca, allowedSans: ['spiffe://im/gateway'] } })
  t.teardown(() => { nodes.close() })
  t.match(await nodes.push(`127.0.0.1:${app.pushServer.port}`, message({ scope: Scope.LOCAL }), 2_000), { success: true })
  const impostors = new PeerClients({ tls: { ...server, ca: authority.ca, allowedSans: ['spiffe://im/other'] } })
  t.teardown(() => { impostors.close() })
  await t.rejects(impostors.push(`127.0.0.1:${app.pushServer.port}`, message(), 2_000), { code: 'SERVICE_UNAVAILABLE' }, 'a server without an allowed name is not told anything')
})

t.test('[GW-END-2] a node that comes back under its address is reached at once', async (t) => {
  const first = await world(t)
  connect(first.hub, 'bob', 'phone')
  const { port } = first.app.pushServer
  const nodes = new PeerClients({})
  t.teardown(() => { nodes.close() })
  const local = message({ scope: Scope.LOCAL })
  const push = () => nodes.push(`127.0.0.1:${port}`, local, 2_000)
  t.match(await push(), { success: true })
  await first.app.close()
  // Refused, and the next attempt waits; that grows with each, up to a second.
  const deadline = performance.now() + 1_500
  while (performance.now() < deadline) await push().catch(async () => { await new Promise(setImmediate) })
  const second = await world(t, { port })
  connect(second.hub, 'bob', 'phone')
  nodes.started(`127.0.0.1:${port}`)
  t.match(await push(), { success: true })
})

t.test('TLS of the server alone goes with a bearer', async (t) => {
  const authority = createAuthority()
  t.teardown(() => { authority.remove() })
  const { app } = await world(t, { tls: { ...authority.sign('DNS:localhost'), allowedSans: [] }, authToken: 'secret' })
  const client = clientOf(t, app, credentials.createSsl(Buffer.from(authority.ca)))
  t.match(await call(client, 'pushMessage', message(), bearer('secret')), { devices: [] })
  await t.rejects(call(client, 'pushMessage', message()), { code: status.UNAUTHENTICATED })
})

t.test('names of certificates are told apart, quoted ones too', async (t) => {
  t.strictSame(subjectAltNames(undefined), [])
  t.strictSame(subjectAltNames('DNS:a.example, URI:spiffe://b/c, IP Address:10.0.0.1, email:x@y'), ['a.example', 'spiffe://b/c', '10.0.0.1'])
  t.strictSame(subjectAltNames('DNS:"good.example, DNS:evil.example", DNS:b'), ['good.example, DNS:evil.example', 'b'])
})

t.test('a bearer that is shown twice is none', async (t) => {
  const isAllowed = callerCheck({ authToken: 'secret' })
  const metadata = bearer('secret')
  t.ok(isAllowed({ metadata, certificate: undefined }))
  metadata.add('authorization', 'Bearer secret')
  t.notOk(isAllowed({ metadata, certificate: undefined }))
})

t.test('while bearers change two are accepted, and the new one is shown', async (t) => {
  const credentials = { authToken: 'new', previousAuthToken: 'old' }
  const isAllowed = callerCheck(credentials)
  t.strictSame(['new', 'old', 'none', ''].map((token) => isAllowed({ metadata: bearer(token), certificate: undefined })), [true, true, false, false])
  t.strictSame(peerMetadata(credentials).get('authorization'), ['Bearer new'])
  t.notOk(callerCheck({ authToken: 'new' })({ metadata: bearer('old'), certificate: undefined }))
})

t.test('[GW-OBS-3] without credentials the server binds to loopback alone; what grpc-js has to say is a line of our log', async (t) => {
  for (const host of ['0.0.0.0', '::', '10.1.2.3', 'gateway.example']) await t.rejects(world(t, { host }), { message: /loopback/ })
  await t.rejects(world(t, { tls: { cert: 'c', key: 'k', ca: 'ca', allowedSans: [] } }), { message: /allowedSans/ })
  const { app } = await world(t, { host: '::1' })
  t.ok(app.pushServer.port > 0)
  const { app: open } = await world(t, { host: '0.0.0.0', authToken: 'secret' })
  const logger = new FakeLogger()
  await t.rejects(world(t, { port: open.pushServer.port, host: '0.0.0.0', authToken: 'secret', logger }), { message: /EADDRINUSE|No address added/ })
  t.match(logger.lines, [{ level: 'warn', facts: { detail: /No address added/ }, text: 'fault reported by grpc-js' }], '[GW-OBS-3] grpc-js writes to our log')
})

t.test('reflection is off unless it is asked for', async (t) => {
  const { app } = await world(t)
  await t.rejects(reflect(clientOf(t, app)), { code: status.UNIMPLEMENTED })
  const { app: reflecting } = await world(t, { reflection: true })
  t.strictSame((await reflect(clientOf(t, reflecting))).sort(), ['gateway.v1.GatewayService', 'grpc.health.v1.Health'])
})

t.test('before the node is ready calls are UNAVAILABLE and health says NOT_SERVING', async (t) => {
  const { app } = await world(t, { notReady: true })
  const client = clientOf(t, app)
  await t.rejects(call(client, 'pushMessage', message()), { code: status.UNAVAILABLE })
  t.equal(await health(client, 'gateway.v1.GatewayService'), 'NOT_SERVING')
  await app.ready()
  t.equal(await health(client), 'SERVING')
  t.equal(await health(client, 'gateway.v1.GatewayService'), 'SERVING')
  t.match(await call(client, 'pushMessage', message()), { devices: [] })
  app.pushServer.setServing(false)
  t.equal(await health(client), 'NOT_SERVING')
})

t.test('closing answers what is under way, asks streams to end, ends watchers, and refuses the rest', async (t) => {
  const { app, hub, tracker, written } = await world(t, { autoAck: false })
  const { connection } = connect(hub, 'bob', 'phone')
  const client = clientOf(t, app)
  const watch = client.makeServerStreamRequest(healthService.Watch?.path as string, (healthService.Watch as typeof healthService[string]).requestSerialize, (healthService.Watch as typeof healthService[string]).responseDeserialize, { service: '' })
  const seen: unknown[] = []
  watch.on('data', (state: { status: string }) => { seen.push(state.status) })
  const watchEnd = once(watch, 'error') as Promise<[ServiceError]>
  const under = call(client, 'pushMessage', message())
  const good = openStream(client)
  const deaf = openStream(client)
  const deafEnd = once(deaf, 'status') as Promise<[{ code: number }]>
  deaf.resume()
  good.on('data', (report: PushReport) => { if (report.items.length === 0) good.end() })
  const answer = items(good, 1)
  good.write({ items: [{ correlation: 1, traceparent: '', push: message({ msgId: 'm2' }) }] })
  while (written.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  const startedAt = Date.now()
  const closing = app.close()
  while (seen.at(-1) !== 'NOT_SERVING') await new Promise((resolve) => setTimeout(resolve, 5))
  t.equal((await watchEnd)[0].code, status.UNAVAILABLE)
  tracker.ack(connection, 'm1')
  tracker.ack(connection, 'm2')
  t.match(await under, { success: true })
  t.match(await answer, [{ correlation: 1, response: { success: true } }])
  t.equal((await deafEnd)[0].code, status.OK, 'one that does not react ends by itself')
  await closing
  t.ok(Date.now() - startedAt < 4_000)
  await t.rejects(call(clientOf(t, app), 'pushMessage', message()), { code: status.UNAVAILABLE })
})

t.test('closing does not wait for a call for longer than its grace', async (t) => {
  const { app, hub, tracker, push } = await world(t, { autoAck: false, closeGraceMs: 100 })
  const { connection } = connect(hub, 'bob', 'phone')
  const under = call(clientOf(t, app), 'pushMessage', message())
  under.catch(() => {})
  await new Promise((resolve) => setTimeout(resolve, 100))
  const startedAt = Date.now()
  await app.close()
  t.ok(Date.now() - startedAt < 1_000)
  await t.rejects(under, { code: status.UNAVAILABLE })
  tracker.ack(connection, 'm1')
  t.equal(push.underWay, 0, 'an answer to nobody does no harm')
})

t.test('a stream of some age is asked to end, and loses nothing', async (t) => {
  const { app, hub } = await world(t, { maxConnectionAgeMs: 200 })
  connect(hub, 'bob', 'phone')
  const client = clientOf(t, app)
  const stream = openStream(client)
  const answered: PushReportItem[] = []
  let sent = 0
  const timer = setInterval(() => { stream.write({ items: [{ correlation: sent, traceparent: '', push: message({ msgId: `m${sent++}` }) }] }) }, 5)
  stream.on('data', (report: PushReport) => {
    answered.push(...report.items)
    if (report.items.length > 0) return
    clearInterval(timer)
    stream.end()
  })
  const [result] = await once(stream, 'status') as [{ code: number }]
  t.equal(result.code, status.OK)
  t.ok(sent > 1)
  t.equal(answered.length, sent)
})

t.test('a caller that goes away leaves nothing behind', async (t) => {
  const { app, hub, tracker, push, written } = await world(t, { autoAck: false })
  const { connection } = connect(hub, 'bob', 'phone')
  const stream = openStream(clientOf(t, app))
  stream.on('error', () => {})
  stream.resume()
  stream.write({ items: [{ correlation: 1, traceparent: '', push: message() }] })
  while (written.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  stream.cancel()
  await new Promise((resolve) => setTimeout(resolve, 50))
  tracker.ack(connection, 'm1')
  t.equal(push.underWay, 0)
  await app.close()
})

t.test('a node hands pushes, receipts and disconnects to the node that has the device', async (t) => {
  const there = await world(t, { authToken: 'secret' })
  const remote = connect(there.hub, 'bob', 'phone').connection
  const nodes = Fastify()
  await nodes.register(peers, { authToken: 'secret' })
  t.teardown(async () => { await nodes.close() })
  const address = `127.0.0.1:${there.app.pushServer.port}`
  const here = await world(t, { peers: nodes.peers, elsewhere: { bob: address } })
  const client = clientOf(t, here.app)
  const response: PushMessageResponse = await call(client, 'pushMessage', message())
  t.match(response, { success: true, devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_ACKED, nodeId: address }] })
  t.match(await call(client, 'pushReadReceipt', { msgId: 'm1', senderId: 'bob', readerId: 'ann', conversationId: 'ann', readAt: 5n, scope: Scope.CLUSTER }), { devices: [{ outcome: Outcome.OUTCOME_WRITTEN }] })
  const { EXPLAIN_STEP_PUSH_RECEIVED: received, EXPLAIN_STEP_QUEUED: queued, EXPLAIN_STEP_WRITTEN: written, EXPLAIN_STEP_ACKNOWLEDGED: acknowledged, EXPLAIN_STEP_REPORTED: reported, EXPLAIN_STEP_PUSH_ANSWERED: answered } = ExplainStep
  const { events } = await call(client, 'explain', { msgId: 'm1', userId: '' })
  t.strictSame(events.map(({ step }) => step).toSorted((a, b) => a - b), [received, received, answered, answered, reported, reported], 'of the push and of the receipt, here alone')
  t.match(await nodes.peers.explain(address, { msgId: '', userId: 'bob' }, 1_000), { events: [{ step: received }, { step: queued, deviceId: 'phone' }, { step: written }, { step: acknowledged }, { step: answered }, { step: received, detail: 'read by ann' }, { step: reported }, { step: answered }], leftOff: 0 })
  await t.rejects(nodes.peers.explain(address, { msgId: '', userId: '' }, 1_000), GatewayError)
  t.same(await call(client, 'disconnect', { userId: 'bob', deviceId: '', reason: '', scope: Scope.CLUSTER }), { disconnected: 1 })
  t.strictSame(there.disconnected, [remote])
  await there.app.close()
  t.match(await call(client, 'pushMessage', message({ msgId: 'm2' })), { success: false, failedDevices: ['phone'], devices: [{ outcome: Outcome.OUTCOME_UNREACHABLE }] })
  const ready = {} as PeerNodes
  const fake = Fastify()
  await fake.register(peers, { client: ready })
  t.equal(fake.peers, ready)
  await fake.close()
})

t.test('pushes with time enough share a stream to their node; those with less, and refusals, are as good', async (t) => {
  const there = await world(t, { maxConnectionAgeMs: 400 })
  const remote = connect(there.hub, 'bob', 'phone').connection
  const address = `127.0.0.1:${there.app.pushServer.port}`
  const nodes = new PeerClients({ ackTimeoutMs: 5_000 })
  t.teardown(() => { nodes.close() })
  const local = (fields: Partial<PushMessageRequest>): PushMessageRequest => message({ scope: Scope.LOCAL, ...fields })
  const answers = await Promise.all(Array.from({ length: 500 }, (_, i) => nodes.push(address, local({ msgId: `m${i}`, metadata: { k: 'v' } }), i % 2 === 0 ? 5_750 : 3_000)))
  t.ok(answers.every(({ success }) => success))
  await t.rejects(nodes.push(address, local({ msgId: '' }), 5_750), { code: 'INVALID_MESSAGE', message: /^msg_id must/ })
  const full = await world(t, { maxPending: 0 })
  connect(full.hub, 'bob', 'phone')
  await t.rejects(nodes.push(`127.0.0.1:${full.app.pushServer.port}`, local({}), 5_750), { code: 'OVERLOADED' })

  // The node asks for a new stream every 200 ms; nothing is lost.
  for (let i = 0; i < 100; i++) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    if (!(await nodes.push(address, local({ msgId: `o${i}` }), 5_750)).success) t.fail(`${i}`)
  }
  there.tracker.connectionClosed(remote, 'gone')
  await there.app.close()
  await t.rejects(nodes.push(address, local({ msgId: 'p' }), 5_750), { code: 'SERVICE_UNAVAILABLE' })
})

t.test('a stream to a node that breaks leaves its pushes unknown', async (t) => {
  const there = await world(t, { autoAck: false, closeGraceMs: 50 })
  connect(there.hub, 'bob', 'phone')
  const nodes = new PeerClients({ ackTimeoutMs: 5_000 })
  t.teardown(() => { nodes.close() })
  const answer = nodes.push(`127.0.0.1:${there.app.pushServer.port}`, message({ scope: Scope.LOCAL }), 5_750)
  while (there.written.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const rejected = t.rejects(answer, { code: 'SERVICE_UNAVAILABLE' })
  await there.app.close()
  await rejected
})

t.test('channels to nodes are bounded, the one unused for longest goes', async (t) => {
  const nodes = new PeerClients({ maxChannels: 2 })
  for (const port of [1, 2, 3]) await t.rejects(nodes.push(`127.0.0.1:${port}`, message(), 1_000), { code: 'SERVICE_UNAVAILABLE' })
  t.equal(nodes.size, 2)
  nodes.close()
  t.equal(nodes.size, 0)
  t.equal(connectivityState.READY, 2)
})

/** Names of the services that reflection tells of. */
function reflect (client: Client, metadata = new Metadata()): Promise<string[]> {
  const loaded = loadSync('reflection/v1/reflection.proto', { includeDirs: [new URL('../../node_modules/@grpc/reflection/build/proto/grpc', import.meta.url).pathname, healthProtoPath] })
  const service = loaded['grpc.reflection.v1.ServerReflection'] as typeof healthService
  const { path, requestSerialize, responseDeserialize } = service.ServerReflectionInfo as typeof healthService[string]
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata)
  return new Promise((resolve, reject) => {
    stream.once('error', reject)
    stream.on('data', (answer: { listServicesResponse: { service: Array<{ name: string }> } }) => {
      resolve(answer.listServicesResponse.service.map(({ name }) => name))
      stream.end()
    })
    stream.write({ listServices: '' })
  })
}
