/** Traces through whole nodes, as a collector gets them. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace'
import t, { type Test } from 'tap'
import { methodDefinition } from '../../plugins/lib/grpc-service.ts'
import { OtelTracer } from '../../plugins/lib/otel-tracer.ts'
import { GatewayServiceDefinition, type PushMessageRequest, type PushMessageResponse, type PushReport } from '../../src/generated/gateway/v1/gateway.ts'
import { startNode, startWorld, type TestApp } from '../helpers/app.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'
import { TraceCollector, type CollectedSpan } from '../helpers/trace-collector.ts'

const PATIENCE_MS = 5_000
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const SAMPLED = `00-${TRACE}-${PARENT}-01`
const PUSH = methodDefinition(GatewayServiceDefinition.fullName, GatewayServiceDefinition.methods.pushMessage)
const PUSH_STREAM = methodDefinition(GatewayServiceDefinition.fullName, GatewayServiceDefinition.methods.pushStream)

async function nodesOf (t: Test, endpoint: string | undefined, names: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<TestApp[]> {
  const world = await startWorld()
  const nodes: TestApp[] = []
  t.teardown(async () => {
    await Promise.all(nodes.map((node) => node.close()))
    world.services.stop()
  })
  for (const name of names) nodes.push(await startNode(world, { GATEWAY_NODE_ID: name, GRPC_AUTH_TOKEN: BEARER, ...(endpoint !== undefined && { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }), ...env }))
  return nodes
}

/** Waits for so many spans, which come in batches. */
async function spansOf (collector: TraceCollector, count: number): Promise<CollectedSpan[]> {
  await eventually(() => collector.spans.length >= count, PATIENCE_MS)
  return collector.spans.splice(0)
}

const message = (fields: Partial<PushMessageRequest>): PushMessageRequest => ({
  msgId: 'p1', recipientId: 'ann', deviceId: '', senderId: 'bob', content: 'hi', messageType: 'text', sequenceNumber: 1n, timestamp: 1n, conversationId: '', metadata: {}, excludeDeviceId: '', scope: 0, ...fields
})

t.test('[GW-OBS-2] one trace leads from a client\'s frame through the call to the IM Service, by stream and without', async (t) => {
  const collector = await TraceCollector.start(t)
  const [a] = await nodesOf(t, collector.url, ['node-a']) as [TestApp]
  const ann = await a.connect('ann')
  for (const via of ['stream', 'unary'] as const) {
    a.services.im.offersStream = via === 'stream'
    if (via === 'unary') for (const stream of a.services.im.streams) stream.destroy()
    ann.write({ type: 'send_msg', msg_id: via, recipient: 'bob', content: 'secret words', timestamp: 1, traceparent: SAMPLED })
    await ann.waitFor((frame) => frame.type === 'ack' && frame['msg_id'] === via, 'ack', PATIENCE_MS)
    const spans = await spansOf(collector, 2)
    const send = spans.find(({ name }) => name === 'send_msg')
    const route = spans.find(({ name }) => name === 'route')
    t.match(send, { traceId: TRACE, parentSpanId: PARENT, node: 'node-a', status: 0, attributes: { 'im.msg_id': via, 'im.user_id': 'ann', 'im.outcome': 'ok' } })
    t.match(route, { traceId: TRACE, parentSpanId: send?.spanId, attributes: { 'im.outcome': 'ok' } })
    t.match(a.services.im.requests.at(-1), { via, traceparent: `00-${TRACE}-${route?.spanId}-01` })
    t.notMatch(JSON.stringify(spans), /secret/)
  }
  a.services.im.behave = () => ({ errorCode: 4 })
  ann.write({ type: 'send_msg', msg_id: 'no', recipient: 'nobody', content: 'x', timestamp: 1 })
  await ann.next('error')
  const failed = await spansOf(collector, 2)
  t.strictSame(failed.map(({ name, status, attributes }) => [name, status, attributes['im.outcome']]).sort(), [['route', 2, 'RECIPIENT_NOT_FOUND'], ['send_msg', 2, 'RECIPIENT_NOT_FOUND']])
  t.equal(new Set(failed.map(({ traceId }) => traceId)).size, 1, 'without a client\'s trace one begins here')
})

t.test('[GW-OBS-2] one trace leads from the IM Service\'s push over the node that has the device to its ack', async (t) => {
  const collector = await TraceCollector.start(t)
  const [a, b] = await nodesOf(t, collector.url, ['node-a', 'node-b']) as [TestApp, TestApp]
  const ann = await a.connect('ann')
  const client = new Client(`127.0.0.1:${b.app.pushServer.port}`, credentials.createInsecure())
  t.teardown(() => { client.close() })
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${BEARER}`)
  const traced = metadata.clone()
  traced.set('traceparent', SAMPLED)
  const check = async (msgId: string): Promise<void> => {
    const spans = await spansOf(collector, 3)
    const at = (name: string, node: string): CollectedSpan | undefined => spans.find((span) => span.name === name && span.node === node)
    t.match(at('push', 'node-b'), { traceId: TRACE, parentSpanId: PARENT, attributes: { 'im.msg_id': msgId, 'im.outcome': 'delivered' } })
    t.match(at('push', 'node-a'), { traceId: TRACE, parentSpanId: at('push', 'node-b')?.spanId })
    t.match(at('deliver', 'node-a'), { traceId: TRACE, parentSpanId: at('push', 'node-a')?.spanId, attributes: { 'im.device_id': 'phone', 'im.outcome': 'ACKED' } })
  }
  // Forwarded by a call of its own, where the caller's deadline leaves less than an ACK may take; else by stream.
  for (const [msgId, deadlineMs] of [['p1', 3_000], ['p2', 30_000]] as const) {
    const response = await new Promise<PushMessageResponse | undefined>((resolve, reject) => {
      client.makeUnaryRequest(PUSH.path, PUSH.requestSerialize, PUSH.responseDeserialize, message({ msgId }), traced, { deadline: Date.now() + deadlineMs }, (error, value) => { if (error === null) resolve(value); else reject(error) })
    })
    t.match(response, { success: true })
    await check(msgId)
  }
  const stream = client.makeBidiStreamRequest(PUSH_STREAM.path, PUSH_STREAM.requestSerialize, PUSH_STREAM.responseDeserialize, metadata)
  const report = once(stream, 'data') as Promise<[PushReport]>
  stream.end({ items: [{ correlation: 1, traceparent: SAMPLED, push: message({ msgId: 'p3' }) }] })
  t.match((await report)[0], { items: [{ response: { success: true } }] })
  await check('p3')
  t.equal(ann.count('p3'), 1)
})

t.test('[GW-OBS-2] a group record\'s trace goes on to its last write', async (t) => {
  const collector = await TraceCollector.start(t)
  const [a] = await nodesOf(t, collector.url, ['node-a']) as [TestApp]
  a.services.users.groups.set('group_1', ['ann'])
  const ann = await a.connect('ann')
  const value = { msg_id: 'g1', group_id: 'group_1', sender_id: 'bob', content: 'hi', message_type: 'text', sequence_number: 1, timestamp: 1 }
  await a.broker.produce('group_msg', 'group_1', JSON.stringify(value), { traceparent: SAMPLED })
  await ann.message('g1')
  await a.broker.produce('group_msg', 'group_1', JSON.stringify({ ...value, msg_id: 7 }), { traceparent: SAMPLED })
  t.match(await spansOf(collector, 2), [
    { name: 'group_msg', traceId: TRACE, parentSpanId: PARENT, status: 0, attributes: { 'im.group_id': 'group_1', 'im.outcome': 'ok' } },
    { name: 'group_msg', traceId: TRACE, status: 2 }
  ])
})

t.test('[GW-OBS-2] off, there is no tracer; a client\'s trace context is handed on as it came', async (t) => {
  const [a] = await nodesOf(t, undefined, ['node-a']) as [TestApp]
  t.equal(a.app.tracer, undefined)
  const ann = await a.connect('ann')
  ann.write({ type: 'send_msg', msg_id: 'm1', recipient: 'bob', content: 'x', timestamp: 1, traceparent: SAMPLED })
  await ann.next('ack')
  t.equal(a.services.im.requests.at(-1)?.traceparent, SAMPLED)
  t.match(await imCaller(t, a).push({}), { success: true })
})

t.test('[GW-OBS-2] who decides what is recorded: callers inside do, a client may only say no', async (t) => {
  const recorded = async (sampleRatio: number): Promise<string[]> => {
    const exporter = new InMemorySpanExporter()
    const tracer = new OtelTracer({ endpoint: 'http://127.0.0.1:1', sampleRatio, nodeId: 'n', version: '1', logger: new FakeLogger(), exporter })
    const spans: string[] = []
    const kept = exporter.export.bind(exporter)
    exporter.export = (batch, done) => {
      spans.push(...batch.map(({ name, attributes }) => `${name} ${String(attributes['im.parent'])}`))
      kept(batch, done)
    }
    for (const name of ['send_msg', 'push', 'group_msg'] as const) {
      for (const [says, parent] of [['yes', SAMPLED], ['no', `00-${TRACE}-${PARENT}-00`], ['nothing', undefined], ['rubbish', 'x']] as const) {
        const span = tracer.start(name, parent, { parent: says })
        if (says === 'yes' || says === 'no') t.match(span.traceparent, new RegExp(`^00-${TRACE}-(?!${PARENT})[0-9a-f]{16}-0[01]$`))
        span.end('ok', false)
      }
    }
    await tracer.close()
    return spans
  }
  t.strictSame(await recorded(0), ['push yes', 'group_msg yes'])
  t.strictSame(await recorded(1), ['send_msg', 'push', 'group_msg'].flatMap((name) => ['yes', 'nothing', 'rubbish'].map((says) => `${name} ${says}`)))
})

t.test('[GW-OBS-2] a collector that is away, or silent, costs clients nothing and the end two seconds', async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => { silent.close(); silent.closeAllConnections() })
  const address = silent.address()
  await Promise.all(['http://127.0.0.1:1', `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`].map(async (endpoint) => {
    const [a] = await nodesOf(t, endpoint, ['node-a']) as [TestApp]
    const ann = await a.connect('ann')
    t.match(await ann.send('bob', 'hi'), { sequenceNumber: 1 })
    await ann.close()
    const started = performance.now()
    await a.close()
    t.ok(performance.now() - started < 5_000, `${performance.now() - started} ms`)
  }))
})
