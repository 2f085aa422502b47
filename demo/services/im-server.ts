/** The stand-in IM Service over gRPC: the unary calls and the stream. */
import type { ServerDuplexStream, ServerOptions } from '@grpc/grpc-js'
import { IMServiceDefinition, type RouteBatch, type RouteBatchReply, type RouteItem, type RouteReply } from '../../src/generated/im/v1/im.ts'
import { serveGrpc, unary, type GrpcHost } from '../grpc.ts'
import type { ImStandIn } from './im.ts'

/** Messages of one stream that may be under way; past it the stream is not read. */
const MAX_UNDER_WAY = 1_000

export function listenIm (im: ImStandIn, port?: number, options?: ServerOptions): Promise<GrpcHost> {
  return serveGrpc(IMServiceDefinition, {
    routePrivateMessage: unary((request) => im.routePrivate(request)),
    routeGroupMessage: unary((request) => im.routeGroup(request)),
    routeStream: (call) => { new RouteStreamServer(im, call).start() }
  }, port, options)
}

/** One gateway's stream. Replies leave as they come, those of one turn together. */
class RouteStreamServer {
  readonly #im: ImStandIn
  readonly #call: ServerDuplexStream<RouteBatch, RouteBatchReply>
  #replies: RouteReply[] = []
  #underWay = 0
  #hasEnded = false
  #isFlushing = false

  constructor (im: ImStandIn, call: ServerDuplexStream<RouteBatch, RouteBatchReply>) {
    this.#im = im
    this.#call = call
  }

  start (): void {
    this.#call.on('data', (batch: RouteBatch) => {
      for (const item of batch.items) this.#take(item)
      if (this.#underWay >= MAX_UNDER_WAY) this.#call.pause()
    })
    this.#call.on('end', () => {
      this.#hasEnded = true
      this.#endWhenDone()
    })
    // A gateway that went away: what it sent is still accepted, the answers have nowhere to go.
    this.#call.on('error', () => {})
  }

  #take ({ correlation, message }: RouteItem): void {
    if (message === undefined) return
    this.#underWay++
    const reply: Promise<RouteReply['reply']> = message.$case === 'private'
      ? this.#im.routePrivate(message.value).then((value) => ({ $case: 'private', value }))
      : this.#im.routeGroup(message.value).then((value) => ({ $case: 'group', value }))
    void reply.then((settled) => { this.#answer({ correlation, reply: settled }) })
  }

  #answer (reply: RouteReply): void {
    this.#underWay--
    this.#replies.push(reply)
    if (this.#underWay < MAX_UNDER_WAY && this.#call.isPaused()) this.#call.resume()
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => {
      this.#isFlushing = false
      const items = this.#replies
      this.#replies = []
      if (!this.#call.cancelled) this.#call.write({ items })
      this.#endWhenDone()
    })
  }

  #endWhenDone (): void {
    if (this.#hasEnded && this.#underWay === 0 && this.#replies.length === 0) this.#call.end()
  }
}
