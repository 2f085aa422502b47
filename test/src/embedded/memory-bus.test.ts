import t from 'tap'
import { MemoryBroker, type MemoryBrokerOptions } from '../../../src/embedded/memory-bus.ts'
import { busConformance, deferred, Sink } from '../../helpers/bus-conformance.ts'
import { FakeLogger } from '../../helpers/fakes.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

function broker (options: Partial<MemoryBrokerOptions> = {}): { broker: MemoryBroker, clock: ManualClock, logger: FakeLogger } {
  const [clock, logger] = [new ManualClock(), new FakeLogger()]
  return { broker: new MemoryBroker({ clock, logger, ...options }), clock, logger }
}

busConformance('memory', async (run) => {
  const { broker: memory, clock } = broker()
  await run({
    produce: (...record) => memory.produce(...record),
    consumer: () => memory.consumer(),
    unixMs: () => clock.unixMs(),
    pass: async (byMs) => { await clock.run(byMs) },
    patienceMs: 1_000
  })
})

t.test('produce resolves before a consumer has seen the record', async (t) => {
  const { broker: memory } = broker()
  const bus = memory.consumer()
  const sink = new Sink()
  bus.start(sink.handle)
  t.match(await memory.produce('group_msg', 'g', 'a'), { offset: '0' })
  t.same(sink.values, [])
  await settle()
  t.same(sink.values, ['a'])
})

t.test('a consumer that is too far behind makes produce refuse, and lets it again', async (t) => {
  const { broker: memory } = broker({ partitions: 1, maxRecords: 3 })
  const bus = memory.consumer()
  const sink = new Sink()
  const gate = deferred()
  bus.start((record) => {
    sink.handle(record)
    return gate.promise
  })
  await memory.produce('group_msg', 'g', 'held')
  await settle()
  for (const value of ['1', '2', '3']) await memory.produce('group_msg', 'g', value)
  await t.rejects(memory.produce('group_msg', 'g', '4'), { code: 'OVERLOADED' })
  await memory.produce('membership_change', 'g', 'another topic')
  gate.resolve()
  await settle()
  await memory.produce('group_msg', 'g', '4')
  await settle()
  t.same(sink.values.filter((value) => value !== 'another topic'), ['held', '1', '2', '3', '4'])
  t.ok(sink.values.includes('another topic'))
})

t.test('the log remembers its newest records alone, and offsets go on', async (t) => {
  const { broker: memory, clock } = broker({ partitions: 1, maxRecords: 5 })
  const bus = memory.consumer()
  bus.firstClientAt(clock.unixMs())
  for (let i = 0; i < 14; i++) await memory.produce('group_msg', 'g', `${i}`)
  const sink = new Sink()
  bus.start(sink.handle)
  await settle()
  t.ok(sink.values.length >= 5 && sink.values.length <= 10)
  t.equal(sink.records.at(-1)?.offset, '13')
})

t.test('a long burst does not keep the loop, and a fault of the handler is logged', async (t) => {
  const { broker: memory, logger } = broker({ partitions: 1 })
  const bus = memory.consumer()
  let seen = 0
  let seenAtFirstTurn = -1
  bus.start(() => {
    if (seen++ === 0) {
      setImmediate(() => { seenAtFirstTurn = seen })
      throw new TypeError('oh')
    }
  })
  for (let i = 0; i < 3_000; i++) await memory.produce('group_msg', 'g', 'x')
  for (let turn = 0; turn < 20; turn++) await settle()
  t.equal(seen, 3_000)
  t.ok(seenAtFirstTurn < 3_000)
  t.match(logger.lines, [{ level: 'error', facts: { topic: 'group_msg', offset: '0' } }])
})

t.test('what is queued when a consumer stops is not handed over', async (t) => {
  const { broker: memory } = broker()
  const bus = memory.consumer()
  const sink = new Sink()
  const gate = deferred()
  bus.start((record) => {
    sink.handle(record)
    return gate.promise
  })
  await memory.produce('group_msg', 'g', 'held')
  await memory.produce('group_msg', 'g', 'queued')
  await settle()
  await bus.stop()
  gate.resolve()
  await settle()
  t.same(sink.values, ['held'])
})
