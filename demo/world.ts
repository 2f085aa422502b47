/**
 * The whole chat system on one machine: the stand-in services over gRPC and HTTP on loopback, and gateways built the way
 * the production entry builds them.
 */
import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { PushMessageRequest, PushMessageResponse } from '../src/generated/gateway/v1/gateway.ts'
import type { Clock } from '../src/ports.ts'
import { portOf, startGateway, type Gateway, type Ports } from './gateway.ts'
import { GatewayClient } from './gateway-client.ts'
import { startGatewayProcess, type ProcessWatch } from './gateway-process.ts'
import type { GrpcHost } from './grpc.ts'
import { buildHttp } from './http.ts'
import type { Outside } from './outside.ts'
import { AuthStandIn } from './services/auth.ts'
import { Delivery } from './services/delivery.ts'
import { Directory } from './services/directory.ts'
import { GroupPublisher } from './services/group-publisher.ts'
import { listenIm } from './services/im-server.ts'
import { ImStandIn } from './services/im.ts'
import { MembershipClient } from './services/membership-client.ts'
import { RegistryView } from './services/registry-view.ts'
import { Receipts } from './services/receipts.ts'
import { UsersStandIn } from './services/users.ts'

export interface WorldOptions {
  readonly outside: Outside
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
  readonly accessTokenTtlMs: number
  readonly refreshTokenTtlMs: number
  /** Of tokens, history and groups; 0 takes a free one. */
  readonly httpPort: number
  /** Whether each gateway is a process of its own; for real outside systems alone. */
  readonly processes: boolean
  /** Settings of all gateways beyond addresses and credentials. */
  readonly gatewayEnv: Readonly<Record<string, string>>
  readonly watch?: WorldWatch
  /** Adds to the HTTP side before it listens. */
  readonly extend?: (http: FastifyInstance, world: World) => void
}

/** Who wants to know what goes on; of gateways that are processes of their own, and of pushes to all. */
export interface WorldWatch extends ProcessWatch {
  /** The outcome of a push by the IM Service; `response` is undefined where the call failed. */
  readonly onPush?: (request: PushMessageRequest, response: PushMessageResponse | undefined, startedMs: number) => void
}

const SECRET_BYTES = 32

export class World {
  readonly auth: AuthStandIn
  readonly users: UsersStandIn
  readonly im: ImStandIn
  readonly directory: Directory
  readonly gatewayClient: GatewayClient
  /** What callers of the gateways' gRPC show. */
  readonly bearer = `demo-${randomBytes(12).toString('hex')}`
  readonly #options: WorldOptions
  readonly #secret = randomBytes(SECRET_BYTES).toString('base64url')
  readonly #view: RegistryView
  readonly #http: FastifyInstance
  readonly #gateways = new Set<Gateway>()
  #hosts: readonly [auth: GrpcHost, im: GrpcHost, user: GrpcHost] | undefined
  #memberships: MembershipClient | undefined

  private constructor (options: WorldOptions) {
    const { outside, clock, logger, accessTokenTtlMs, refreshTokenTtlMs } = options
    const { producer, store } = outside
    this.#options = options
    this.#view = new RegistryView({ kv: outside.kv, clock, logger })
    this.directory = new Directory(outside.kv, this.#view)
    this.gatewayClient = new GatewayClient({ bearer: this.bearer, clock })
    this.auth = new AuthStandIn({
      secret: this.#secret,
      accessTokenTtlMs,
      refreshTokenTtlMs,
      announceRevocation: (userId, deviceId, before) => this.directory.announceRevocation(userId, deviceId, before, accessTokenTtlMs),
      clock
    })
    this.users = new UsersStandIn({ producer, clock })
    const isMember = async (groupId: string, userId: string): Promise<boolean | undefined> => {
      if (this.#memberships === undefined) throw new Error('the User Service does not listen')
      return await this.#memberships.isMember(groupId, userId)
    }
    this.im = new ImStandIn({
      store,
      delivery: new Delivery({
        locate: (userId) => this.directory.locate(userId),
        push: (gateway, request, deadlineMs) => this.push(gateway, request, deadlineMs),
        clock,
        logger
      }),
      publisher: new GroupPublisher({ producer, store, clock }),
      isUser: (userId) => this.users.isUser(userId),
      isMember,
      clock,
      logger
    })
    const receipts = new Receipts({
      store,
      producer,
      anyGateway: () => this.directory.anyGateway(),
      push: (gateway, request, deadlineMs) => this.gatewayClient.pushReadReceipt(gateway, request, deadlineMs),
      isMember,
      clock
    })
    this.#http = buildHttp({ auth: this.auth, users: this.users, receipts, store })
    options.extend?.(this.#http, this)
  }

  /** The services without a gateway; rejects where a port is taken. */
  static async start (options: WorldOptions): Promise<World> {
    const world = new World(options)
    try {
      world.#view.start()
      world.#hosts = [await world.auth.listen(), await listenIm(world.im), await world.users.listen()]
      world.#memberships = new MembershipClient(world.#hosts[2].address, options.clock)
      await world.#http.listen({ host: '127.0.0.1', port: options.httpPort })
      return world
    } catch (error) {
      await world.close()
      throw error
    }
  }

  /** Of the stand-in services' HTTP side. */
  get httpUrl (): string {
    return `http://127.0.0.1:${portOf(this.#http)}`
  }

  /** What any gateway in this world is started with. */
  get gatewayEnv (): Readonly<Record<string, string>> {
    if (this.#hosts === undefined) throw new Error('the services do not listen')
    const [auth, im, user] = this.#hosts
    return {
      ...this.#options.outside.env,
      ...this.#options.gatewayEnv,
      GRPC_AUTH_TOKEN: this.bearer,
      JWT_SECRET: this.#secret,
      AUTH_SERVICE_ADDR: auth.address,
      IM_SERVICE_ADDR: im.address,
      USER_SERVICE_ADDR: user.address
    }
  }

  /** One more node; ports 0 are free ones, `settings` are its own. Rejects where a port is taken. */
  async startGateway (nodeId: string, ports: Ports = { ws: 0, grpc: 0 }, settings: Readonly<Record<string, string>> = {}): Promise<Gateway> {
    const { outside, clock, logger, processes, watch } = this.#options
    const { directory } = this
    const env = { ...this.gatewayEnv, ...settings }
    const gateway = processes
      ? await startGatewayProcess({ nodeId, ports, env, directory, watch })
      : await startGateway({ nodeId, ports, env, adapters: outside.adapters(), directory, clock, logger })
    this.#gateways.add(gateway)
    return gateway
  }

  /** As the IM Service pushes; whoever watches is told. */
  async push (gateway: string, request: PushMessageRequest, deadlineMs: number): Promise<PushMessageResponse> {
    const { clock, watch } = this.#options
    const startedMs = clock.monotonicMs()
    try {
      const response = await this.gatewayClient.pushMessage(gateway, request, deadlineMs)
      watch?.onPush?.(request, response, startedMs)
      return response
    } catch (error) {
      watch?.onPush?.(request, undefined, startedMs)
      throw error
    }
  }

  /** Ends a gateway as `kill -9` would. */
  async kill (gateway: Gateway): Promise<void> {
    this.#gateways.delete(gateway)
    await gateway.kill()
  }

  /** Drains a gateway and ends it. */
  async stop (gateway: Gateway): Promise<void> {
    this.#gateways.delete(gateway)
    await gateway.close()
  }

  /** Gateways first, then the services they call; never rejects. */
  async close (): Promise<void> {
    await Promise.allSettled([...this.#gateways].map((gateway) => gateway.close()))
    await Promise.allSettled([this.im.close(), this.#http.close()])
    this.gatewayClient.close()
    this.#view.stop()
    this.#memberships?.close()
    await Promise.allSettled(this.#hosts?.map((host) => host.close()) ?? [])
    await Promise.allSettled([this.#options.outside.close()])
  }
}
