/** A real Kafka for tests: topics of their own for each world, a producer, and buses that are stopped at the end. */
import { randomUUID } from 'node:crypto'
import kafkajs, { type Admin, type CompressionTypes, type Producer } from 'kafkajs'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { Topic } from '../../src/ports.ts'
import { KafkaBus, consumerGroup, type KafkaBusOptions, type TopicNames } from '../../plugins/lib/kafka-bus.ts'
import { openKafka, type KafkaClient, type KafkaClientOptions } from '../../plugins/lib/kafka-client.ts'
import { FakeHealth, FakeLogger, FakeMeter } from './fakes.ts'

const { Kafka, Partitioners, logLevel } = kafkajs

export interface NodeUnderTest {
  readonly bus: KafkaBus
  readonly meter: FakeMeter
  readonly health: FakeHealth
  readonly logger: FakeLogger
  readonly groupId: string
  /** Opens a client as the bus does. */
  readonly open: () => KafkaClient
}

export class KafkaWorld {
  readonly topics: TopicNames
  readonly admin: Admin
  readonly producer: Producer
  readonly #brokers: readonly string[]
  readonly #buses: KafkaBus[] = []

  constructor (brokers: readonly string[]) {
    const id = randomUUID().slice(0, 8)
    this.topics = { groupMessages: `group_msg-${id}`, membership: `membership_change-${id}`, receipts: `read_receipt_events-${id}` }
    this.#brokers = brokers
    const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 60 } })
    this.admin = kafka.admin()
    this.producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false })
  }

  /** Connects, and makes the topics with so many partitions each; 0: leaves them missing. */
  async open (partitions = 3): Promise<this> {
    await this.admin.connect()
    await this.producer.connect()
    if (partitions > 0) await this.createTopics(partitions)
    return this
  }

  async createTopics (partitions: number, names: readonly string[] = Object.values(this.topics), config: Record<string, string> = {}): Promise<void> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
    await this.admin.createTopics({ topics: names.map((topic) => ({ topic, numPartitions: partitions, configEntries })), waitForLeaders: true })
  }

  /** A node that has not been started. */
  node (changes: Partial<KafkaBusOptions & KafkaClientOptions> = {}): NodeUnderTest {
    const [meter, health, logger] = [new FakeMeter(), new FakeHealth(), new FakeLogger()]
    const groupId = consumerGroup('im-gateway-test', 'node-1', randomUUID().slice(0, 8))
    const open = (): KafkaClient => openKafka({ brokers: this.#brokers, clientId: 'node-1', tls: undefined, sasl: undefined, clock: systemClock, logger, ...changes })
    const bus = new KafkaBus({
      groupId,
      topics: this.topics,
      open,
      minBytes: 1,
      maxBytes: 10 * 1024 * 1024,
      maxWaitMs: 200,
      sessionTimeoutMs: 10_000,
      metadataMaxAgeMs: 1_000,
      commitIntervalMs: 0,
      clock: systemClock,
      logger,
      meter,
      health,
      ...changes
    })
    this.#buses.push(bus)
    return { bus, meter, health, logger, groupId, open }
  }

  async produce (topic: Topic, key: string | null, value: string | Buffer | null, headers: Record<string, string> = {}, compression?: CompressionTypes, aheadMs = 0): Promise<{ partition: number, offset: string }> {
    const message = { key, value, headers, timestamp: String(Date.now() + aheadMs) }
    const [answer] = await this.producer.send({ topic: this.nameOf(topic), acks: -1, messages: [message], ...(compression !== undefined && { compression }) })
    return { partition: answer?.partition ?? -1, offset: answer?.baseOffset ?? '-1' }
  }

  nameOf (topic: Topic): string {
    const { groupMessages, membership, receipts } = this.topics
    return { group_msg: groupMessages, membership_change: membership, read_receipt_events: receipts }[topic]
  }

  async close (): Promise<void> {
    await Promise.all(this.#buses.map((bus) => bus.stop()))
    await this.producer.disconnect()
    await this.admin.disconnect()
  }
}
