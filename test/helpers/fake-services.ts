/**
 * Stand-in Auth, IM and User services on a real gRPC server on loopback. Each remembers its calls and can be told to be
 * slow, to refuse, to fail, to fall silent, or to die after it has accepted.
 */
import { Server, ServerCredentials, status, type ChannelOptions, type ServerDuplexStream } from '@grpc/grpc-js'
import { AuthServiceDefinition, type ValidateTokenResponse } from '../../src/generated/auth/v1/auth.ts'
import {
  IMServiceDefinition, type IMErrorCode, type RouteBatch, type RouteBatchReply, type RouteGroupMessageRequest,
  type RoutePrivateMessageRequest, type RouteReply
} from '../../src/generated/im/v1/im.ts'
import { UserServiceDefinition, type UserErrorCode } from '../../src/generated/user/v1/user.ts'
import { serviceDefinition, type HandlersOf } from '../../plugins/lib/grpc-service.ts'

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

type Failure = { readonly code: status, readonly details: string }
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
      for (const { correlation, message } of batch.items) {
        if (message === undefined) continue
        open++
        const recipient = message.$case === 'private' ? message.value.recipientId : message.value.groupId
        this.answer({ kind: message.$case, via: 'stream', recipient, message: message.value, traceparent: undefined }, (failure, answer) => {
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

export class FakeAuth {
  /** Tokens that were asked for, in order. */
  readonly asked: string[] = []
  behave: (token: string) => Partial<ValidateTokenResponse> & { readonly status?: status, readonly silent?: boolean } = () => ({})

  handlers (): HandlersOf<typeof AuthServiceDefinition> {
    return {
      validateToken: ({ request }, done) => {
        this.asked.push(request.accessToken)
        const { status: code, silent, ...answer } = this.behave(request.accessToken)
        if (silent === true) return
        if (code !== undefined) done({ code, details: 'told to fail' })
        else done(null, { valid: true, userId: '', deviceId: '', expiresAt: undefined, errorCode: 0, errorMessage: '', ...claimsOf(request.accessToken), ...answer })
      }
    }
  }
}

export class FakeUsers {
  readonly groups = new Map<string, string[]>()
  /** Calls by method. */
  readonly calls: string[] = []
  behave: (method: 'getGroupMembers' | 'validateGroupMembership', groupId: string) => Behaviour<UserErrorCode> | undefined = () => undefined

  handlers (): HandlersOf<typeof UserServiceDefinition> {
    return {
      getGroupMembers: ({ request }, done) => {
        const all = this.groups.get(request.groupId)
        const from = Number(request.cursor === '' ? 0 : request.cursor)
        const page = (all ?? []).slice(from, from + request.limit)
        const hasMore = from + page.length < (all?.length ?? 0)
        this.#answer('getGroupMembers', request.groupId, all === undefined, done, (errorCode) => ({
          members: page.map((userId) => ({ userId, groupId: request.groupId })),
          nextCursor: hasMore ? String(from + page.length) : '',
          totalCount: all?.length ?? 0,
          hasMore,
          errorCode,
          errorMessage: ''
        }))
      },
      validateGroupMembership: ({ request }, done) => {
        const all = this.groups.get(request.groupId)
        this.#answer('validateGroupMembership', request.groupId, all === undefined, done, (errorCode) => ({
          isMember: all?.includes(request.userId) ?? false, member: undefined, errorCode, errorMessage: ''
        }))
      }
    }
  }

  #answer<Res> (method: 'getGroupMembers' | 'validateGroupMembership', groupId: string, isUnknown: boolean, done: (failure: Failure | null, response?: Res) => void, response: (errorCode: UserErrorCode) => Res): void {
    this.calls.push(`${method} ${groupId}`)
    const { errorCode = isUnknown ? 2 : 0, status: code, delayMs = 0, silent } = this.behave(method, groupId) ?? {}
    if (silent === true) return
    const reply = () => { if (code !== undefined) done({ code, details: 'told to fail' }); else done(null, response(errorCode)) }
    if (delayMs > 0) setTimeout(reply, delayMs)
    else reply()
  }
}

/** All three services on one server. */
export class FakeServices {
  readonly auth = new FakeAuth()
  readonly im = new FakeIm()
  readonly users = new FakeUsers()
  #server: Server | undefined
  #port = 0

  /** `host:port`, as a client takes it. */
  get address (): string { return `127.0.0.1:${this.#port}` }

  /** Serves on a free port, or again on the port it had. */
  async start (options: ChannelOptions = {}, host = '127.0.0.1', port = this.#port): Promise<this> {
    // With channelz off a server forgets its sessions, and `forceShutdown` would leave them open (grpc-js 1.14.7).
    const server = new Server(options)
    server.addService(serviceDefinition(AuthServiceDefinition), this.auth.handlers())
    server.addService(serviceDefinition(IMServiceDefinition), this.im.handlers())
    server.addService(serviceDefinition(UserServiceDefinition), this.users.handlers())
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => { if (error === null) resolve(bound); else reject(error) })
    })
    this.#server = server
    return this
  }

  /** Cuts every connection and stops listening. */
  stop (): void {
    this.#server?.forceShutdown()
    this.#server = undefined
    this.im.streams.clear()
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

/** What a token claims, unchecked; nothing where it is no JWT. */
function claimsOf (token: string): Partial<ValidateTokenResponse> {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { user_id?: string, sub?: string, device_id?: string, exp?: number }
    return { userId: claims.user_id ?? claims.sub ?? '', deviceId: claims.device_id ?? '', expiresAt: claims.exp === undefined ? undefined : new Date(claims.exp * 1000) }
  } catch {
    return {}
  }
}
