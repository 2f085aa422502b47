/**
 * Records of one partition on their way to the handler: in order, one at a time, and none while the handler's last
 * promise is open. Fetching ahead is the owner's business, so the owner bounds the length.
 */
import type { BusRecord } from '../ports.ts'

export type RecordHandler = (record: BusRecord) => void | Promise<void>

export interface PartitionQueueOptions {
  readonly handler: RecordHandler
  /** The handler broke its promise not to throw; the record is passed over. */
  readonly onFault: (record: BusRecord, error: unknown) => void
  /** The promise that the queue waited for has settled and all records have been handed over. */
  readonly onIdle: () => void
}

/** What `run` left behind: nothing, records, or records (perhaps none) behind an open promise. */
export type QueueState = 'empty' | 'more' | 'waiting'

/** Records handed over before the event loop gets its turn [GW-GRP-5]: a few tenths of a millisecond for records of foreign groups. */
export const RECORDS_PER_TURN = 200
const COMPACT_AT = 1024

export class PartitionQueue {
  readonly #options: PartitionQueueOptions
  #records: BusRecord[] = []
  #next = 0
  #waiting = false
  #stopped = false

  constructor (options: PartitionQueueOptions) {
    this.#options = options
  }

  /** Records that have not been handed over. */
  get length (): number { return this.#records.length - this.#next }
  /** Whether the handler's last promise is open. */
  get waiting (): boolean { return this.#waiting }

  add (records: readonly BusRecord[]): void {
    if (this.#stopped) return
    // What was handed over goes in large pieces, so that a queue which never runs empty costs no more per record.
    if (this.#next >= COMPACT_AT && this.#next >= this.length) {
      this.#records = this.#records.slice(this.#next)
      this.#next = 0
    }
    for (const record of records) this.#records.push(record)
  }

  /** Hands over at most `RECORDS_PER_TURN` records. Whoever sees `more` calls again, in another turn of the loop. */
  run (): QueueState {
    for (let turn = 0; turn < RECORDS_PER_TURN && !this.#waiting; turn++) {
      const record = this.#records[this.#next]
      if (record === undefined) return this.#clear()
      this.#next++
      this.#hand(record)
    }
    if (this.#waiting) return 'waiting'
    return this.length === 0 ? this.#clear() : 'more'
  }

  /** Forgets what was not handed over; the handler is not called again. */
  stop (): void {
    this.#stopped = true
    this.#clear()
  }

  #hand (record: BusRecord): void {
    let answer: void | Promise<void>
    try {
      answer = this.#options.handler(record)
    } catch (error) {
      this.#options.onFault(record, error)
      return
    }
    if (answer === undefined) return
    this.#waiting = true
    void answer.catch((error: unknown) => { this.#options.onFault(record, error) }).then(() => {
      this.#waiting = false
      this.#goOn()
    })
  }

  // After a promise nobody else drives the queue, so it drives itself until it is empty or waits again.
  readonly #goOn = (): void => {
    if (this.#stopped) return
    const state = this.run()
    if (state === 'more') setImmediate(this.#goOn)
    else if (state === 'empty') this.#options.onIdle()
  }

  #clear (): QueueState {
    this.#records = []
    this.#next = 0
    return 'empty'
  }
}
