/** The logic of one RouteStream: messages in batches, replies in any order. Knows no gRPC. */
import { CallBatcher } from '../call-batcher.ts'
import { GatewayError } from '../errors.ts'
import type { RouteBatch, RouteBatchReply, RouteItem } from '../generated/im/v1/im.ts'
import type { Clock, RouteAccepted, RouteRequest } from '../ports.ts'
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

export class RouteBatcher {
  readonly #clock: Clock
  readonly #calls: CallBatcher<RouteItem, RouteAccepted>

  constructor (options: RouteBatcherOptions) {
    this.#clock = options.clock
    this.#calls = new CallBatcher({ ...options, write: (items) => options.write({ items }) })
  }

  /** Messages without a reply so far. */
  get outstanding (): number { return this.#calls.outstanding }
  /** Whether a batch is being collected that another message could join. */
  get isCollecting (): boolean { return this.#calls.isCollecting }

  /** One attempt. Rejects with the IM Service's refusal, DEADLINE_EXCEEDED, OVERLOADED, or what `fail` was given. */
  route (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted> {
    return this.#calls.call((correlation) => routeItem(correlation, request), maxItemBytes(request), deadlineMs)
  }

  /** Writes all that waits, full or not: the stream is about to end. */
  finish (): void {
    this.#calls.finish()
  }

  /** The stream takes more. */
  drained (): void {
    this.#calls.drained()
  }

  /** Replies in any order. */
  receive (batch: RouteBatchReply): void {
    const nowMs = this.#clock.unixMs()
    for (const { correlation, reply } of batch.items) {
      try {
        if (reply === undefined) throw new GatewayError('INTERNAL_ERROR', { detail: 'the IM Service sent a reply without content' })
        this.#calls.resolve(correlation, acceptedFrom(reply.value, nowMs))
      } catch (error) {
        this.#calls.reject(correlation, error as GatewayError)
      }
    }
  }

  /** The stream has ended: everything without a reply is rejected with this error, and all that comes later. */
  fail (error: Error): void {
    this.#calls.fail(error)
  }
}
