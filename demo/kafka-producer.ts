/** Records to Kafka, acks = all; topics that are missing are created first. */
import kafkajs, { type Kafka, type Producer as KafkaClientProducer } from 'kafkajs'
import { kafkaConfig, type KafkaClientOptions } from '../plugins/lib/kafka-client.ts'
import type { Topic } from '../src/ports.ts'
import type { Producer } from './producer.ts'

export interface KafkaProducerOptions extends KafkaClientOptions {
  /** What the topics are called on this cluster. */
  readonly topics: { readonly groupMessages: string, readonly membership: string, readonly receipts: string }
}

const PARTITIONS = 3

export class KafkaProducer implements Producer {
  readonly #producer: KafkaClientProducer
  readonly #names: Readonly<Record<Topic, string>>

  private constructor (producer: KafkaClientProducer, names: Readonly<Record<Topic, string>>) {
    this.#producer = producer
    this.#names = names
  }

  /** Rejects where no broker answers. */
  static async open (options: KafkaProducerOptions): Promise<KafkaProducer> {
    const kafka = new kafkajs.Kafka(kafkaConfig(options))
    const { groupMessages, membership, receipts } = options.topics
    const names = { group_msg: groupMessages, membership_change: membership, read_receipt_events: receipts }
    await createTopics(kafka, Object.values(names))
    // Not idempotent: a record that is sent twice has the same msg_id, by which clients drop it.
    const producer = kafka.producer({ allowAutoTopicCreation: false })
    await producer.connect()
    return new KafkaProducer(producer, names)
  }

  async produce (topic: Topic, key: string, value: object): Promise<void> {
    await this.#producer.send({ topic: this.#names[topic], acks: -1, messages: [{ key, value: JSON.stringify(value) }] })
  }

  async close (): Promise<void> {
    await this.#producer.disconnect()
  }
}

async function createTopics (kafka: Kafka, names: readonly string[]): Promise<void> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const known = new Set(await admin.listTopics())
    const missing = names.filter((topic) => !known.has(topic))
    if (missing.length === 0) return
    await admin.createTopics({ waitForLeaders: true, topics: missing.map((topic) => ({ topic, numPartitions: PARTITIONS })) })
  } finally {
    await admin.disconnect()
  }
}
