/** Owns the consumer of group traffic; decorates `groupBus`. Nothing is read before the bus is started. */
import fp from 'fastify-plugin'
import type { Clock, GroupBus, Health, Logger, Meter } from '../src/ports.ts'
import { consumerGroup, KafkaBus, type TopicNames } from './lib/kafka-bus.ts'
import { openKafka, type KafkaClient, type KafkaClientOptions } from './lib/kafka-client.ts'

declare module 'fastify' {
  interface FastifyInstance {
    groupBus: GroupBus
  }
}

export interface KafkaOptions extends Pick<KafkaClientOptions, 'brokers' | 'tls' | 'sasl'> {
  /** A ready bus instead of Kafka (embedding, tests); whoever made it stops it. */
  readonly bus?: GroupBus | undefined
  /** Opens a client other than Kafka's own (tests). */
  readonly open?: (() => KafkaClient) | undefined
  readonly topics: TopicNames
  /** Beginning of the consumer group's name. */
  readonly groupId: string
  readonly nodeId: string
  /** Differs from start to start of the node. */
  readonly startId: string
  readonly minBytes: number
  readonly maxBytes: number
  readonly maxWaitMs: number
  readonly sessionTimeoutMs: number
  readonly metadataMaxAgeMs: number
  /** 0: nothing is committed. */
  readonly commitIntervalMs: number
  readonly clock: Clock
  readonly meter: Meter
  readonly health: Health
  readonly logger: Logger
}

export default fp<KafkaOptions>(async function kafka (fastify, options) {
  if (options.bus !== undefined) {
    fastify.decorate('groupBus', options.bus)
    return
  }
  const { brokers, tls, sasl, nodeId, startId, clock, logger } = options
  if (brokers.length === 0) throw new RangeError('brokers has to name one Kafka broker at least')
  const bus = new KafkaBus({
    ...options,
    groupId: consumerGroup(options.groupId, nodeId, startId),
    open: options.open ?? (() => openKafka({ brokers, clientId: nodeId, tls, sasl, clock, logger }))
  })
  fastify.decorate('groupBus', bus)
  fastify.addHook('onClose', async () => { await bus.stop() })
}, { name: 'kafka', fastify: '5.x' })
