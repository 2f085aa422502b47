/**
 * The group bus over Kafka. Every node reads everything [GW-GRP-1]: a consumer group of its own, positions in memory, a supervisor
 * that brings the consumer back whatever ended it. What is fetched is handed over in the order of its partition; a
 * partition whose handler waits is fetched no further, and stops no other [GW-GRP-4].
 */
import type { EachBatchPayload, KafkaMessage } from 'kafkajs'
import type { BusRecord, Clock, GroupBus, Health, Logger, Meter, Topic } from '../../src/ports.ts'
import { PartitionQueue, type RecordHandler } from '../../src/groups/partition-queue.ts'
import { Positions } from '../../src/groups/positions.ts'
import { Supervisor, type Run } from '../../src/groups/supervisor.ts'
import type { KafkaClient } from './kafka-client.ts'
import type { ConsumerSettings } from './kafka-consumer-config.ts'
import { KafkaSession } from './kafka-session.ts'

/** Names of the three topics in Kafka. */
export interface TopicNames { readonly groupMessages: string, readonly membership: string, readonly receipts: string }

export interface KafkaBusOptions extends ConsumerSettings {
  /** A new client each time: what an old one remembers of the cluster ends with it. */
  readonly open: () => KafkaClient
  readonly topics: TopicNames
  readonly clock: Clock
  readonly logger: Logger
  readonly meter: Meter
  readonly health: Health
  /** 0 up to 1. */
  readonly random?: () => number
}

const MIN_PAUSE_MS = 500
const MAX_PAUSE_MS = 10_000
/** Longer than a session takes to close. */
const STOP_TIMEOUT_MS = 5_000

/** Group of one life of one node; nothing else may ever be in it, or records would be shared out instead of repeated. */
export function consumerGroup (groupId: string, nodeId: string, startId: string): string {
  return `${groupId}-${nodeId}-${startId}`
}

export class KafkaBus implements GroupBus {
  readonly ready: Promise<void>
  readonly #options: KafkaBusOptions
  readonly #topics: ReadonlyMap<string, Topic>
  readonly #positions: Positions
  readonly #queues = new Map<string, PartitionQueue>()
  readonly #supervisor: Supervisor
  #becomeReady: () => void = () => {}
  #handler: RecordHandler | undefined
  #session: KafkaSession | undefined
  #firstClientMs: number | undefined

  constructor (options: KafkaBusOptions) {
    const { topics, clock, meter } = options
    this.#options = options
    this.ready = new Promise((resolve) => { this.#becomeReady = resolve })
    this.#topics = new Map([[topics.groupMessages, 'group_msg'], [topics.membership, 'membership_change'], [topics.receipts, 'read_receipt_events']])
    if (this.#topics.size < 3) throw new RangeError('the three topics need three names')
    this.#positions = new Positions([...this.#topics.keys()])
    this.#supervisor = new Supervisor({
      clock,
      run: (run) => this.#live(run),
      minPauseMs: MIN_PAUSE_MS,
      maxPauseMs: MAX_PAUSE_MS,
      onEnd: (error, pauseMs) => { this.#onEnd(error, pauseMs) },
      random: options.random ?? Math.random
    })
    for (const [name, topic] of this.#topics) meter.source('kafka_lag', () => this.#lag(name), topic)
  }

  start (handler: RecordHandler): void {
    if (this.#handler !== undefined) throw new TypeError('the bus has been started')
    this.#handler = handler
    this.#options.health.down('kafka', 'joining')
    this.#supervisor.start()
  }

  firstClientAt (unixMs: number): void {
    this.#firstClientMs ??= unixMs
  }

  /** Resolves within 5 s; the handler is not called again. */
  async stop (): Promise<void> {
    for (const queue of this.#queues.values()) queue.stop()
    await this.#supervisor.stop(STOP_TIMEOUT_MS)
  }

  async #live ({ signal, healthy }: Run): Promise<void> {
    let fetched = false
    this.#session = new KafkaSession({
      client: this.#options.open(),
      clock: this.#options.clock,
      settings: this.#options,
      topics: [...this.#topics.keys()],
      positions: this.#positions,
      firstClientMs: () => this.#firstClientMs,
      onBatch: (payload, session) => this.#take(payload, session),
      isHeld: (topic, partition) => this.#queue(topic, partition).waiting,
      onFetch: () => {
        if (fetched) return
        fetched = true
        healthy()
        this.#options.health.up('kafka')
        this.#options.logger.info({ groupId: this.#options.groupId }, 'Kafka consumer reads')
        this.#becomeReady()
      }
    })
    await this.#session.run(signal)
  }

  #onEnd (error: unknown, pauseMs: number): void {
    const { health, logger, meter } = this.#options
    const detail = error instanceof Error ? error.message : 'the consumer ended'
    meter.count('kafka_restarts_total')
    health.down('kafka', detail)
    logger.warn({ err: error, pauseMs: Math.round(pauseMs) }, 'Kafka consumer ended and is started again')
  }

  /** The batch is ours from here on: a join or a restart goes on behind it, however much of it still waits. */
  async #take ({ batch, resolveOffset, heartbeat }: EachBatchPayload, session: KafkaSession): Promise<void> {
    const { topic: name, partition, messages } = batch
    const last = messages.at(-1)
    const topic = this.#topics.get(name)
    if (topic === undefined || last === undefined) return
    const queue = this.#queue(name, partition)
    this.#positions.taken(name, partition, batch.lastOffset(), batch.highWatermark)
    resolveOffset(last.offset)
    queue.add(messages.map((message) => recordOf(topic, partition, message)))
    for (;;) {
      const state = queue.run()
      if (state === 'empty') return
      if (state === 'waiting') break
      session.alive()
      await nextTurn()
      // A heartbeat that fails is found by the next fetch; the rest of the batch has to go out before that.
      await heartbeat().catch(() => {})
    }
    session.pause(name, partition)
  }

  #queue (name: string, partition: number): PartitionQueue {
    const key = `${name} ${partition}`
    let queue = this.#queues.get(key)
    if (queue === undefined) {
      queue = new PartitionQueue({
        handler: (record) => this.#handler?.(record),
        onFault: (record, error) => { this.#onFault(record, error) },
        onIdle: () => { this.#session?.resume(name, partition) }
      })
      this.#queues.set(key, queue)
    }
    return queue
  }

  #onFault ({ topic, partition, offset }: BusRecord, error: unknown): void {
    this.#options.meter.count('group_records_total', 1, topic, 'fault')
    this.#options.logger.error({ err: error, topic, partition, offset }, 'The handler of a bus record threw, the record was passed over')
  }

  /** Behind the end of the log, and fetched but not handed over. */
  #lag (name: string): number {
    let lag = this.#positions.lag(name)
    for (const [key, queue] of this.#queues) {
      if (key.startsWith(`${name} `)) lag += queue.length
    }
    return lag
  }
}

function recordOf (topic: Topic, partition: number, { offset, key, value, timestamp, headers }: KafkaMessage): BusRecord {
  const traceparent = headers?.['traceparent']
  const first = Array.isArray(traceparent) ? traceparent[0] : traceparent
  return { topic, partition, offset, key, value, timestampMs: Number(timestamp), traceparent: first?.toString() }
}

function nextTurn (): Promise<void> {
  return new Promise((resolve) => { setImmediate(resolve) })
}
