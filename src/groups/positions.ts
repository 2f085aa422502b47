/**
 * How far this node has read, per partition. Kept in memory alone: the node outlives rebalances and broker failures
 * with it, and a new node starts at the end of the log, for its earlier clients are gone.
 */

/** Where the first client was let in before the bus was ready, reading starts this much earlier than that. */
export const FIRST_CLIENT_SLACK_MS = 5_000

export interface PartitionOffset { readonly partition: number, readonly offset: string }
export interface TopicPartitionOffset extends PartitionOffset { readonly topic: string }

interface Position {
  /** Offset of the next record to fetch. */
  next: bigint
  /** End of the log as far as it is known. */
  end: bigint
}

export class Positions {
  readonly #topics: ReadonlyMap<string, Map<number, Position>>
  readonly #started = new Set<string>()

  constructor (topics: readonly string[]) {
    this.#topics = new Map(topics.map((topic) => [topic, new Map()]))
  }

  /** Topics whose starting positions have not been set. */
  get unstarted (): string[] {
    return [...this.#topics.keys()].filter((topic) => !this.#started.has(topic))
  }

  /** Sets where reading begins. Once per topic: later calls change nothing, for what was read stays read. */
  start (topic: string, offsets: readonly PartitionOffset[]): void {
    if (this.#started.has(topic)) return
    this.#started.add(topic)
    for (const { partition, offset } of offsets) {
      const next = BigInt(offset)
      this.#partitions(topic).set(partition, { next, end: next })
    }
  }

  /** Where to go on. A partition that was not there at the start is new: all of its records are ours. */
  next (topic: string, partition: number): string {
    return String(this.#partitions(topic).get(partition)?.next ?? 0n)
  }

  /** Everything up to `lastOffset` has been taken; `end` is the end of the log by the same answer of the broker. */
  taken (topic: string, partition: number, lastOffset: string, end: string): void {
    this.#partitions(topic).set(partition, { next: BigInt(lastOffset) + 1n, end: BigInt(end) })
  }

  /** The end of the log, asked for apart from fetching. */
  endsAt (topic: string, partition: number, end: string): void {
    const position = this.#partitions(topic).get(partition)
    if (position !== undefined) position.end = BigInt(end)
  }

  /** Records of the topic between what was taken and the end of the log. */
  lag (topic: string): number {
    let lag = 0n
    for (const { next, end } of this.#partitions(topic).values()) {
      if (end > next) lag += end - next
    }
    return Number(lag)
  }

  /** All positions, for a commit. */
  all (): TopicPartitionOffset[] {
    return [...this.#topics].flatMap(([topic, partitions]) =>
      [...partitions].map(([partition, { next }]) => ({ topic, partition, offset: String(next) })))
  }

  #partitions (topic: string): Map<number, Position> {
    const partitions = this.#topics.get(topic)
    if (partitions === undefined) throw new RangeError(`the topic ${topic} is not read`)
    return partitions
  }
}

/**
 * The earlier of two answers per partition. A partition that only one answer has keeps that one: it appeared in
 * between, and all of its records are wanted.
 */
export function earlier (a: readonly PartitionOffset[], b: readonly PartitionOffset[]): PartitionOffset[] {
  const offsets = new Map<number, bigint>()
  for (const { partition, offset } of [...a, ...b]) {
    const other = offsets.get(partition)
    const own = BigInt(offset)
    offsets.set(partition, other === undefined || own < other ? own : other)
  }
  return [...offsets].map(([partition, offset]) => ({ partition, offset: String(offset) }))
}
