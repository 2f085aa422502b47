/**
 * Calls over a stream of batches: what becomes ready in a turn of the loop leaves as one batch, answers are matched by
 * correlation in any order, a broken stream leaves everything that was under way unknown. Knows no gRPC.
 */
import { ShortLivedMap } from './short-lived-map.ts'
import { GatewayError } from './errors.ts'
import type { Clock, Timer } from './ports.ts'

/** What travels in a batch. */
export interface Correlated { readonly correlation: number }

export interface CallBatcherOptions<Item extends Correlated> {
  readonly clock: Clock
  /** Sends a batch. False: the stream has taken enough, `drained` will be called. */
  readonly write: (items: Item[]) => boolean
  readonly maxBatchItems?: number
  /** Encoded size that a batch stays below; a receiver refuses messages over 1 MiB. */
  readonly maxBatchBytes?: number
  /** Calls that wait for an answer or to be written; past it: OVERLOADED. */
  readonly maxOutstanding: number
}

export const MAX_BATCH_ITEMS = 512
export const MAX_BATCH_BYTES = 512 * 1024
// Deadlines are kept by one sweep for all: late by this much at most.
const SWEEP_MS = 50

interface Outstanding<Answer> {
  readonly deadlineAtMs: number
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}
interface Waiting<Item> { readonly item: Item, readonly bytes: number }

export class CallBatcher<Item extends Correlated, Answer> {
  readonly #options: CallBatcherOptions<Item>
  readonly #maxItems: number
  readonly #maxBytes: number
  readonly #outstanding = new ShortLivedMap<number, Outstanding<Answer>>()
  #waiting: Array<Waiting<Item>> = []
  #lastCorrelation = 0
  #isFlushing = false
  #isFull = false
  #brokenBy: Error | undefined
  #sweepTimer: Timer | undefined

  constructor (options: CallBatcherOptions<Item>) {
    this.#options = options
    this.#maxItems = options.maxBatchItems ?? MAX_BATCH_ITEMS
    this.#maxBytes = options.maxBatchBytes ?? MAX_BATCH_BYTES
  }

  /** Calls without an answer so far. */
  get outstanding (): number { return this.#outstanding.size }
  /** Whether a batch is being collected: another call costs no write of its own. */
  get isCollecting (): boolean { return this.#isFlushing }

  /** One call; `bytes` bounds its encoded size. Rejects with DEADLINE_EXCEEDED, OVERLOADED, or what `reject` or `fail` was given. */
  call (itemOf: (correlation: number) => Item, bytes: number, deadlineMs: number): Promise<Answer> {
    if (this.#brokenBy !== undefined) return Promise.reject(this.#brokenBy)
    if (Math.max(this.#outstanding.size, this.#waiting.length) >= this.#options.maxOutstanding) return Promise.reject(new GatewayError('OVERLOADED'))
    const correlation = this.#nextCorrelation()
    this.#waiting.push({ item: itemOf(correlation), bytes })
    if (!this.#isFlushing && !this.#isFull) {
      this.#isFlushing = true
      setImmediate(() => { this.flush() })
    }
    return new Promise((resolve, reject) => {
      this.#outstanding.set(correlation, { deadlineAtMs: this.#options.clock.monotonicMs() + deadlineMs, resolve, reject })
      this.#sweepTimer ??= this.#options.clock.setTimer(() => { this.#sweep() }, SWEEP_MS)
    })
  }

  /** Writes what waits, in as many batches as it needs, until the stream has taken enough. */
  flush (): void {
    this.#isFlushing = false
    let items: Item[] = []
    let bytes = 0
    let taken = 0
    for (const waiting of this.#waiting) {
      if (items.length > 0 && (items.length === this.#maxItems || bytes + waiting.bytes > this.#maxBytes)) {
        this.#write(items)
        items = []
        bytes = 0
        if (this.#isFull) break
      }
      taken++
      // Timed out before it left: nobody waits for it any more.
      if (!this.#outstanding.has(waiting.item.correlation)) continue
      items.push(waiting.item)
      bytes += waiting.bytes
    }
    if (items.length > 0) this.#write(items)
    this.#waiting = taken === this.#waiting.length ? [] : this.#waiting.slice(taken)
  }

  /** Writes all that waits, full or not: the stream is about to end, and keeps in order what it has not sent. */
  finish (): void {
    do this.flush()
    while (this.#waiting.length > 0)
  }

  /** The stream takes more. */
  drained (): void {
    this.#isFull = false
    if (this.#waiting.length > 0) this.flush()
  }

  /** An answer. One that nobody waits for (it came after its deadline) changes nothing. */
  resolve (correlation: number, answer: Answer): void {
    this.#outstanding.take(correlation)?.resolve(answer)
  }

  reject (correlation: number, error: Error): void {
    this.#outstanding.take(correlation)?.reject(error)
  }

  /** The stream has ended: everything without an answer is rejected with this error, and all that comes later. */
  fail (error: Error): void {
    this.#brokenBy = error
    this.#waiting = []
    for (const [, outstanding] of this.#outstanding) outstanding.reject(error)
    this.#outstanding.clear()
    if (this.#sweepTimer !== undefined) this.#options.clock.clearTimer(this.#sweepTimer)
    this.#sweepTimer = undefined
  }

  #write (items: Item[]): void {
    if (!this.#options.write(items)) this.#isFull = true
  }

  #nextCorrelation (): number {
    do this.#lastCorrelation = (this.#lastCorrelation + 1) >>> 0
    while (this.#outstanding.has(this.#lastCorrelation))
    return this.#lastCorrelation
  }

  #sweep (): void {
    this.#sweepTimer = undefined
    const now = this.#options.clock.monotonicMs()
    for (const [correlation, outstanding] of this.#outstanding) {
      if (outstanding.deadlineAtMs <= now) this.reject(correlation, new GatewayError('DEADLINE_EXCEEDED'))
    }
    // A stream that takes nothing must not pile up what nobody waits for.
    this.#waiting = this.#waiting.filter(({ item }) => this.#outstanding.has(item.correlation))
    if (this.#outstanding.size > 0) this.#sweepTimer = this.#options.clock.setTimer(() => { this.#sweep() }, SWEEP_MS)
  }
}
