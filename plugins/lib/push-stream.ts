/**
 * One PushStream: batches of pushes in, reports out as the pushes settle, all that settled in a turn in one message. With
 * too much unanswered, or a caller that does not read, the stream is not read: HTTP/2 flow control pushes back.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { GatewayError } from '../../src/errors.ts'
import type { PushBatch, PushMessageResponse, PushReport, PushReportItem } from '../../src/generated/gateway/v1/gateway.ts'
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
const MAX_REPORT_ITEMS = 1_000
/** How long a caller has to end the stream that it was asked to end. */
const FINISH_WAIT_MS = 1_000

export class PushStream implements PushSink {
  readonly #call: ServerDuplexStream<PushBatch, PushReport>
  readonly #options: PushStreamOptions
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
    call.on('data', (batch: PushBatch) => { this.#take(batch) })
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

  #take (batch: PushBatch): void {
    const { push, maxOutstanding } = this.#options
    const deadlineMs = leftMs(this.#call.getDeadline())
    for (const { correlation, push: request } of batch.items) {
      this.#outstanding++
      if (request === undefined) this.refused(correlation, new GatewayError('INVALID_MESSAGE', { detail: 'push must be set' }))
      else push.deliver(request, deadlineMs, this, correlation)
    }
    if (this.#outstanding >= maxOutstanding) this.#call.pause()
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
    if (this.#ending && this.#outstanding === 0 && this.#replies.length === 0 && !this.#call.writableEnded) this.#call.end()
  }

  #write (report: PushReport): void {
    if (this.#call.write(report)) return
    this.#blocked = true
    this.#call.pause()
  }

  #readOn (): void {
    if (this.#ending || this.#closed || this.#blocked) return
    if (this.#call.isPaused() && this.#outstanding < this.#options.maxOutstanding / 2) this.#call.resume()
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
