/**
 * Group commit: what is asked of etcd within a short window travels in one transaction. Operations of one lane (a
 * user's prefix, a node's key) never stand in one batch nor in two batches at a time: nested conditions do not see the
 * puts beside them, so two admissions of one user in a batch would both pass.
 */
import { GatewayError } from '../errors.ts'
import { KvRejectedError } from '../ports.ts'
import type { Clock, KvOperation, KvOperationResult, KvStore, Meter, Timer } from '../ports.ts'
import { BatchWindow } from './batch-window.ts'
import { Lanes, type LaneItem } from './lanes.ts'

export interface BatcherOptions {
  readonly kv: Pick<KvStore, 'batch'>
  readonly clock: Clock
  readonly meter: Meter
  /** Operations in one transaction. Default `MAX_OPERATIONS`. */
  readonly maxOperations?: number
  /** Transactions under way at once; of full ones, four times as many. Default 4. */
  readonly maxInFlight?: number
}

export const MAX_OPERATIONS = 100
/** Operations that may wait; more are refused. */
const MAX_QUEUED = 100_000

/** A small batch that has to wait for others to be answered grows meanwhile; a full one cannot, and would only lose time. */
const FULL_FACTOR = 4

export interface Answer extends KvOperationResult {
  /** Of the store, once the operation was done. */
  readonly revision: number
}

export interface BatchRequest {
  readonly lane: string
  readonly operation: KvOperation
  /** How long the answer is waited for, in milliseconds. */
  readonly timeoutMs: number
  /** Asked when the conditions did not hold: an operation to run in its place, before anything else of the lane. */
  again? (answer: Answer): KvOperation | undefined
}

interface Entry extends LaneItem {
  readonly request: BatchRequest
  operation: KvOperation
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
  timer: Timer | undefined
  settled: boolean
}

export class Batcher {
  readonly #kv: Pick<KvStore, 'batch'>
  readonly #clock: Clock
  readonly #meter: Meter
  readonly #window = new BatchWindow()
  readonly #maxOperations: number
  readonly #maxInFlight: number
  readonly #lanes = new Lanes<Entry>()
  #queued = 0
  #inFlight = 0
  #timer: Timer | undefined
  #closed = false

  constructor (options: BatcherOptions) {
    this.#kv = options.kv
    this.#clock = options.clock
    this.#meter = options.meter
    this.#maxOperations = options.maxOperations ?? MAX_OPERATIONS
    this.#maxInFlight = options.maxInFlight ?? 4
  }

  /** Operations that wait for an answer. */
  get queued (): number { return this.#queued }

  /**
   * Rejects with a GatewayError (SERVICE_UNAVAILABLE: no answer in time, the outcome is unknown; or the queue is full)
   * or with a KvRejectedError (the store refuses this very operation).
   */
  submit (request: BatchRequest): Promise<Answer> {
    if (this.#closed) return Promise.reject(unavailable('the registry is closed'))
    if (this.#queued >= MAX_QUEUED) {
      this.#meter.count('registry_operations_total', 1, 'queue', 'full')
      return Promise.reject(unavailable('too many registry operations wait'))
    }
    return new Promise((resolve, reject) => {
      const entry: Entry = { lane: request.lane, request, operation: request.operation, resolve, reject, timer: undefined, settled: false }
      entry.timer = this.#clock.setTimer(() => {
        this.#meter.count('registry_operations_total', 1, 'queue', 'timeout')
        this.#fail(entry, unavailable('etcd did not answer in time'))
      }, request.timeoutMs)
      this.#queued++
      this.#lanes.enter(entry)
      this.#schedule()
    })
  }

  /** Fails what waits; transactions that are under way are still answered. */
  close (): void {
    this.#closed = true
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer)
    for (const entry of this.#lanes.clear()) this.#fail(entry, unavailable('the registry is closed'))
  }

  #schedule (): void {
    if (this.#closed || this.#lanes.ready === 0) return
    if (this.#lanes.ready >= this.#maxOperations && this.#inFlight < FULL_FACTOR * this.#maxInFlight) {
      this.#send()
      this.#schedule()
      return
    }
    if (this.#inFlight >= this.#maxInFlight) return
    this.#timer ??= this.#clock.setTimer(() => {
      this.#timer = undefined
      if (this.#inFlight < this.#maxInFlight) this.#send()
      this.#schedule()
    }, this.#window.at(this.#clock.monotonicMs()))
  }

  #send (): void {
    const entries = this.#lanes.take(this.#maxOperations)
    if (entries.length === 0) return
    this.#window.sent(entries.length, this.#clock.monotonicMs())
    this.#inFlight++
    this.#run(entries).finally(() => {
      this.#inFlight--
      this.#schedule()
    }).catch(() => {})
  }

  async #run (entries: readonly Entry[]): Promise<void> {
    const error = await this.#transact(entries)
    if (error === undefined) return
    if (!(error instanceof KvRejectedError) || entries.length === 1) {
      for (const entry of entries) this.#done(entry, undefined, error)
      return
    }
    // One of them spoils the transaction: each by itself, until the store no longer answers.
    let silence: Error | undefined
    for (const entry of entries) {
      const failure = silence ?? await this.#transact([entry])
      if (failure === undefined) continue
      if (!(failure instanceof KvRejectedError)) silence = failure
      this.#done(entry, undefined, failure)
    }
  }

  /** Answers the entries and gives nothing, or answers none and gives the reason. */
  async #transact (entries: readonly Entry[]): Promise<Error | undefined> {
    const startedMs = this.#clock.monotonicMs()
    this.#meter.observe('registry_batch_operations', entries.length)
    try {
      const { revision, results } = await this.#kv.batch(entries.map((entry) => entry.operation))
      this.#meter.count('registry_transactions_total', 1, 'ok')
      for (const [index, entry] of entries.entries()) {
        const result = results[index]
        if (result === undefined) this.#done(entry, undefined, unavailable('the answer is incomplete'))
        else this.#done(entry, { ...result, revision })
      }
      return undefined
    } catch (error) {
      this.#meter.count('registry_transactions_total', 1, error instanceof KvRejectedError ? 'rejected' : 'unavailable')
      return error instanceof Error ? error : unavailable(String(error))
    } finally {
      this.#meter.observe('registry_seconds', (this.#clock.monotonicMs() - startedMs) / 1000)
    }
  }

  #done (entry: Entry, answer: Answer | undefined, error?: Error): void {
    if (answer === undefined) this.#fail(entry, error ?? unavailable('no answer'))
    else if (!entry.settled) {
      const next = answer.succeeded ? undefined : entry.request.again?.(answer)
      if (next !== undefined && !this.#closed) {
        entry.operation = next
        this.#lanes.again(entry)
        return
      }
      this.#settle(entry)
      entry.resolve(answer)
    }
    this.#lanes.leave(entry)
  }

  #fail (entry: Entry, error: Error): void {
    if (entry.settled) return
    this.#settle(entry)
    entry.reject(error)
  }

  #settle (entry: Entry): void {
    entry.settled = true
    this.#queued--
    if (entry.timer !== undefined) this.#clock.clearTimer(entry.timer)
  }
}

function unavailable (detail: string): GatewayError {
  return new GatewayError('SERVICE_UNAVAILABLE', { detail })
}
