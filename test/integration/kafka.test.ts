import { busConformance } from '../helpers/bus-conformance.ts'
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
