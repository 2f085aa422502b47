import t from 'tap'
import { createHash } from 'node:crypto'
import kafkajs, { type Consumer } from 'kafkajs'
import { installCodecs, MAX_INFLATED_BYTES, type Codec } from '../../plugins/lib/kafka-codecs.ts'
import { busConformance, deferred, eventually, Sink, valueOf } from '../helpers/bus-conformance.ts'
import { KafkaWorld } from '../helpers/kafka-world.ts'

const PATIENCE_MS = 20_000

const address = process.env['KAFKA_BROKERS']
if (address === undefined) throw new Error('KAFKA_BROKERS is not set: scripts/services.sh start kafka')
const brokers = address.split(',')

async function withKafka (run: (world: KafkaWorld) => Promise<void>, partitions?: number): Promise<void> {
  const world = await new KafkaWorld(brokers).open(partitions)
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

busConformance('kafka', (run) => withKafka((world) => {
  // Time cannot be moved for a broker: records say when they were made, and the suite's clock is moved instead.
  let offsetMs = 0
  return run({
    produce: (topic, key, value, headers) => world.produce(topic, key, value, headers, undefined, offsetMs),
    consumer: () => world.node().bus,
    unixMs: () => Date.now() + offsetMs,
    pass: async (byMs) => { offsetMs += byMs },
    patienceMs: PATIENCE_MS
  })
}))

for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
  t.test(`kafka: batches that Java compressed with ${codec} are read`, async (t) => {
    await withKafka(async (world) => {
      // The broker compresses anew what comes in another form, with the code of Java's own producers.
      await world.createTopics(1, undefined, { 'compression.type': codec })
      const { bus, meter } = world.node()
      const inflated = countInflated(codec)
      t.teardown(inflated.restore)
      const sink = new Sink()
      bus.start(sink.handle)
      await bus.ready
      // Several blocks of each format, and not all of it compressible.
      const values = Array.from({ length: 900 }, (_, i) => JSON.stringify({ i, text: 'chat '.repeat(i % 60), noise: createHash('sha256').update(`${i}`).digest('hex') }))
      await world.producer.send({ topic: world.topics.groupMessages, messages: values.map((value, i) => ({ key: `g${i % 3}`, value })) })
      await sink.until(({ records }) => records.length >= values.length, PATIENCE_MS)
      t.same(sink.values, values)
      t.ok(inflated.batches >= 1)
      t.equal(meter.counted('kafka_restarts_total'), 0)
    }, 0)
  })
}

/** Counts what the library has inflated with a codec: that the broker did compress is part of the test. */
function countInflated (name: 'gzip' | 'snappy' | 'lz4' | 'zstd'): { batches: number, restore: () => void } {
  installCodecs()
  const { CompressionCodecs, CompressionTypes } = kafkajs
  const type = { gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }[name]
  const codecs = CompressionCodecs as Record<number, () => Codec>
  const original = codecs[type] as () => Codec
  const codec = original()
  const counted = { batches: 0, restore: () => { codecs[type] = original } }
  codecs[type] = () => ({
    compress: codec.compress,
    decompress: (data) => {
      counted.batches++
      return codec.decompress(data)
    }
  })
  return counted
}

t.test('kafka: a batch that grows past every bound is passed over, and those around it are read', async (t) => {
  await withKafka(async (world) => {
    const { bus, meter } = world.node()
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    await world.produce('group_msg', 'g', 'before')
    await world.produce('group_msg', 'g', Buffer.alloc(MAX_INFLATED_BYTES + 1), {}, kafkajs.CompressionTypes.GZIP)
    await world.produce('group_msg', 'g', 'after')
    await sink.until(sink.has('after'), PATIENCE_MS)
    t.same(sink.values, ['before', null, 'after'])
    t.same(sink.records.map(({ offset }) => offset), ['0', '1', '2'])
    t.equal(meter.counted('kafka_restarts_total'), 0)
  }, 1)
})

t.test('[GW-OBS-4] kafka: everything produced from readiness on arrives, under traffic and without a break', async (t) => {
  await withKafka(async (world) => {
    const produced: Array<{ value: string, sentAtMs: number }> = []
    const over = new AbortController()
    const traffic = (async () => {
      while (!over.signal.aborted) {
        const value = `v${produced.length}`
        produced.push({ value, sentAtMs: performance.now() })
        await world.produce('group_msg', `g${produced.length % 7}`, value)
      }
    })()
    for (let round = 0; round < 3; round++) {
      const { bus } = world.node()
      const sink = new Sink()
      bus.start(sink.handle)
      await bus.ready
      const readyAtMs = performance.now()
      const enough = produced.length + 30
      await sink.until(({ values }) => values.includes(`v${enough}`), PATIENCE_MS)
      const due = produced.slice(0, enough + 1).filter(({ sentAtMs }) => sentAtMs >= readyAtMs).map(({ value }) => value)
      await sink.until(sink.has(...due), PATIENCE_MS)
      t.ok(due.length >= 20)
      t.equal(new Set(sink.values).size, sink.values.length, 'nothing came twice')
    }
    over.abort()
    await traffic
  })
})

t.test('kafka: a partition that is added while the node runs is read from its first record', async (t) => {
  await withKafka(async (world) => {
    const { bus, groupId } = world.node()
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    await world.admin.createPartitions({ topicPartitions: [{ topic: world.topics.groupMessages, count: 2 }] })
    // To the new partition by number, before the node can know of it.
    await world.producer.send({ topic: world.topics.groupMessages, messages: [{ partition: 1, value: 'first' }, { partition: 1, value: 'second' }] })
    await world.produce('group_msg', 'g', 'also')
    await sink.until(sink.has('first', 'second', 'also'), PATIENCE_MS)
    t.same(sink.records.filter(({ partition }) => partition === 1).map(({ offset }) => offset).slice(0, 2), ['0', '1'])
    const topics = await world.admin.fetchOffsets({ groupId })
    t.notOk(topics.some(({ partitions }) => partitions.some(({ offset }) => Number(offset) >= 0)), 'nothing is committed')
  }, 1)
})

t.test('kafka: missing topics are waited for, by name, and read from their first record', async (t) => {
  await withKafka(async (world) => {
    const { bus, health, meter } = world.node()
    const sink = new Sink()
    bus.firstClientAt(Date.now())
    bus.start(sink.handle)
    await eventually(() => health.downs.get('kafka')?.includes(world.topics.groupMessages) === true, PATIENCE_MS)
    await world.createTopics(2)
    await world.produce('group_msg', 'g', 'first ever')
    await bus.ready
    await sink.until(sink.has('first ever'), PATIENCE_MS)
    t.ok(meter.counted('kafka_restarts_total') >= 1)
    t.equal(health.downs.get('kafka'), undefined)
  }, 0)
})

t.test('kafka: whatever ends the consumer, it comes back by itself and misses nothing', async (t) => {
  await withKafka(async (world) => {
    const consumers: Consumer[] = []
    let crash = false
    const node = world.node()
    const { bus, meter, health } = world.node({
      open: () => {
        const client = node.open()
        return {
          admin: () => client.admin(),
          consumer: (config) => {
            const consumer = client.consumer(config)
            consumers.push(consumer)
            const run: Consumer['run'] = (settings) => consumer.run({
              ...settings,
              eachBatch: async (payload) => {
                if (crash) {
                  crash = false
                  throw new TypeError('not to be retried')
                }
                await settings?.eachBatch?.(payload)
              }
            })
            return { ...consumer, run }
          }
        }
      }
    })
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    const faults: Array<[string, () => Promise<unknown>]> = [
      ['a crash that the library does not restart', async () => { crash = true }],
      ['a stop', async () => consumers.at(-1)?.stop()],
      ['a disconnect', async () => consumers.at(-1)?.disconnect()]
    ]
    for (const [i, [name, fault]] of faults.entries()) {
      await world.produce('group_msg', 'g', `before ${i}`)
      await sink.until(sink.has(`before ${i}`), PATIENCE_MS)
      await fault()
      await world.produce('group_msg', 'g', `meanwhile ${i}`)
      await eventually(() => meter.counted('kafka_restarts_total') === i + 1, PATIENCE_MS)
      t.ok(health.downs.has('kafka'), name)
      await sink.until(sink.has(`meanwhile ${i}`), PATIENCE_MS)
      await eventually(() => !health.downs.has('kafka'), PATIENCE_MS)
    }
    t.same(sink.values, [0, 1, 2].flatMap((i) => [`before ${i}`, `meanwhile ${i}`]))
  }, 1)
})

t.test('kafka: a handler that waits longer than the session timeout keeps the node in its group', async (t) => {
  await withKafka(async (world) => {
    const { bus, meter, logger } = world.node({ sessionTimeoutMs: 6_000, commitIntervalMs: 500 })
    const sink = new Sink()
    const gate = deferred()
    bus.start((record) => {
      sink.handle(record)
      if (valueOf(record) === 'hold') return gate.promise
    })
    await bus.ready
    await world.producer.send({ topic: world.topics.groupMessages, messages: ['hold', 'next'].map((value) => ({ partition: 0, value })) })
    await sink.until(sink.has('hold'), PATIENCE_MS)
    const heldUntil = performance.now() + 7_000
    for (let i = 0; performance.now() < heldUntil; i++) {
      await world.producer.send({ topic: world.topics.groupMessages, messages: [{ partition: 1, value: `other ${i}` }] })
      await sink.until(sink.has(`other ${i}`), PATIENCE_MS)
    }
    t.notOk(sink.values.includes('next'))
    t.equal(meter.gauge('kafka_lag group_msg'), 1)
    gate.resolve()
    await sink.until(sink.has('next'), PATIENCE_MS)
    await eventually(() => meter.gauge('kafka_lag group_msg') === 0, PATIENCE_MS)
    t.equal(logger.lines.filter(({ text }) => text === 'Kafka consumer reads').length, 1)
    t.equal(meter.counted('kafka_restarts_total'), 0)
  }, 2)
})

t.test('kafka: with a commit interval the positions are committed, for tools that show the lag', async (t) => {
  await withKafka(async (world) => {
    const { bus, groupId } = world.node({ commitIntervalMs: 100 })
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    await world.produce('group_msg', 'g', 'one')
    await sink.until(sink.has('one'), PATIENCE_MS)
    await eventually(async () => {
      const topics = await world.admin.fetchOffsets({ groupId, topics: [world.topics.groupMessages] })
      return topics[0]?.partitions[0]?.offset === '1'
    }, PATIENCE_MS)
    t.pass()
  }, 1)
})
