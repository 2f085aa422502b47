/** One RouteStream on one channel: the gRPC call below `RouteBatcher`. */
import { Metadata, status, type ClientDuplexStream, type StatusObject } from '@grpc/grpc-js'
import { GatewayError } from '../../src/errors.ts'
import { IMServiceDefinition, type RouteBatch, type RouteBatchReply } from '../../src/generated/im/v1/im.ts'
import type { Clock, RouteAccepted, RouteRequest } from '../../src/ports.ts'
import { RouteBatcher } from '../../src/upstream/stream-batching.ts'
import type { PooledChannel } from './channel-pool.ts'
import { methodDefinition } from './grpc-service.ts'

const METHOD = methodDefinition(IMServiceDefinition.fullName, IMServiceDefinition.methods.routeStream)

/** The service has no RouteStream; nothing that was written to it was taken. */
export class StreamUnsupported extends Error {
  constructor () {
    super('the IM Service does not offer RouteStream')
    this.name = 'StreamUnsupported'
  }
}

export interface RouteStreamOptions {
  readonly channel: PooledChannel
  readonly clock: Clock
  readonly maxOutstanding: number
  /** Called once when the stream is over. */
  readonly onEnd: (code: StatusObject['code']) => void
}

export class RouteStream {
  readonly openedAtMs: number
  readonly #call: ClientDuplexStream<RouteBatch, RouteBatchReply>
  readonly #batcher: RouteBatcher
  #isOver = false
  #isAnswered = false

  constructor (options: RouteStreamOptions) {
    const { channel, clock, maxOutstanding, onEnd } = options
    this.openedAtMs = clock.monotonicMs()
    const call = channel.client.makeBidiStreamRequest(METHOD.path, METHOD.requestSerialize, METHOD.responseDeserialize, new Metadata())
    this.#call = call
    const batcher = new RouteBatcher({ clock, maxOutstanding, write: (batch) => call.write(batch) })
    this.#batcher = batcher
    call.on('data', (replies: RouteBatchReply) => {
      this.#isAnswered = true
      batcher.receive(replies)
      // The channel works, whatever becomes of this stream.
      channel.failuresInRow = 0
    })
    call.on('drain', () => { batcher.drained() })
    call.on('error', () => { /* its status follows */ })
    call.on('status', (end: StatusObject) => {
      this.#isOver = true
      batcher.fail(end.code === status.UNIMPLEMENTED && !this.#isAnswered
        ? new StreamUnsupported()
        : new GatewayError('SERVICE_UNAVAILABLE', { cause: end, detail: `RouteStream ended: ${status[end.code] ?? end.code} ${end.details}` }))
      onEnd(end.code)
    })
  }

  /** Whether nothing more can be sent on it. */
  get isOver (): boolean { return this.#isOver }
  /** Whether a reply has come: the service has the call, `route` rejects with StreamUnsupported no more. */
  get isAnswered (): boolean { return this.#isAnswered }
  /** Messages that wait for a reply. */
  get outstanding (): number { return this.#batcher.outstanding }
  /** Whether a batch is being collected that another message could join. */
  get isCollecting (): boolean { return !this.#isOver && this.#batcher.isCollecting }

  /** As ImService's, but rejects with StreamUnsupported where the service has no such call. */
  route (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted> {
    return this.#batcher.route(request, deadlineMs)
  }

  /** No more messages; the replies of those under way are awaited. */
  finish (): void {
    this.#batcher.finish()
    this.#call.end()
  }

  cancel (): void {
    this.#call.cancel()
  }
}
