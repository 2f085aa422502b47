/** Stand-in IM and User Service: they number messages and know members, and keep nothing that would grow. */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { Server, ServerCredentials, type sendUnaryData, type ServerDuplexStream, type ServerUnaryCall, type ServiceDefinition } from '@grpc/grpc-js'
import { serviceDefinition, type HandlersOf } from '../../plugins/lib/grpc-service.ts'
import { IMServiceDefinition, type RouteBatch, type RouteBatchReply, type RouteReply } from '../../src/generated/im/v1/im.ts'
import { UserServiceDefinition } from '../../src/generated/user/v1/user.ts'

/** Of centrifugal.centrifugo.proxy.RPCRequest the JSON that a client sent. */
const DATA_FIELD = 12

/** What Centrifugo calls for a client's RPC: its data in, the data of the reply out (proxy.proto of Centrifugo). */
const CENTRIFUGO_PROXY: ServiceDefinition = {
  rPC: {
    path: '/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC',
    requestStream: false,
    responseStream: false,
    requestSerialize: (text: string) => Buffer.from(text),
    requestDeserialize: (bytes: Buffer) => {
      const reader = new BinaryReader(bytes)
      let data = ''
      while (reader.pos < reader.len) {
        const [field, type] = reader.tag()
        if (field === DATA_FIELD && type === WireType.LengthDelimited) data = Buffer.from(reader.bytes()).toString()
        else reader.skip(type)
      }
      return data
    },
    // RPCResponse { result = 1: RPCResult { data = 1 } }
    responseSerialize: (value: object) => Buffer.from(new BinaryWriter().uint32(10).fork().uint32(10).bytes(Buffer.from(JSON.stringify(value))).join().finish()),
    responseDeserialize: (bytes: Buffer) => bytes
  }
}

export class Services {
  /** Every group has so many members: `u0` and those after it; of a group `g{n}` the first is n × members further on. */
  members = 0
  /** After so many the members begin again at `u0`. */
  users = Infinity
  #sequence = 0n
  #received: Set<string> | undefined
  #server: Server | undefined
  #port = 0

  get address (): string { return `127.0.0.1:${this.#port}` }

  async start (): Promise<void> {
    const server = new Server({ 'grpc.enable_channelz': 0 })
    server.addService(serviceDefinition(IMServiceDefinition), this.#im())
    server.addService(serviceDefinition(UserServiceDefinition), this.#users())
    server.addService(CENTRIFUGO_PROXY, {
      rPC: ({ request }: ServerUnaryCall<string, object>, done: sendUnaryData<object>) => {
        const { msg_id: msgId } = JSON.parse(request) as { msg_id: string }
        const { sequenceNumber, serverTimestamp } = this.#answer(msgId)
        done(null, { type: 'ack', msg_id: msgId, sequence_number: Number(sequenceNumber), timestamp: serverTimestamp.getTime() })
      }
    })
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => { if (error === null) resolve(port); else reject(error) })
    })
    this.#server = server
  }

  stop (): void {
    this.#server?.forceShutdown()
  }

  /** The ids of all messages that clients send from now on. */
  remember (): ReadonlySet<string> {
    this.#received = new Set()
    return this.#received
  }

  forget (): void {
    this.#received = undefined
  }

  #answer (msgId: string): { sequenceNumber: bigint, serverTimestamp: Date, errorCode: 0, errorMessage: '' } {
    this.#received?.add(msgId)
    return { sequenceNumber: ++this.#sequence, serverTimestamp: new Date(), errorCode: 0, errorMessage: '' }
  }

  #first (groupId: string): number {
    const [, n = '0'] = /^g(\d+)$/.exec(groupId) ?? []
    return Number(n) * this.members % this.users
  }

  #im (): HandlersOf<typeof IMServiceDefinition> {
    return {
      routePrivateMessage: ({ request }, done) => { done(null, { ...this.#answer(request.msgId), deliveryStatus: 1 }) },
      routeGroupMessage: ({ request }, done) => { done(null, { ...this.#answer(request.msgId), onlineMemberCount: 0, offlineMemberCount: 0 }) },
      routeStream: (call: ServerDuplexStream<RouteBatch, RouteBatchReply>) => {
        call.on('data', ({ items }: RouteBatch) => {
          call.write({ items: items.map(({ correlation, message }): RouteReply => ({ correlation, reply: { $case: 'private', value: { ...this.#answer(message?.value.msgId ?? ''), deliveryStatus: 1 } } })) })
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
          members: Array.from({ length: to - from }, (_, i) => ({ userId: `u${(this.#first(request.groupId) + from + i) % this.users}`, groupId: request.groupId })),
          nextCursor: to < this.members ? String(to) : '',
          totalCount: this.members,
          hasMore: to < this.members,
          errorCode: 0,
          errorMessage: ''
        })
      },
      validateGroupMembership: ({ request }, done) => {
        const place = Number(request.userId.slice(1)) - this.#first(request.groupId)
        done(null, { isMember: (place < 0 ? place + this.users : place) < this.members, member: undefined, errorCode: 0, errorMessage: '' })
      }
    }
  }
}
