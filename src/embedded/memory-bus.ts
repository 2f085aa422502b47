/**
 * The group bus inside the process: topics with partitions, and consumers that each read all of them from the end on,
 * as nodes with consumer groups of their own do. For the demo and for tests; nothing survives the process.
 */
import { GatewayError } from '../errors.ts'
import type { BusRecord, Clock, GroupBus, Logger, Topic } from '../ports.ts'
import { PartitionQueue, type RecordHandler } from '../groups/partition-queue.ts'
import { FIRST_CLIENT_SLACK_MS } from '../groups/positions.ts'

export interface MemoryBrokerOptions {
  readonly clock: Clock
  /** Hears of handlers that throw, which they should not. */
  readonly logger: Logger
  /** Partitions of each topic; default 3. */
  readonly partitions?: number
  /** Records that a partition remembers, and that a consumer may be behind before `produce` is refused; default 10,000. */
  readonly maxRecords?: number
}

export interface Produced { readonly partition: number, readonly offset: string }

/** Keeps the records and serves any number of consumers. */
export class MemoryBroker {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #partitions: number
  readonly #maxRecords: number
  readonly #logs = new Map<string, PartitionLog>()
  readonly #consumers = new Set<MemoryConsumer>()
  #keyless = 0

  constructor (options: MemoryBrokerOptions) {
    this.#clock = options.clock
    this.#logger = options.logger
    this.#partitions = options.partitions ?? 3
    this.#maxRecords = options.maxRecords ?? 10_000
  }

  /**
   * Appends a record. Records of one key keep their order; keyless ones go round the partitions. Resolves once it is
   * in the log, before anybody has read it. Rejects with OVERLOADED where a consumer is too far behind.
   */
  async produce (topic: Topic, key: string | Buffer | null, value: string | Buffer | null, headers: Readonly<Record<string, string>> = {}): Promise<Produced> {
    const keyBytes = bytes(key)
    const partition = (keyBytes === null ? this.#keyless++ : hash(keyBytes)) % this.#partitions
    for (const consumer of this.#consumers) {
      if (consumer.waitingRecords(topic, partition) >= this.#maxRecords) throw new GatewayError('OVERLOADED', { detail: `a consumer of ${topic} is ${this.#maxRecords} records behind` })
    }
    const log = this.#log(topic, partition)
    const record: BusRecord = {
      topic,
      partition,
      offset: String(log.end++),
      key: keyBytes,
      value: bytes(value),
      timestampMs: this.#clock.unixMs(),
      traceparent: headers['traceparent']
    }
    log.records.push(record)
    // Dropping in halves keeps the cost of forgetting constant per record.
    if (log.records.length > 2 * this.#maxRecords) log.records = log.records.slice(-this.#maxRecords)
    for (const consumer of this.#consumers) consumer.add(topic, partition, [record])
    return { partition, offset: record.offset }
  }

  /** One node's view: reads everything that is produced from its start on. */
  consumer (): GroupBus {
    return new MemoryConsumer({
      join: (consumer, sinceUnixMs) => {
        this.#consumers.add(consumer)
        if (sinceUnixMs === undefined) return
        for (const { topic, partition, records } of this.#logs.values()) {
          const first = records.findIndex((record) => record.timestampMs >= sinceUnixMs)
          if (first >= 0) consumer.add(topic, partition, records.slice(first))
        }
      },
      leave: (consumer) => { this.#consumers.delete(consumer) },
      onFault: ({ topic, partition, offset }, error) => {
        this.#logger.error({ topic, partition, offset, err: error }, 'The handler of a bus record threw, the record was passed over')
      }
    })
  }

  #log (topic: Topic, partition: number): PartitionLog {
    const name = logName(topic, partition)
    let log = this.#logs.get(name)
    if (log === undefined) {
      log = { topic, partition, records: [], end: 0 }
      this.#logs.set(name, log)
    }
    return log
  }
}

interface PartitionLog {
  readonly topic: Topic
  readonly partition: number
  /** The newest ones. */
  records: BusRecord[]
  /** Offset of the next record. */
  end: number
}

interface Membership {
  join (consumer: MemoryConsumer, sinceUnixMs: number | undefined): void
  leave (consumer: MemoryConsumer): void
  onFault (record: BusRecord, error: unknown): void
}

class MemoryConsumer implements GroupBus {
  readonly ready: Promise<void>
  readonly #membership: Membership
  readonly #queues = new Map<string, PartitionQueue>()
  #becomeReady: () => void = () => {}
  #handler: RecordHandler | undefined
  #firstClientMs: number | undefined

  constructor (membership: Membership) {
    this.#membership = membership
    this.ready = new Promise((resolve) => { this.#becomeReady = resolve })
  }

  start (handler: RecordHandler): void {
    if (this.#handler !== undefined) throw new TypeError('the bus has been started')
    this.#handler = handler
    this.#membership.join(this, this.#firstClientMs === undefined ? undefined : this.#firstClientMs - FIRST_CLIENT_SLACK_MS)
    this.#becomeReady()
  }

  firstClientAt (unixMs: number): void {
    this.#firstClientMs ??= unixMs
  }

  async stop (): Promise<void> {
    this.#membership.leave(this)
    for (const queue of this.#queues.values()) queue.stop()
  }

  /** Records that were produced and not handed over yet. */
  waitingRecords (topic: Topic, partition: number): number {
    return this.#queues.get(logName(topic, partition))?.length ?? 0
  }

  add (topic: Topic, partition: number, records: readonly BusRecord[]): void {
    const queue = this.#queue(topic, partition)
    const idle = queue.length === 0 && !queue.waiting
    queue.add(records)
    // Never inside `produce`: the producer has its answer before anybody acts on the record.
    if (idle) setImmediate(drain, queue)
  }

  #queue (topic: Topic, partition: number): PartitionQueue {
    const name = logName(topic, partition)
    let queue = this.#queues.get(name)
    if (queue === undefined) {
      queue = new PartitionQueue({ handler: (record) => this.#handler?.(record), onFault: this.#membership.onFault, onIdle: () => {} })
      this.#queues.set(name, queue)
    }
    return queue
  }
}

function drain (queue: PartitionQueue): void {
  if (queue.run() === 'more') setImmediate(drain, queue)
}

function logName (topic: Topic, partition: number): string {
  return `${topic} ${partition}`
}

function bytes (value: string | Buffer | null): Buffer | null {
  return typeof value === 'string' ? Buffer.from(value) : value
}

/** FNV-1a, 32 bits. */
function hash (key: Buffer): number {
  let sum = 0x811c9dc5
  for (const byte of key) sum = Math.imul(sum ^ byte, 0x01000193)
  return sum >>> 0
}
