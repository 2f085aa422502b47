/**
 * The IM Service over gRPC: RouteStream where the service offers it, the unary calls where it does not. A stream is tied to
 * one connection and so to one replica; it is renewed now and then, so that new replicas get their share and old connections may end.
 */
import { Metadata, status } from '@grpc/grpc-js'
import { IMServiceDefinition } from '../../src/generated/im/v1/im.ts'
import type { Clock, ImService, RouteAccepted, RouteRequest } from '../../src/ports.ts'
import { acceptedFrom, imRequest } from '../../src/upstream/im-messages.ts'
import type { ChannelPool, PooledChannel } from './channel-pool.ts'
import { methodDefinition } from './grpc-service.ts'
import { RouteStream, StreamUnsupported } from './route-stream.ts'

export interface ImClientOptions {
  readonly pool: ChannelPool
  readonly clock: Clock
  /** Messages of one stream that wait for their reply; past it: OVERLOADED. */
  readonly maxOutstanding: number
  /** After this long a stream is renewed. */
  readonly streamMaxAgeMs?: number
}

export const STREAM_MAX_AGE_MS = 60_000
/** A channel whose service had no RouteStream is asked again after this long: it may have been upgraded. */
export const STREAM_RETRY_MS = 600_000
/** Longer than any attempt: what a renewed stream still owes has settled by then. */
const FINISH_MS = 10_000

const PRIVATE = methodDefinition(IMServiceDefinition.fullName, IMServiceDefinition.methods.routePrivateMessage)
const GROUP = methodDefinition(IMServiceDefinition.fullName, IMServiceDefinition.methods.routeGroupMessage)

/** What is known of one channel. */
interface Lane { stream: RouteStream | undefined, unaryUntilMs: number }

export class ImClient implements ImService {
  readonly #options: ImClientOptions
  readonly #lanes = new WeakMap<PooledChannel, Lane>()
  readonly #streams = new Set<RouteStream>()
  #latest: RouteStream | undefined

  constructor (options: ImClientOptions) {
    this.#options = options
  }

  route (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted> {
    try {
      const stream = this.#nextStream()
      if (stream === undefined) return this.#unary(request, deadlineMs)
      return stream.isAnswered ? stream.route(request, deadlineMs) : this.#tryStream(stream, request, deadlineMs)
    } catch (error) {
      return Promise.reject(error) // the pool is closed
    }
  }

  /** Ends all streams; the channels are their pool's. */
  close (): void {
    for (const stream of this.#streams) stream.cancel()
  }

  async #tryStream (stream: RouteStream, request: RouteRequest, deadlineMs: number): Promise<RouteAccepted> {
    const { clock } = this.#options
    const startedAtMs = clock.monotonicMs()
    try {
      return await stream.route(request, deadlineMs)
    } catch (error) {
      if (!(error instanceof StreamUnsupported)) throw error
      return await this.#unary(request, Math.max(1, deadlineMs - (clock.monotonicMs() - startedAtMs)))
    }
  }

  async #unary (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted> {
    const { pool, clock } = this.#options
    const metadata = new Metadata()
    if (request.traceparent !== undefined) metadata.set('traceparent', request.traceparent)
    const reply = request.kind === 'private'
      ? await pool.unary(PRIVATE, imRequest(request), deadlineMs, metadata)
      : await pool.unary(GROUP, imRequest(request), deadlineMs, metadata)
    return acceptedFrom(reply, clock.unixMs())
  }

  /** What comes in one turn leaves as one batch: the channels take turns by batches. Undefined: the service wants unary calls. */
  #nextStream (): RouteStream | undefined {
    if (this.#latest?.isCollecting === true) return this.#latest
    const { pool, clock } = this.#options
    const nowMs = clock.monotonicMs()
    const channel = pool.next()
    const lane = this.#laneOf(channel)
    this.#latest = lane.unaryUntilMs > nowMs ? undefined : this.#streamOf(channel, lane, nowMs)
    return this.#latest
  }

  #laneOf (channel: PooledChannel): Lane {
    let lane = this.#lanes.get(channel)
    if (lane === undefined) this.#lanes.set(channel, lane = { stream: undefined, unaryUntilMs: -Infinity })
    return lane
  }

  #streamOf (channel: PooledChannel, lane: Lane, nowMs: number): RouteStream {
    const { clock, pool, maxOutstanding, streamMaxAgeMs = STREAM_MAX_AGE_MS } = this.#options
    const old = lane.stream
    if (old !== undefined && !old.isOver && nowMs - old.openedAtMs < streamMaxAgeMs) return old
    if (old !== undefined && !old.isOver) this.#retire(old)
    const stream = new RouteStream({
      channel,
      clock,
      maxOutstanding,
      onEnd: (code) => {
        this.#streams.delete(stream)
        if (code === status.UNIMPLEMENTED) lane.unaryUntilMs = clock.monotonicMs() + STREAM_RETRY_MS
        pool.ended(channel, code)
      }
    })
    this.#streams.add(stream)
    lane.stream = stream
    return stream
  }

  #retire (stream: RouteStream): void {
    stream.finish()
    this.#options.clock.setTimer(() => { if (!stream.isOver) stream.cancel() }, FINISH_MS)
  }
}
