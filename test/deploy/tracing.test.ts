/** One trace through two nodes, a stand-in of the IM Service and a real Kafka, as a real collector gets it. */
import { randomBytes } from 'node:crypto'
import { Metadata } from '@grpc/grpc-js'
import kafkajs from 'kafkajs'
import t, { type Test } from 'tap'
import { DemoClient } from '../../demo/client.ts'
import { serveGrpc } from '../../demo/grpc.ts'
import type { World } from '../../demo/world.ts'
import { ChannelPool } from '../../plugins/lib/channel-pool.ts'
import { methodDefinition } from '../../plugins/lib/grpc-service.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { GatewayServiceDefinition, Scope } from '../../src/generated/gateway/v1/gateway.ts'
import { IMServiceDefinition } from '../../src/generated/im/v1/im.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { startWorld } from '../helpers/deploy-world.ts'
import { FakeIm } from '../helpers/fake-im-service.ts'
import { startCollector } from '../helpers/otel-collector.ts'
import { TraceCollector, type CollectedSpan } from '../helpers/trace-collector.ts'

t.setTimeout(180_000)

const PATIENCE_MS = 30_000
const PUSH_DEADLINE_MS = 6_000
const PUSH = methodDefinition(GatewayServiceDefinition.fullName, GatewayServiceDefinition.methods.pushMessage)

/** As the IM Service pushes: the trace that its call came with goes on. */
async function push (t: Test, world: World, gateway: string, msgId: string, recipientId: string, traceparent: string): Promise<void> {
  const pool = new ChannelPool({ address: gateway, channels: 1, clock: systemClock })
  t.teardown(() => { pool.close() })
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${world.bearer}`)
  metadata.set('traceparent', traceparent)
  const message = { msgId, recipientId, senderId: 'ann', content: 'hi', messageType: 'text', sequenceNumber: 1n, timestamp: 1n, conversationId: '', deviceId: '', metadata: {}, excludeDeviceId: '', scope: Scope.CLUSTER }
  t.match(await pool.unary(PUSH, message, PUSH_DEADLINE_MS, metadata), { success: true })
}

/** As the IM Service hands a group message to the broker, with the trace in a header. */
async function produce (t: Test, groupId: string, record: object, traceparent: string): Promise<void> {
  const producer = new kafkajs.Kafka({ brokers: String(process.env['KAFKA_BROKERS']).split(','), logLevel: kafkajs.logLevel.NOTHING }).producer({ allowAutoTopicCreation: false })
  await producer.connect()
  t.teardown(() => producer.disconnect())
  await producer.send({ topic: 'group_msg', acks: -1, messages: [{ key: groupId, value: JSON.stringify(record), headers: { traceparent } }] })
}

/** From the root to the span, `name@node` each. */
function way (spans: readonly CollectedSpan[], { name, node, parentSpanId }: CollectedSpan): string {
  const parent = spans.find(({ spanId }) => spanId === parentSpanId)
  return `${parent === undefined ? parentSpanId : way(spans, parent)} > ${name}@${node.charAt(0)}`
}

t.test('[GW-OBS-2] one trace leads from a client through the IM Service and Kafka to the devices, in a real collector', async (t) => {
  const run = randomBytes(4).toString('hex')
  const [trace, parent] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')]
  const arrived = await TraceCollector.start(t)
  const collector = await startCollector(t, arrived.url)
  const im = new FakeIm()
  const host = await serveGrpc(IMServiceDefinition, im.handlers())
  t.teardown(() => host.close())
  const world = await startWorld(t, run)
  const settings = { IM_SERVICE_ADDR: host.address, OTEL_EXPORTER_OTLP_ENDPOINT: collector }
  const [a, b] = [await world.startGateway(`a-${run}`, { ws: 0, grpc: 0 }, settings), await world.startGateway(`b-${run}`, { ws: 0, grpc: 0 }, settings)]
  const [ann, bob] = [`ann-${run}`, `bob-${run}`]
  const connect = async (user: string, url: string): Promise<DemoClient> => {
    world.users.addUser(user)
    const client = await DemoClient.connect({ url, token: world.auth.mint(user, 'phone').accessToken })
    t.teardown(() => client.close())
    return client
  }
  const [sender, receiver] = [await connect(ann, a.url), await connect(bob, b.url)]

  sender.write({ type: 'send_msg', msg_id: `m-${run}`, recipient: bob, content: 'secret words', timestamp: 1, traceparent: `00-${trace}-${parent}-01` })
  await sender.waitFor((frame) => frame.type === 'ack' && frame['msg_id'] === `m-${run}`, 'the ack')
  const handedOn = im.requests[0]?.traceparent ?? ''
  // Through the node that does not have the device.
  await push(t, world, a.grpc, `m-${run}`, bob, handedOn)
  await receiver.message(`m-${run}`)
  const group = `group_trace-${run}`
  world.users.createGroup(group, [ann, bob])
  await produce(t, group, { msg_id: `g-${run}`, group_id: group, sender_id: ann, content: 'secret words', message_type: 'text', sequence_number: 1, timestamp: 1 }, handedOn)
  await Promise.all([sender, receiver].map((client) => client.message(`g-${run}`, PATIENCE_MS)))

  const expected = [
    `${parent} > send_msg@a`,
    `${parent} > send_msg@a > route@a`,
    `${parent} > send_msg@a > route@a > push@a`,
    `${parent} > send_msg@a > route@a > push@a > push@b`,
    `${parent} > send_msg@a > route@a > push@a > push@b > deliver@b`,
    `${parent} > send_msg@a > route@a > group_msg@a`,
    `${parent} > send_msg@a > route@a > group_msg@b`
  ].sort()
  await eventually(() => arrived.spans.length >= expected.length, PATIENCE_MS)
  t.strictSame(arrived.spans.map((span) => way(arrived.spans, span)).sort(), expected)
  t.strictSame([...new Set(arrived.spans.map(({ traceId }) => traceId))], [trace])
  t.match(arrived.spans.find(({ name }) => name === 'deliver'), { status: 0, attributes: { 'im.device_id': 'phone', 'im.outcome': 'ACKED' } })
  t.notMatch(JSON.stringify(arrived.spans), /secret/)
})
