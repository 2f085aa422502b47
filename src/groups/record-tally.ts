/** What became of bus records: counted by topic and result; of those that cannot be read, one a second is logged. */
import type { BusRecord, Clock, Logger, Meter } from '../ports.ts'

/** `no_members`: nobody of the group is here. `not_told`: a membership change for which there was no room. */
export type RecordResult = 'ok' | 'no_members' | 'group_not_found' | 'not_told' | 'failed'
export type PoisonReason = 'empty' | 'too_large' | 'bad_json' | 'bad_shape' | 'key_mismatch'

const LOG_EVERY_MS = 1_000

export class RecordTally {
  readonly #clock: Clock
  readonly #meter: Meter
  readonly #logger: Logger
  #loggedAtMs = -Infinity
  #unlogged = 0

  constructor (options: { readonly clock: Clock, readonly meter: Meter, readonly logger: Logger }) {
    this.#clock = options.clock
    this.#meter = options.meter
    this.#logger = options.logger
  }

  count (record: BusRecord, result: RecordResult): void {
    this.#meter.count('group_records_total', 1, record.topic, result)
  }

  /** The record is passed over. Nothing of its content is logged. */
  poison ({ topic, partition, offset }: BusRecord, reason: PoisonReason): void {
    this.#meter.count('group_records_total', 1, topic, reason)
    const now = this.#clock.monotonicMs()
    if (now - this.#loggedAtMs < LOG_EVERY_MS) {
      this.#unlogged++
      return
    }
    this.#logger.warn({ topic, partition, offset, reason, unlogged: this.#unlogged }, 'record passed over')
    this.#loggedAtMs = now
    this.#unlogged = 0
  }
}
