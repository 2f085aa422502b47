import t from 'tap'
import type { BusRecord } from '../../../src/ports.ts'
import { consumerGroup, KafkaBus, type KafkaBusOptions } from '../../../plugins/lib/kafka-bus.ts'
import { deferred, Sink, valueOf } from '../../helpers/bus-conformance.ts'
import { FakeCluster } from '../../helpers/fake-kafka.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

const TOPICS = { groupMessages: 'messages', membership: 'changes', receipts: 'receipts' }

interface Rig { bus: KafkaBus, cluster: FakeCluster, clock: ManualClock, meter: FakeMeter, health: FakeHealth, logger: FakeLogger, sink: Sink }

function rig (changes: Partial<KafkaBusOptions> = {}): Rig {
  const [cluster, clock, meter, health, logger, sink] = [new FakeCluster(), new ManualClock(), new FakeMeter(), new FakeHealth(), new FakeLogger(), new Sink()]
  for (const topic of Object.values(TOPICS)) cluster.ends.set(topic, [100, 200])
  const bus = new KafkaBus({
    open: () => cluster.open(),
    topics: TOPICS,
    groupId: consumerGroup('gw', 'node-1', 'a1'),
    minBytes: 1,
    maxBytes: 1_000_000,
    maxWaitMs: 500,
    sessionTimeoutMs: 30_000,
    metadataMaxAgeMs: 10_000,
    commitIntervalMs: 0,
    clock,
    logger,
    meter,
    health,
    random: () => 1,
    ...changes
  })
  return { bus, cluster, clock, meter, health, logger, sink }
}

/** Started and read once. */
async function reading (changes: Partial<KafkaBusOptions> = {}, handler?: (record: BusRecord) => void | Promise<void>): Promise<Rig> {
  const all = rig(changes)
  all.bus.start((record) => {
    all.sink.handle(record)
    return handler?.(record)
  })
  await settle()
  all.cluster.consumer.fetch()
  await all.bus.ready
  return all
}

t.test('the group names base, node and start, so that nobody else is ever in it', async (t) => {
  t.equal(consumerGroup('gw', 'node-1', 'a1'), 'gw-node-1-a1')
  t.throws(() => rig({ topics: { ...TOPICS, receipts: 'messages' } }), RangeError)
})

t.test('[GW-OBS-4] the bus is ready at the first fetch after the positions are set, not before', async (t) => {
  const { bus, cluster, health } = rig()
  let ready = false
  void bus.ready.then(() => { ready = true })
  bus.start(() => {})
  t.equal(health.downs.get('kafka'), 'joining')
  await settle()
  t.equal(cluster.consumer.position('messages', 1), '200')
  t.equal(ready, false)
  cluster.consumer.fetch()
  await settle()
  t.equal(ready, true)
  t.notOk(health.downs.has('kafka'))
})

t.test('[GW-OBS-4] a fetch before the join proves nothing', async (t) => {
  const { bus, cluster } = rig()
  let ready = false
  void bus.ready.then(() => { ready = true })
  bus.start(() => {})
  for (let i = 0; i < 20 && cluster.consumers.length === 0; i++) await Promise.resolve()
  t.equal(cluster.consumer.settings, undefined)
  cluster.consumer.fetch()
  await settle()
  t.equal(ready, false)
})

t.test('[GW-GRP-1] every join seeks to the end of what was taken; partitions that appear begin at 0', async (t) => {
  const { cluster, sink } = await reading()
  const { consumer } = cluster
  t.match(consumer.subscription, { topics: ['messages', 'changes', 'receipts'], fromBeginning: true })
  t.equal(await consumer.batch('messages', 0, 100, ['a', 'b', 'c']), '102')
  t.same(sink.records.map(({ topic, offset }) => [topic, offset]), [['group_msg', '100'], ['group_msg', '101'], ['group_msg', '102']])
  cluster.ends.set('messages', [500, 500, 500])
  consumer.join()
  t.equal(consumer.position('messages', 0), '103')
  t.equal(consumer.position('messages', 1), '200')
  t.equal(consumer.position('messages', 2), '0')
})

t.test('[GW-GRP-1] where clients were let in first, reading goes back to 5 s before the first of them, never past the end', async (t) => {
  const { bus, cluster } = rig()
  cluster.byTime.set('messages', [40, 210])
  bus.firstClientAt(1_000_000)
  bus.firstClientAt(2_000_000)
  bus.start(() => {})
  await settle()
  t.same(cluster.askedTimes, [995_000, 995_000, 995_000])
  t.equal(cluster.consumer.position('messages', 0), '40')
  t.equal(cluster.consumer.position('messages', 1), '200', 'the later answer saw a later end')
  t.equal(cluster.consumer.position('changes', 0), '100')
})

t.test('a missing topic is named, waited for, and what the other topics bring meanwhile is kept', async (t) => {
  const { bus, cluster, clock, health, meter, logger } = rig()
  cluster.ends.delete('receipts')
  bus.start(() => {})
  await settle()
  t.match(health.downs.get('kafka'), /^topic receipts: /)
  t.equal(meter.counted('kafka_restarts_total'), 1)
  t.match(logger.lines.at(-1), { level: 'warn', facts: { pauseMs: 500 } })
  cluster.ends.set('messages', [150, 250]).set('receipts', [7])
  await clock.run(500)
  t.equal(cluster.consumer.position('messages', 0), '100')
  t.equal(cluster.consumer.position('receipts', 0), '7')
  cluster.consumer.fetch()
  await bus.ready
  t.equal(cluster.openAdmins.size, 1)
})

t.test('pauses double up to 10 s while Kafka is away, and are short again once it was read from', async (t) => {
  const { bus, cluster, clock, logger } = rig()
  const pauses = (): unknown[] => logger.lines.filter(({ level }) => level === 'warn').map(({ facts }) => (facts as { pauseMs: number }).pauseMs)
  cluster.failure = new Error('connection refused')
  bus.start(() => {})
  await clock.run(35_000)
  t.same(pauses(), [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000])
  cluster.failure = undefined
  await clock.run(10_000)
  cluster.consumer.fetch()
  cluster.consumer.emit('crash', { error: new Error('gone') })
  await settle()
  t.equal(pauses().at(-1), 500)
})

t.test('[GW-GRP-1] whatever ends a consumer brings another one, from the same positions', async (t) => {
  const ends: Array<[string, (rig: Rig) => Promise<void>, RegExp]> = [
    ['a crash', async ({ cluster }) => { cluster.consumer.emit('crash', { error: new TypeError('not retried') }) }, /not retried/],
    ['a stop', async ({ cluster, clock }) => {
      cluster.consumer.emit('stop')
      await clock.run(1_000)
    }, /stopped by itself/],
    ['a disconnect, with its cause told after it', async ({ cluster }) => {
      cluster.consumer.emit('disconnect')
      cluster.consumer.emit('crash', { error: new Error('the cause') })
    }, /the cause/],
    ['silence', async ({ clock }) => { await clock.run(4 * 5_500) }, /no fetch/]
  ]
  for (const [name, end, detail] of ends) {
    const all = await reading()
    const { cluster, clock, health, meter, sink } = all
    await cluster.consumer.batch('messages', 0, 100, ['a'])
    await end(all)
    await settle()
    t.match(health.downs.get('kafka'), detail, name)
    t.equal(meter.counted('kafka_restarts_total'), 1)
    t.ok(cluster.consumer.disconnects >= 1)
    await clock.run(500)
    t.equal(cluster.consumers.length, 2)
    t.equal(cluster.consumer.position('messages', 0), '101')
    cluster.consumer.fetch()
    t.notOk(health.downs.has('kafka'))
    await cluster.consumer.batch('messages', 0, 101, ['b'])
    t.same(sink.values, ['a', 'b'])
  }
})

t.test('fetches, and work on what they brought, are no silence', async (t) => {
  const { cluster, clock, meter } = await reading()
  for (let i = 0; i < 6; i++) {
    await clock.run(15_000)
    if (i % 2 === 0) cluster.consumer.fetch()
    else await cluster.consumer.batch('messages', 0, 100 + i, ['x'])
  }
  t.equal(meter.counted('kafka_restarts_total'), 0)
})

t.test('a consumer that cannot be closed is left behind, and made to end itself', async (t) => {
  const { cluster, clock, meter, sink } = await reading()
  const old = cluster.consumer
  cluster.hangs = true
  old.emit('crash', { error: new Error('gone') })
  await clock.run(3_000)
  t.equal(meter.counted('kafka_restarts_total'), 1)
  await clock.run(500)
  t.not(cluster.consumer, old)
  t.throws(() => { old.join() }, /the session is over/)
  t.throws(() => { old.fetch() }, /the session is over/)
  await t.rejects(old.batch('messages', 0, 100, ['stray']), /the session is over/)
  old.emit('batch end', { topic: 'messages', partition: 0, batchSize: 0, lastOffset: '900', highWatermark: '901' })
  cluster.consumer.join()
  t.equal(cluster.consumer.position('messages', 0), '100')
  t.same(sink.values, [])
})

t.test('[GW-GRP-4] a promise pauses its partition alone, across joins and restarts, and the rest of the batch follows it', async (t) => {
  const gate = deferred()
  const { cluster, clock, meter, sink } = await reading({}, (record) => valueOf(record) === 'hold' ? gate.promise : undefined)
  t.equal(await cluster.consumer.batch('messages', 0, 100, ['hold', 'b', 'c'], { end: 110 }), '102')
  t.same([...cluster.consumer.paused], ['messages 0'])
  await cluster.consumer.batch('messages', 1, 200, ['other'])
  t.same(sink.values, ['hold', 'other'])
  t.equal(meter.gauge('kafka_lag group_msg'), 9, '7 that were not fetched, 2 that wait')
  cluster.consumer.emit('crash', { error: new Error('gone') })
  await clock.run(1_000)
  t.same([...cluster.consumer.paused], ['messages 0'])
  t.equal(cluster.consumer.position('messages', 0), '103')
  gate.resolve()
  await settle()
  t.same(sink.values, ['hold', 'other', 'b', 'c'])
  t.same([...cluster.consumer.paused], [])
  t.equal(meter.gauge('kafka_lag group_msg'), 7)
})

t.test('[GW-GRP-5] a long batch gives the loop back, heartbeats, and survives a heartbeat that fails', async (t) => {
  const { cluster, sink } = await reading()
  let heartbeats = 0
  const values = Array.from({ length: 1_000 }, (_, i) => `${i}`)
  let seenByOthers = 0
  setImmediate(() => { seenByOthers = sink.records.length })
  await cluster.consumer.batch('messages', 0, 100, values, {
    heartbeat: async () => {
      heartbeats++
      throw new Error('rebalancing')
    }
  })
  t.same(sink.values, values)
  t.ok(heartbeats >= 4)
  t.ok(seenByOthers > 0 && seenByOthers < 1_000)
})

t.test('a stale batch is not taken, batches of markers alone move the position, odd ones do nothing', async (t) => {
  const { cluster, sink } = await reading()
  const { consumer } = cluster
  t.equal(await consumer.batch('messages', 0, 100, ['old'], { stale: true }), undefined)
  t.equal(await consumer.batch('messages', 0, 100, []), undefined)
  t.equal(await consumer.batch('unknown', 0, 100, ['x']), undefined)
  consumer.emit('batch end', { topic: 'messages', partition: 1, batchSize: 0, lastOffset: '204', highWatermark: '205' })
  consumer.emit('batch end', { topic: 'messages', partition: 0, batchSize: 3, lastOffset: '999', highWatermark: '999' })
  consumer.join()
  t.same(sink.values, [])
  t.equal(consumer.position('messages', 0), '100')
  t.equal(consumer.position('messages', 1), '205')
})

t.test('a handler that throws or rejects is counted, logged and passed over', async (t) => {
  const { cluster, logger, meter, sink } = await reading({}, (record) => {
    if (valueOf(record) === 'throws') throw new TypeError('oh')
    if (valueOf(record) === 'rejects') return Promise.reject(new TypeError('oh'))
  })
  await cluster.consumer.batch('changes', 0, 100, ['throws', 'rejects', 'fine'])
  await settle()
  t.same(sink.values, ['throws', 'rejects', 'fine'])
  t.equal(meter.counted('group_records_total membership_change fault'), 2)
  t.match(logger.lines.filter(({ level }) => level === 'error'), [{ facts: { offset: '100' } }, { facts: { offset: '101' } }])
})

t.test('the lag follows the ends of the topics while nothing is fetched, and keeps its value while Kafka is away', async (t) => {
  const { cluster, clock, meter } = await reading()
  t.equal(meter.gauge('kafka_lag group_msg'), 0)
  cluster.ends.set('messages', [130, 200, 999])
  for (let i = 0; i < 2; i++) {
    cluster.consumer.fetch()
    await clock.run(5_000)
  }
  t.equal(meter.gauge('kafka_lag group_msg'), 30, 'the new partition is counted once it is assigned')
  cluster.ends.delete('messages')
  for (let i = 0; i < 2; i++) {
    cluster.consumer.fetch()
    await clock.run(5_000)
  }
  t.equal(meter.gauge('kafka_lag group_msg'), 30)
})

t.test('a consumer that crashes at each first fetch still tells how far behind it is', async (t) => {
  const { cluster, clock, meter } = await reading()
  cluster.ends.set('messages', [130, 200])
  cluster.consumer.emit('crash', { error: new Error('not authorized') })
  await clock.run(1_000)
  t.equal(cluster.consumers.length, 2)
  cluster.consumer.emit('crash', { error: new Error('not authorized') })
  await settle()
  t.equal(meter.gauge('kafka_lag group_msg'), 30)
})

t.test('positions are committed at the interval, or not at all, and a commit that fails harms nothing', async (t) => {
  const { cluster, clock, meter } = await reading({ commitIntervalMs: 1_000 })
  await cluster.consumer.batch('messages', 1, 200, ['a'])
  await clock.run(1_000)
  t.ok(cluster.committed[0]?.some(({ topic, partition, offset }) => topic === 'messages' && partition === 1 && offset === '201'))
  cluster.failure = new Error('away')
  await clock.run(1_000)
  t.equal(meter.counted('kafka_restarts_total'), 0)
  const without = await reading()
  await without.clock.run(10_000)
  t.same(without.cluster.committed, [])
})

t.test('stop ends the consumer within its deadline, whatever the state, and no timer is left', async (t) => {
  const quiet = await reading()
  await quiet.cluster.consumer.batch('messages', 0, 100, ['a'])
  await quiet.bus.stop()
  t.equal(quiet.cluster.consumer.disconnects, 2)
  t.equal(quiet.cluster.openAdmins.size, 0)
  t.equal(quiet.clock.pendingTimers, 0)
  t.equal(quiet.meter.counted('kafka_restarts_total'), 0)

  const away = rig()
  away.cluster.failure = new Error('away')
  away.bus.start(() => {})
  await settle()
  await away.bus.stop()
  t.equal(away.clock.pendingTimers, 0, 'stopped in its pause')

  const hanging = await reading()
  hanging.cluster.hangs = true
  const stopped = hanging.bus.stop()
  await hanging.clock.run(5_000)
  await stopped
  t.equal(hanging.clock.pendingTimers, 0)

  await rig().bus.stop()
})
