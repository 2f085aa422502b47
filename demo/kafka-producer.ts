/** Records to Kafka, acks = all; topics that are missing are created first. */
import { Kafka, logLevel, type Producer as KafkaClientProducer } from 'kafkajs'
import type { Topic } from '../src/ports.ts'
import type { Producer } from './producer.ts'

const TOPICS: readonly Topic[] = ['group_msg', 'membership_change', 'read_receipt_events']
const PARTITIONS = 3
const CONNECT_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 5_000

export class KafkaProducer implements Producer {
  readonly #producer: KafkaClientProducer

  private constructor (producer: KafkaClientProducer) {
    this.#producer = producer
  }

  /** Rejects where no broker answers. */
  static async open (brokers: readonly string[]): Promise<KafkaProducer> {
    const kafka = new Kafka({
      clientId: 'im-gateway-demo',
      brokers: [...brokers],
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 },
      logLevel: logLevel.NOTHING
    })
    await createTopics(kafka)
    // Not idempotent: a record that is sent twice has the same msg_id, by which clients drop it.
    const producer = kafka.producer({ allowAutoTopicCreation: false })
    await producer.connect()
    return new KafkaProducer(producer)
  }

  async produce (topic: Topic, key: string, value: object): Promise<void> {
    await this.#producer.send({ topic, acks: -1, messages: [{ key, value: JSON.stringify(value) }] })
  }

  async close (): Promise<void> {
    await this.#producer.disconnect()
  }
}

async function createTopics (kafka: Kafka): Promise<void> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const known = new Set(await admin.listTopics())
    const missing = TOPICS.filter((topic) => !known.has(topic))
    if (missing.length === 0) return
    await admin.createTopics({ waitForLeaders: true, topics: missing.map((topic) => ({ topic, numPartitions: PARTITIONS })) })
  } finally {
    await admin.disconnect()
  }
}
