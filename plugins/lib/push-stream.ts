/**
 * One PushStream: batches of pushes in, reports out as the pushes settle, all that settled in a turn in one message. With
 * too much unanswered, or a caller that does not read, the stream is not read: HTTP/2 flow control pushes back. A large
 * batch is worked off in slices, so that it does not keep the loop from everybody else.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { GatewayError } from '../../src/errors.ts'
import type { PushBatch, PushItem, PushMessageResponse, PushReport, PushReportItem } from '../../src/generated/gateway/v1/gateway.ts'
import type { Clock, Timer } from '../../src/ports.ts'
import type { PushSink } from '../../src/delivery/delivery.ts'
import type { Push } from '../../src/delivery/push.ts'
import { refusalText } from '../../src/delivery/refusal.ts'
import { refusedResponse } from '../../src/delivery/report.ts'
import { leftMs } from './grpc-deadline.ts'

export interface PushStreamOptions {
  readonly push: Pick<Push, 'deliver'>
  readonly clock: Clock
  /** Pushes of a stream that may be unanswered before it is no longer read. */
  readonly maxOutstanding: number
  /** After this long the caller is asked to open another stream, so that the connection below can be replaced. */
  readonly maxAgeMs: number
  readonly onClosed: (stream: PushStream) => void
}

/** Reports of one message. */
export const MAX_REPORT_ITEMS = 1_000
/** Pushes of one turn. */
const SLICE_ITEMS = 256
const NOTHING: readonly PushItem[] = []
/** How long a caller has to end the stream that it was asked to end. */
const FINISH_WAIT_MS = 1_000

export class PushStream implements PushSink {
  readonly #call: ServerDuplexStream<PushBatch, PushReport>
  readonly #options: PushStreamOptions
  /** What is left of the batch at hand; nothing is read meanwhile. */
  #batch: readonly PushItem[] = NOTHING
  #next = 0
  #working = false
  #replies: PushReportItem[] = []
  #outstanding = 0
  #flushing = false
  /** The caller does not read: replies wait for the stream's drain. */
  #blocked = false
  /** Nothing more is read; it ends with its last reply. */
  #ending = false
  #closed = false
  #timer: Timer

  constructor (call: ServerDuplexStream<PushBatch, PushReport>, options: PushStreamOptions) {
    this.#call = call
    this.#options = options
    this.#timer = options.clock.setTimer(() => { this.finish() }, options.maxAgeMs)
    call.on('data', (batch: PushBatch) => {
      this.#batch = batch.items
      this.#next = 0
      this.#work()
    })
    call.on('drain', () => {
      this.#blocked = false
      this.#flush()
      this.#readOn()
    })
    call.once('end', () => { this.#endSoon() })
    call.once('cancelled', () => { this.#close() })
    call.once('close', () => { this.#close() })
  }

  /** Pushes that have not been answered. */
  get outstanding (): number { return this.#outstanding }

  /** Asks the caller, by an empty report, to end this stream; after a second it is not read any more and ends by itself. */
  finish (): void {
    if (this.#ending || this.#closed) return
    const { clock } = this.#options
    clock.clearTimer(this.#timer)
    this.#write({ items: [] })
    this.#timer = clock.setTimer(() => {
      this.#call.pause()
      this.#endSoon()
    }, FINISH_WAIT_MS)
  }

  settled (correlation: number, response: PushMessageResponse): void {
    this.#outstanding--
    if (this.#closed) return
    this.#replies.push({ correlation, response })
    this.#flushSoon()
  }

  /** A push that cannot be done is one item's answer; the stream goes on. */
  refused (correlation: number, error: GatewayError): void {
    this.settled(correlation, refusedResponse(refusalText(error)))
  }

  #work (): void {
    const { push, maxOutstanding } = this.#options
    const deadlineMs = leftMs(this.#call.getDeadline())
    const end = Math.min(this.#next + SLICE_ITEMS, this.#batch.length)
    while (this.#next < end) {
      const { correlation, push: request, traceparent } = this.#batch[this.#next++] as PushItem
      this.#outstanding++
      if (request === undefined) this.refused(correlation, new GatewayError('INVALID_MESSAGE', { detail: 'push must be set' }))
      else push.deliver(request, deadlineMs, this, correlation, traceparent === '' ? undefined : traceparent)
    }
    if (this.#next === this.#batch.length) this.#batch = NOTHING
    else this.#workSoon()
    if (this.#batch !== NOTHING || this.#outstanding >= maxOutstanding) this.#call.pause()
  }

  #workSoon (): void {
    if (this.#working) return
    this.#working = true
    setImmediate(() => {
      this.#working = false
      this.#readOn()
    })
  }

  #flushSoon (): void {
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.#flush()
      this.#readOn()
    })
  }

  #flush (): void {
    while (this.#replies.length > 0 && !this.#blocked && !this.#closed) {
      const items = this.#replies.length <= MAX_REPORT_ITEMS ? this.#replies : this.#replies.splice(0, MAX_REPORT_ITEMS)
      if (items === this.#replies) this.#replies = []
      this.#write({ items })
    }
    if (this.#ending && this.#batch === NOTHING && this.#outstanding === 0 && this.#replies.length === 0 && !this.#call.writableEnded) this.#call.end()
  }

  #write (report: PushReport): void {
    if (this.#call.write(report)) return
    this.#blocked = true
    this.#call.pause()
  }

  /** The rest of the batch, then the next one, as far as there is room. */
  #readOn (): void {
    if (this.#closed || this.#blocked || this.#outstanding >= this.#options.maxOutstanding) return
    if (this.#batch !== NOTHING) this.#work()
    if (this.#batch === NOTHING && this.#outstanding < this.#options.maxOutstanding && !this.#ending && this.#call.isPaused()) this.#call.resume()
  }

  #endSoon (): void {
    this.#ending = true
    this.#flushSoon()
  }

  #close (): void {
    if (this.#closed) return
    this.#closed = true
    this.#replies = []
    this.#options.clock.clearTimer(this.#timer)
    this.#options.onClosed(this)
  }
}
