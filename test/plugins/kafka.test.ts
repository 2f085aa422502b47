import Fastify from 'fastify'
import t from 'tap'
import kafka, { type KafkaOptions } from '../../plugins/kafka.ts'
import { MemoryBroker } from '../../src/embedded/memory-bus.ts'
import { KafkaBus } from '../../plugins/lib/kafka-bus.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

function options (changes: Partial<KafkaOptions> = {}): KafkaOptions {
  return {
    brokers: ['127.0.0.1:1'],
    tls: undefined,
    sasl: undefined,
    topics: { groupMessages: 'group_msg', membership: 'membership_change', receipts: 'read_receipt_events' },
    groupId: 'im-gateway',
    nodeId: 'node-1',
    startId: 'a1',
    minBytes: 1,
    maxBytes: 1_000_000,
    maxWaitMs: 500,
    sessionTimeoutMs: 30_000,
    metadataMaxAgeMs: 10_000,
    commitIntervalMs: 0,
    clock: new ManualClock(),
    meter: new FakeMeter(),
    health: new FakeHealth(),
    logger: new FakeLogger(),
    ...changes
  }
}

t.test('the plugin decorates a bus that opens nothing before it is started, and closes it with the app', async (t) => {
  const app = Fastify()
  await app.register(kafka, options())
  t.type(app.groupBus, KafkaBus)
  let stopped = false
  const { stop } = app.groupBus
  app.groupBus.stop = async () => {
    stopped = true
    await stop.call(app.groupBus)
  }
  await app.close()
  t.ok(stopped)
})

t.test('a ready bus is used as it is, and left to its owner', async (t) => {
  const bus = new MemoryBroker({ clock: new ManualClock(), logger: new FakeLogger() }).consumer()
  bus.stop = async () => { t.fail('the bus belongs to who made it') }
  const app = Fastify()
  await app.register(kafka, options({ bus, brokers: [] }))
  t.equal(app.groupBus, bus)
  await app.close()
})

t.test('without brokers the start is refused, by name', async (t) => {
  const app = Fastify()
  await t.rejects(async () => { await app.register(kafka, options({ brokers: [] })) }, /brokers/)
})
