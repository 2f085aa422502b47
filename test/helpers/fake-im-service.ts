/** A stand-in IM Service: it numbers and deduplicates like the real one, and can be slow, refuse, fail, fall silent, or die after it has accepted. */
import { status, type ServerDuplexStream } from '@grpc/grpc-js'
import type {
  IMErrorCode, IMServiceDefinition, RouteBatch, RouteBatchReply, RouteGroupMessageRequest, RoutePrivateMessageRequest, RouteReply
} from '../../src/generated/im/v1/im.ts'
import type { HandlersOf } from '../../plugins/lib/grpc-service.ts'

/** What a fake does with one call instead of, or before, its usual answer. */
export interface Behaviour<Code extends number> {
  /** An application error inside an OK reply. */
  readonly errorCode?: Code
  /** A gRPC status; with `acceptFirst` only after the message was accepted. */
  readonly status?: status
  readonly acceptFirst?: boolean
  readonly delayMs?: number
  /** No answer at all. */
  readonly silent?: boolean
  readonly sequenceNumber?: bigint
}

export interface ImRequest {
  readonly kind: 'private' | 'group'
  readonly via: 'unary' | 'stream'
  readonly recipient: string
  readonly message: RoutePrivateMessageRequest | RouteGroupMessageRequest
  readonly traceparent: string | undefined
}

export type Failure = { readonly code: status, readonly details: string }
type ImAnswer = { sequenceNumber: bigint, serverTimestamp: Date, errorCode: IMErrorCode, errorMessage: string }

export class FakeIm {
  offersStream = true
  behave: (request: ImRequest) => Behaviour<IMErrorCode> | undefined = () => undefined
  /** Every request in the order of its arrival. */
  readonly requests: ImRequest[] = []
  /** Sequence numbers by `sender msg_id`. */
  readonly accepted = new Map<string, bigint>()
  readonly streams = new Set<ServerDuplexStream<RouteBatch, RouteBatchReply>>()
  /** Sizes of the batches that came. */
  readonly batches: number[] = []
  readonly #sequences = new Map<string, bigint>()

  answer (request: ImRequest, done: (failure: Failure | undefined, answer?: ImAnswer) => void): void {
    this.requests.push(request)
    const { errorCode = 0, status: code, acceptFirst, delayMs = 0, silent, sequenceNumber } = this.behave(request) ?? {}
    const isRefused = errorCode !== 0 || (code !== undefined && acceptFirst !== true)
    const sequence = isRefused ? 0n : sequenceNumber ?? this.#accept(request)
    if (silent === true) return
    const reply = () => {
      if (code !== undefined) done({ code, details: 'told to fail' })
      else done(undefined, { sequenceNumber: sequence, serverTimestamp: new Date(1_700_000_000_000), errorCode, errorMessage: 'secret detail' })
    }
    if (delayMs > 0) setTimeout(reply, delayMs)
    else reply()
  }

  handlers (): HandlersOf<typeof IMServiceDefinition> {
    return {
      routePrivateMessage: (call, done) => {
        const { request } = call
        this.answer({ kind: 'private', via: 'unary', recipient: request.recipientId, message: request, traceparent: traceparentOf(call.metadata.get('traceparent')) }, (failure, answer) => {
          done(failure ?? null, answer === undefined ? null : { ...answer, deliveryStatus: 1 })
        })
      },
      routeGroupMessage: (call, done) => {
        const { request } = call
        this.answer({ kind: 'group', via: 'unary', recipient: request.groupId, message: request, traceparent: traceparentOf(call.metadata.get('traceparent')) }, (failure, answer) => {
          done(failure ?? null, answer === undefined ? null : { ...answer, onlineMemberCount: 0, offlineMemberCount: 0 })
        })
      },
      routeStream: (call) => { this.#serveStream(call) }
    }
  }

  #serveStream (call: ServerDuplexStream<RouteBatch, RouteBatchReply>): void {
    if (!this.offersStream) {
      call.emit('error', { code: status.UNIMPLEMENTED, details: 'no such call' })
      return
    }
    this.streams.add(call)
    let open = 0
    let hasEnded = false
    const endIfDone = () => { if (hasEnded && open === 0) call.end() }
    call.on('data', (batch: RouteBatch) => {
      this.batches.push(batch.items.length)
      const replies: RouteReply[] = []
      let isAsync = false
      for (const { correlation, message, traceparent } of batch.items) {
        if (message === undefined) continue
        open++
        const recipient = message.$case === 'private' ? message.value.recipientId : message.value.groupId
        this.answer({ kind: message.$case, via: 'stream', recipient, message: message.value, traceparent: traceparent === '' ? undefined : traceparent }, (failure, answer) => {
          open--
          if (failure !== undefined) {
            call.emit('error', failure)
            return
          }
          const item = replyItem(correlation, message.$case, answer as ImAnswer)
          if (isAsync) call.write({ items: [item] })
          else replies.push(item)
          endIfDone()
        })
      }
      isAsync = true
      if (replies.length > 0) call.write({ items: replies })
    })
    call.on('error', () => {})
    call.on('cancelled', () => { this.streams.delete(call) })
    call.on('end', () => {
      this.streams.delete(call)
      hasEnded = true
      endIfDone()
    })
  }

  #accept ({ recipient, message, kind }: ImRequest): bigint {
    const id = `${message.senderId} ${message.msgId}`
    const known = this.accepted.get(id)
    if (known !== undefined) return known
    const conversation = kind === 'group' ? recipient : [message.senderId, recipient].sort().join(' ')
    const sequence = (this.#sequences.get(conversation) ?? 0n) + 1n
    this.#sequences.set(conversation, sequence)
    this.accepted.set(id, sequence)
    return sequence
  }
}

function replyItem (correlation: number, kind: 'private' | 'group', answer: ImAnswer): RouteReply {
  return {
    correlation,
    reply: kind === 'private'
      ? { $case: 'private', value: { ...answer, deliveryStatus: 1 } }
      : { $case: 'group', value: { ...answer, onlineMemberCount: 0, offlineMemberCount: 0 } }
  }
}

function traceparentOf (values: Array<string | Buffer>): string | undefined {
  return values[0]?.toString()
}
