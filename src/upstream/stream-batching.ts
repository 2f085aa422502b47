/**
 * The logic of one RouteStream: what becomes ready in a turn of the loop leaves as one batch, replies are matched by
 * correlation in any order, a broken stream leaves everything that was under way unknown. Knows no gRPC.
 */
import type { RouteBatch, RouteBatchReply, RouteItem } from '../generated/im/v1/im.ts'
import { GatewayError } from '../errors.ts'
import type { Clock, RouteAccepted, RouteRequest, Timer } from '../ports.ts'
import { acceptedFrom, maxItemBytes, routeItem } from './im-messages.ts'

export interface RouteBatcherOptions {
  readonly clock: Clock
  /** Sends a batch. False: the stream has taken enough, `drained` will be called. */
  readonly write: (batch: RouteBatch) => boolean
  readonly maxBatchItems?: number
  /** Encoded size that a batch stays below; a receiver refuses messages over 1 MiB. */
  readonly maxBatchBytes?: number
  /** Messages that wait for a reply or to be written; past it: OVERLOADED. */
  readonly maxOutstanding: number
}

const MAX_BATCH_ITEMS = 512
const MAX_BATCH_BYTES = 512 * 1024
// Deadlines are kept by one sweep for all: late by this much at most.
const SWEEP_MS = 50

interface Outstanding {
  readonly deadlineAtMs: number
  readonly resolve: (accepted: RouteAccepted) => void
  readonly reject: (error: Error) => void
}
interface Waiting { readonly item: RouteItem, readonly bytes: number }

export class RouteBatcher {
  readonly #options: RouteBatcherOptions
  readonly #maxItems: number
  readonly #maxBytes: number
  readonly #outstanding = new Map<number, Outstanding>()
  #waiting: Waiting[] = []
  #lastCorrelation = 0
  #isFlushing = false
  #isFull = false
  #brokenBy: Error | undefined
  #sweepTimer: Timer | undefined

  constructor (options: RouteBatcherOptions) {
    this.#options = options
    this.#maxItems = options.maxBatchItems ?? MAX_BATCH_ITEMS
    this.#maxBytes = options.maxBatchBytes ?? MAX_BATCH_BYTES
  }

  /** Messages without a reply so far. */
  get outstanding (): number { return this.#outstanding.size }

  /** One attempt. Rejects with the IM Service's refusal, DEADLINE_EXCEEDED, OVERLOADED, or what `fail` was given. */
  route (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted> {
    if (this.#brokenBy !== undefined) return Promise.reject(this.#brokenBy)
    if (this.#outstanding.size >= this.#options.maxOutstanding) return Promise.reject(new GatewayError('OVERLOADED'))
    const correlation = this.#nextCorrelation()
    this.#waiting.push({ item: routeItem(correlation, request), bytes: maxItemBytes(request) })
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
    let items: RouteItem[] = []
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
      items.push(waiting.item)
      bytes += waiting.bytes
    }
    if (items.length > 0) this.#write(items)
    this.#waiting = taken === this.#waiting.length ? [] : this.#waiting.slice(taken)
  }

  /** The stream takes more. */
  drained (): void {
    this.#isFull = false
    if (this.#waiting.length > 0) this.flush()
  }

  /** Replies in any order; one that nobody waits for (it came after its deadline) changes nothing. */
  receive (batch: RouteBatchReply): void {
    const nowMs = this.#options.clock.unixMs()
    for (const { correlation, reply } of batch.items) {
      const outstanding = this.#outstanding.get(correlation)
      if (outstanding === undefined) continue
      this.#outstanding.delete(correlation)
      try {
        if (reply === undefined) throw new GatewayError('INTERNAL_ERROR', { detail: 'the IM Service sent a reply without content' })
        outstanding.resolve(acceptedFrom(reply.value, nowMs))
      } catch (error) {
        outstanding.reject(error as GatewayError)
      }
    }
  }

  /** The stream has ended: everything without a reply is rejected with this error, and all that comes later. */
  fail (error: Error): void {
    this.#brokenBy = error
    this.#waiting = []
    for (const outstanding of this.#outstanding.values()) outstanding.reject(error)
    this.#outstanding.clear()
    if (this.#sweepTimer !== undefined) this.#options.clock.clearTimer(this.#sweepTimer)
    this.#sweepTimer = undefined
  }

  #write (items: RouteItem[]): void {
    if (!this.#options.write({ items })) this.#isFull = true
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
      if (outstanding.deadlineAtMs > now) continue
      this.#outstanding.delete(correlation)
      outstanding.reject(new GatewayError('DEADLINE_EXCEEDED'))
    }
    // What has not left yet does not leave any more: a stream that takes nothing must not pile up what nobody waits for.
    this.#waiting = this.#waiting.filter(({ item }) => this.#outstanding.has(item.correlation))
    if (this.#outstanding.size > 0) this.#sweepTimer = this.#options.clock.setTimer(() => { this.#sweep() }, SWEEP_MS)
  }
}
