/** Kafka's client as far as the bus uses it, with a broker that is an object: topics, their ends, and whether it answers. */
import type { Admin, Consumer, ConsumerRunConfig, EachBatchPayload, KafkaMessage } from 'kafkajs'
import type { KafkaClient } from '../../plugins/lib/kafka-client.ts'

type Listener = (event: { payload: unknown }) => void

/** What all clients share. */
export class FakeCluster {
  /** Ends of the partitions of each topic; a topic that is not here does not exist. */
  readonly ends = new Map<string, number[]>()
  /** Answers to the question for a time, where asked; undefined: the end. */
  readonly byTime = new Map<string, number[]>()
  readonly askedTimes: number[] = []
  readonly consumers: FakeConsumer[] = []
  readonly committed: Array<Array<{ topic: string, partition: number, offset: string }>> = []
  /** Set: every connection fails with it. */
  failure: Error | undefined
  /** True: closing never ends. */
  hangs = false
  readonly openAdmins = new Set<object>()

  get consumer (): FakeConsumer { return this.consumers.at(-1) as FakeConsumer }

  open (): KafkaClient {
    return {
      admin: () => this.#admin() as unknown as Admin,
      consumer: () => {
        const consumer = new FakeConsumer(this)
        this.consumers.push(consumer)
        return consumer as unknown as Consumer
      }
    }
  }

  #admin (): object {
    const offsets = (topic: string, of: Map<string, number[]>): Array<{ partition: number, offset: string, high: string }> => {
      const ends = this.ends.get(topic)
      if (ends === undefined) throw new Error('This server does not host this topic-partition')
      return (of.get(topic) ?? ends).map((end, partition) => ({ partition, offset: String(end), high: String(end) })).reverse()
    }
    const admin = {
      connect: async () => {
        if (this.failure !== undefined) throw this.failure
        this.openAdmins.add(admin)
      },
      disconnect: async () => { this.openAdmins.delete(admin) },
      fetchTopicOffsets: async (topic: string) => offsets(topic, this.ends),
      fetchTopicOffsetsByTimestamp: async (topic: string, timeMs: number) => {
        this.askedTimes.push(timeMs)
        return offsets(topic, this.byTime)
      }
    }
    return admin
  }
}

class FakeConsumer {
  readonly events = { GROUP_JOIN: 'join', FETCH_START: 'fetch start', FETCH: 'fetch', END_BATCH_PROCESS: 'batch end', CRASH: 'crash', STOP: 'stop', DISCONNECT: 'disconnect' }
  readonly seeks: Array<{ topic: string, partition: number, offset: string }> = []
  readonly paused = new Set<string>()
  readonly resumed: string[] = []
  subscription: unknown
  settings: ConsumerRunConfig | undefined
  disconnects = 0
  /** It has told that it ended. */
  isOver = false
  readonly #cluster: FakeCluster
  readonly #listeners = new Map<string, Listener[]>()

  constructor (cluster: FakeCluster) {
    this.#cluster = cluster
  }

  on (name: string, listener: Listener): void {
    this.#listeners.set(name, [...this.#listeners.get(name) ?? [], listener])
  }

  emit (name: string, payload: unknown = {}): void {
    if (name === 'crash' || name === 'stop') this.isOver = true
    for (const listener of this.#listeners.get(name) ?? []) listener({ payload })
  }

  async connect (): Promise<void> {
    if (this.#cluster.failure !== undefined) throw this.#cluster.failure
  }

  async subscribe (subscription: unknown): Promise<void> { this.subscription = subscription }
  async run (settings: ConsumerRunConfig): Promise<void> {
    this.settings = settings
    this.join()
  }

  async disconnect (): Promise<void> {
    this.disconnects++
    if (this.#cluster.hangs) await new Promise(() => {})
    this.emit('stop')
    this.emit('disconnect')
  }

  /** The group gives this member all partitions. */
  join (): void {
    const memberAssignment = Object.fromEntries([...this.#cluster.ends].map(([topic, ends]) => [topic, ends.map((_, partition) => partition)]))
    this.emit('join', { memberAssignment })
  }

  fetch (): void {
    this.emit('fetch start')
    this.emit('fetch')
  }

  seek (position: { topic: string, partition: number, offset: string }): void { this.seeks.push(position) }
  pause ([{ topic, partitions }]: [{ topic: string, partitions: number[] }]): void { this.paused.add(`${topic} ${String(partitions[0])}`) }
  resume ([{ topic, partitions }]: [{ topic: string, partitions: number[] }]): void {
    this.paused.delete(`${topic} ${String(partitions[0])}`)
    this.resumed.push(`${topic} ${String(partitions[0])}`)
  }

  async commitOffsets (offsets: Array<{ topic: string, partition: number, offset: string }>): Promise<void> {
    if (this.#cluster.failure !== undefined) throw this.#cluster.failure
    this.#cluster.committed.push(offsets)
  }

  /** Where the last join told it to read on. */
  position (topic: string, partition: number): string | undefined {
    return this.seeks.findLast((seek) => seek.topic === topic && seek.partition === partition)?.offset
  }

  /** Hands a batch of values to the bus, from `offset` on; resolves to the offset that was resolved. */
  async batch (topic: string, partition: number, offset: number, values: readonly string[], extra: { heartbeat?: () => Promise<void>, stale?: boolean, end?: number, key?: string } = {}): Promise<string | undefined> {
    let resolved: string | undefined
    const messages = values.map((value, i) => ({ offset: String(offset + i), key: Buffer.from(extra.key ?? 'g'), value: Buffer.from(value), timestamp: '1', headers: {} })) as unknown as KafkaMessage[]
    await this.settings?.eachBatch?.({
      batch: { topic, partition, messages, highWatermark: String(extra.end ?? offset + values.length), lastOffset: () => String(offset + values.length - 1) },
      resolveOffset: (last: string) => { resolved = last },
      heartbeat: extra.heartbeat ?? (async () => {}),
      isStale: () => extra.stale ?? false
    } as unknown as EachBatchPayload)
    return resolved
  }
}
