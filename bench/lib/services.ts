/** Stand-in IM and User Service: they number messages and know members, and keep nothing that would grow. */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import { serviceDefinition, type HandlersOf } from '../../plugins/lib/grpc-service.ts'
import { IMServiceDefinition, type RouteBatch, type RouteBatchReply, type RouteReply } from '../../src/generated/im/v1/im.ts'
import { UserServiceDefinition } from '../../src/generated/user/v1/user.ts'

export class Services {
  /** Every group has the members `u0` to `u{n-1}`. */
  members = 0
  #sequence = 0n
  #server: Server | undefined
  #port = 0

  get address (): string { return `127.0.0.1:${this.#port}` }

  async start (): Promise<void> {
    const server = new Server({ 'grpc.enable_channelz': 0 })
    server.addService(serviceDefinition(IMServiceDefinition), this.#im())
    server.addService(serviceDefinition(UserServiceDefinition), this.#users())
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => { if (error === null) resolve(port); else reject(error) })
    })
    this.#server = server
  }

  stop (): void {
    this.#server?.forceShutdown()
  }

  #answer (): { sequenceNumber: bigint, serverTimestamp: Date, errorCode: 0, errorMessage: '' } {
    return { sequenceNumber: ++this.#sequence, serverTimestamp: new Date(), errorCode: 0, errorMessage: '' }
  }

  #im (): HandlersOf<typeof IMServiceDefinition> {
    return {
      routePrivateMessage: (_call, done) => { done(null, { ...this.#answer(), deliveryStatus: 1 }) },
      routeGroupMessage: (_call, done) => { done(null, { ...this.#answer(), onlineMemberCount: 0, offlineMemberCount: 0 }) },
      routeStream: (call: ServerDuplexStream<RouteBatch, RouteBatchReply>) => {
        call.on('data', ({ items }: RouteBatch) => {
          call.write({ items: items.map(({ correlation }): RouteReply => ({ correlation, reply: { $case: 'private', value: { ...this.#answer(), deliveryStatus: 1 } } })) })
        })
        call.on('end', () => { call.end() })
        call.on('error', () => {})
      }
    }
  }

  #users (): HandlersOf<typeof UserServiceDefinition> {
    return {
      getGroupMembers: ({ request }, done) => {
        const from = Number(request.cursor === '' ? 0 : request.cursor)
        const to = Math.min(this.members, from + request.limit)
        done(null, {
          members: Array.from({ length: to - from }, (_, i) => ({ userId: `u${from + i}`, groupId: request.groupId })),
          nextCursor: to < this.members ? String(to) : '',
          totalCount: this.members,
          hasMore: to < this.members,
          errorCode: 0,
          errorMessage: ''
        })
      },
      validateGroupMembership: ({ request }, done) => {
        done(null, { isMember: Number(request.userId.slice(1)) < this.members, member: undefined, errorCode: 0, errorMessage: '' })
      }
    }
  }
}
