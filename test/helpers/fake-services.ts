/**
 * Stand-in Auth, IM and User services on a real gRPC server on loopback. Each remembers its calls and can be told to be
 * slow, to refuse, to fail or to fall silent.
 */
import { Server, ServerCredentials, type ChannelOptions, type status } from '@grpc/grpc-js'
import { AuthServiceDefinition, type ValidateTokenResponse } from '../../src/generated/auth/v1/auth.ts'
import { IMServiceDefinition } from '../../src/generated/im/v1/im.ts'
import { UserServiceDefinition, type UserErrorCode } from '../../src/generated/user/v1/user.ts'
import { serviceDefinition, type HandlersOf } from '../../plugins/lib/grpc-service.ts'
import { FakeIm, type Behaviour, type Failure } from './fake-im-service.ts'

class FakeAuth {
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

class FakeUsers {
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
  async start (options: ChannelOptions = {}, credentials = ServerCredentials.createInsecure()): Promise<this> {
    // With channelz off a server forgets its sessions, and `forceShutdown` would leave them open (grpc-js 1.14.7).
    const server = new Server(options)
    server.addService(serviceDefinition(AuthServiceDefinition), this.auth.handlers())
    server.addService(serviceDefinition(IMServiceDefinition), this.im.handlers())
    server.addService(serviceDefinition(UserServiceDefinition), this.users.handlers())
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, credentials, (error, bound) => { if (error === null) resolve(bound); else reject(error) })
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

/** What a token claims, unchecked; nothing where it is no JWT. */
function claimsOf (token: string): Partial<ValidateTokenResponse> {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { user_id?: string, sub?: string, device_id?: string, exp?: number }
    return { userId: claims.user_id ?? claims.sub ?? '', deviceId: claims.device_id ?? '', expiresAt: claims.exp === undefined ? undefined : new Date(claims.exp * 1000) }
  } catch {
    return {}
  }
}
