/**
 * The whole app in a fake world: the real sockets, gRPC and code of a node, over the in-process registry store and bus,
 * with Auth, IM and User Services that answer as the test says.
 */
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { DemoClient, type ClientOptions } from '../../demo/client.ts'
import { build, type Overrides } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { MemoryBroker } from '../../src/embedded/memory-bus.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { MemoryStore } from '../../src/embedded/memory-store.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { Clock } from '../../src/ports.ts'
import { FakeServices } from './fake-services.ts'
import { FakeLogger } from './fakes.ts'
import { signToken } from './tokens.ts'

export const SECRET = 'a secret of the tests, 32 bytes or more'
const HOUR_S = 3_600

export interface TokenOptions { readonly deviceId?: string | null, readonly ttlS?: number, readonly issuedAtS?: number }

/** A token as the fake Auth Service takes it; `deviceId` null: not bound to a device. */
export function tokenFor (userId: string, { deviceId = 'phone', ttlS = HOUR_S, issuedAtS = Math.floor(Date.now() / 1000) }: TokenOptions = {}): string {
  return signToken({ sub: userId, ...(deviceId !== null && { device_id: deviceId }), iat: issuedAtS, exp: issuedAtS + ttlS }, SECRET)
}

/** What stands around the nodes. */
export interface FakeWorld {
  readonly services: FakeServices
  readonly broker: MemoryBroker
  /** The registry's store, as etcd would hold it. */
  readonly store: MemoryStore
}

export interface TestApp extends FakeWorld {
  readonly app: FastifyInstance
  readonly kv: MemoryKv
  readonly port: number
  /** `ws://127.0.0.1:PORT/ws`. */
  readonly url: string
  connect (userId: string, options?: Partial<ClientOptions> & TokenOptions): Promise<DemoClient>
  /** Closes the clients, then the node. */
  close (): Promise<void>
  /** One metric's value, undefined where it has none. `name` with its labels, as it is exposed. */
  metric (name: string): Promise<number | undefined>
}

/** Services, registry store and broker without a node. Whoever starts it stops the services. */
export async function startWorld (clock: Clock = systemClock): Promise<FakeWorld> {
  return { services: await new FakeServices().start(), store: new MemoryStore({ clock }), broker: new MemoryBroker({ clock, logger: new FakeLogger() }) }
}

/** Starts a node on free ports in a world of its own; everything ends with the test. */
export async function startApp (t: Test, env: Readonly<Record<string, string>> = {}, overrides: Overrides = {}): Promise<TestApp> {
  const world = await startWorld(overrides.clock)
  const node = await startNode(world, env, overrides)
  t.teardown(async () => {
    await node.close()
    world.services.stop()
  })
  return node
}

/** Starts a node in a world that others may share. */
export async function startNode (world: FakeWorld, env: Readonly<Record<string, string>> = {}, overrides: Overrides = {}): Promise<TestApp> {
  const { services, store, broker } = world
  const kv = new MemoryKv({ clock: overrides.clock ?? systemClock, store })
  const config = loadConfig({
    GATEWAY_NODE_ID: 'node-1',
    WS_HOST: '127.0.0.1',
    WS_PORT: '0',
    GRPC_HOST: '127.0.0.1',
    GRPC_PORT: '0',
    AUTH_SERVICE_ADDR: services.address,
    IM_SERVICE_ADDR: services.address,
    USER_SERVICE_ADDR: services.address,
    JWT_SECRET: SECRET,
    HANDSHAKE_LIMITER: 'local',
    LOG_LEVEL: 'silent',
    // A test that wants a node to refuse for it says so: whatever else the machine does is no load of the node's.
    MAX_EVENT_LOOP_DELAY: '1m',
    ...env
  }, { requireServices: false })
  const app = await build(config, { kv, bus: broker.consumer(), sharedCache: null, ...overrides })
  const clients: DemoClient[] = []
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const url = `ws://127.0.0.1:${port}/ws`
  return {
    ...world,
    app,
    kv,
    port,
    url,
    connect: async (userId, options = {}) => {
      const client = await DemoClient.connect({ url, token: tokenFor(userId, options), ...options, ...(options.deviceId === undefined ? {} : { deviceId: options.deviceId ?? undefined }) } as ClientOptions)
      clients.push(client)
      return client
    },
    close: async () => {
      await Promise.all(clients.map((client) => client.close()))
      await app.close()
    },
    metric: async (name) => {
      const line = (await app.metrics.expose()).split('\n').find((each) => each.startsWith(`${name} `))
      return line === undefined ? undefined : Number(line.slice(name.length + 1))
    }
  }
}
