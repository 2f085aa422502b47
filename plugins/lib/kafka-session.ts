/**
 * One life of a Kafka consumer: opens it, seeks it at every join to where this node is, and ends at the first doubt (a
 * crash, a stop nobody asked for, silence), having closed what it opened. What comes after is the supervisor's business.
 */
import kafkajs, { type Admin, type Consumer, type ConsumerEndBatchProcessEvent, type ConsumerGroupJoinEvent, type EachBatchPayload } from 'kafkajs'
import type { Clock } from '../../src/ports.ts'
import type { Positions } from '../../src/groups/positions.ts'
import { TimerSet } from '../../src/groups/timer-set.ts'
import { settledWithin } from '../../src/wait.ts'
import { consumerConfig, type ConsumerSettings } from './kafka-consumer-config.ts'
import type { KafkaClient } from './kafka-client.ts'
import { startingOffsets } from './kafka-start.ts'

export interface SessionOptions {
  readonly client: KafkaClient
  readonly clock: Clock
  readonly settings: ConsumerSettings
  /** As Kafka knows them. */
  readonly topics: readonly string[]
  readonly positions: Positions
  /** Unix milliseconds. */
  readonly firstClientMs: () => number | undefined
  /** Takes a batch whole, at once; resolves when the next one may come. */
  readonly onBatch: (payload: EachBatchPayload, session: KafkaSession) => Promise<void>
  /** Whether records of the partition wait for a promise of the handler. */
  readonly isHeld: (topic: string, partition: number) => boolean
  /** Kafka answered a fetch from our positions: from here on nothing is missed [GW-OBS-4]. */
  readonly onFetch: () => void
}

// Not among the names that an ES module can import.
const { KafkaJSNonRetriableError } = kafkajs

/** Silence of this many ticks ends a session. Ticks, not time: a stall of our own loop makes one late tick, not many. */
const SILENT_TICKS = 4
const TICK_MS = 5_000
/** How often the ends of the topics are asked for: they tell the lag where nothing is fetched, too. */
const PROBE_INTERVAL_MS = 10_000
/** For a broker that is gone no open fetch is worth waiting for. */
const CLOSE_TIMEOUT_MS = 3_000
/** A crash is told after the stop that it brings; waiting for it names the cause. */
const CAUSE_WAIT_MS = 1_000
/** Batches worked on side by side. None of them waits for a handler, so that more would gain nothing. */
const CONCURRENT_PARTITIONS = 64

export class KafkaSession {
  readonly #options: SessionOptions
  readonly #consumer: Consumer
  readonly #admin: Admin
  readonly #ended: Promise<never>
  readonly #timers: TimerSet
  #end: (reason: Error) => void = () => {}
  /** From the first doubt on nothing is taken; once closed, a consumer that still lives is made to end itself. */
  #over = false
  #closed = false
  #joined = false
  #silentTicks = 0

  constructor (options: SessionOptions) {
    const { client, settings } = options
    this.#options = options
    this.#timers = new TimerSet(options.clock)
    this.#ended = new Promise((_resolve, reject) => { this.#end = reject })
    this.#ended.catch(() => {})
    this.#admin = client.admin()
    this.#consumer = client.consumer(consumerConfig(settings))
  }

  /** Lives until something ends it, then rejects with the reason; resolves where the signal was the reason. */
  async run (signal: AbortSignal): Promise<void> {
    const abort = (): void => { this.#end(new Error('stopped')) }
    signal.addEventListener('abort', abort, { once: true })
    this.#listen()
    this.#timers.every(TICK_MS + this.#options.settings.maxWaitMs, () => { this.#tick() })
    const opening = this.#open()
    try {
      await Promise.race([opening, this.#ended])
      await this.#ended
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      signal.removeEventListener('abort', abort)
      await this.#close(opening)
    }
  }

  /** Fetches a partition no more, and again. Without effect once the session is over. */
  pause (topic: string, partition: number): void {
    if (this.#joined && !this.#over) this.#consumer.pause([{ topic, partitions: [partition] }])
  }

  resume (topic: string, partition: number): void {
    if (this.#joined && !this.#over) this.#consumer.resume([{ topic, partitions: [partition] }])
  }

  /** Work is being done on what was fetched: no silence. */
  alive (): void {
    this.#silentTicks = 0
  }

  async #open (): Promise<void> {
    const { topics, positions, settings, firstClientMs } = this.#options
    await this.#admin.connect()
    for (const topic of positions.unstarted) positions.start(topic, await startingOffsets(this.#admin, topic, firstClientMs))
    if (this.#over) return
    // At once: a consumer that may not read lives no longer than until its first fetch.
    void this.#probe()
    await this.#consumer.connect()
    // Whatever has no position, or one that Kafka has thrown away, begins at the earliest record there is.
    await this.#consumer.subscribe({ topics: [...topics], fromBeginning: true })
    if (this.#over) return
    await this.#consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: CONCURRENT_PARTITIONS,
      eachBatch: async (payload) => {
        // A consumer that could not be closed in time has to end by itself.
        if (this.#over) throw new KafkaJSNonRetriableError('the session is over')
        this.alive()
        if (!payload.isStale()) await this.#options.onBatch(payload, this)
      }
    })
    this.#timers.every(PROBE_INTERVAL_MS, () => { void this.#probe() })
    if (settings.commitIntervalMs > 0) this.#timers.every(settings.commitIntervalMs, () => { void this.#commit() })
  }

  #listen (): void {
    const consumer = this.#consumer
    const { events } = consumer
    consumer.on(events.GROUP_JOIN, (event) => { this.#onJoin(event) })
    consumer.on(events.FETCH_START, () => {
      if (this.#closed) throw new KafkaJSNonRetriableError('the session is over')
    })
    consumer.on(events.FETCH, () => {
      if (!this.#joined || this.#over) return
      this.alive()
      this.#options.onFetch()
    })
    consumer.on(events.END_BATCH_PROCESS, (event) => { this.#onBatchEnd(event) })
    consumer.on(events.CRASH, ({ payload }) => { this.#end(payload.error) })
    const stopped = (): void => { this.#timers.after(CAUSE_WAIT_MS, () => { this.#end(new Error('the consumer stopped by itself')) }) }
    consumer.on(events.STOP, stopped)
    consumer.on(events.DISCONNECT, stopped)
  }

  /** Runs before the first fetch of the new generation: no fetch goes out from a position that is not ours. */
  #onJoin ({ payload }: ConsumerGroupJoinEvent): void {
    // Thrown into the library, which then ends the consumer: one that was joining while it was closed has forgotten that.
    if (this.#over) throw new KafkaJSNonRetriableError('the session is over')
    this.#joined = true
    for (const [topic, partitions] of Object.entries(payload.memberAssignment)) {
      for (const partition of partitions) {
        this.#consumer.seek({ topic, partition, offset: this.#options.positions.next(topic, partition) })
        if (this.#options.isHeld(topic, partition)) this.pause(topic, partition)
      }
    }
  }

  /** Batches of nothing but transaction markers never reach `eachBatch`. */
  #onBatchEnd ({ payload }: ConsumerEndBatchProcessEvent): void {
    const { topic, partition, batchSize, lastOffset, highWatermark } = payload
    if (!this.#over && batchSize === 0) this.#options.positions.taken(topic, partition, lastOffset, highWatermark)
  }

  #tick (): void {
    if (++this.#silentTicks >= SILENT_TICKS) this.#end(new Error('Kafka has answered no fetch for a while'))
  }

  async #probe (): Promise<void> {
    const { topics, positions } = this.#options
    try {
      for (const topic of topics) {
        for (const { partition, high } of await this.#admin.fetchTopicOffsets(topic)) positions.endsAt(topic, partition, high)
      }
    } catch {
      // The lag stays what it was; whether Kafka is there is told by its fetches.
    }
  }

  async #commit (): Promise<void> {
    try {
      if (!this.#over) await this.#consumer.commitOffsets(this.#options.positions.all())
    } catch {
      // Nothing reads these but tools that show the lag; the next one comes soon.
    }
  }

  async #close (opening: Promise<void>): Promise<void> {
    this.#over = true
    this.#timers.end()
    const disconnect = (): Promise<unknown> => Promise.allSettled([this.#consumer.disconnect(), this.#admin.disconnect()])
    // What was being opened meanwhile is closed once it is open, even where nobody waits for that any more.
    const closed = disconnect().then(() => opening).catch(() => {}).then(disconnect)
    await settledWithin(closed, CLOSE_TIMEOUT_MS, this.#options.clock)
    this.#closed = true
  }
}
