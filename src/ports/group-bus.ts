/** Where group traffic comes from. */

export type Topic = 'group_msg' | 'membership_change' | 'read_receipt_events'

export interface BusRecord {
  readonly topic: Topic
  readonly partition: number
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Unix milliseconds, as the broker has it. */
  readonly timestampMs: number
  readonly traceparent?: string | undefined
}

/**
 * Where group traffic comes from. The handler is called for each record in the order of its partition and never
 * throws; where it returns a promise the partition waits for it.
 */
export interface GroupBus {
  /** Joins and begins to deliver; resolves at once, joining goes on by itself. */
  start (handler: (record: BusRecord) => void | Promise<void>): void
  /** Resolves at the first fetch: from then on nothing is missed. */
  readonly ready: Promise<void>
  /** The first client was let in: where the bus is not ready yet, it goes back to this time (minus 5 s) at its first join. */
  firstClientAt (unixMs: number): void
  stop (): Promise<void>
}
