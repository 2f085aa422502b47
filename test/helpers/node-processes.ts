/** Nodes as processes on real etcd, Redis and Kafka. */
import { pino } from 'pino'
import type { Test } from 'tap'
import { within } from '../../demo/client.ts'
import type { Gateway } from '../../demo/gateway.ts'
import type { Outside } from '../../demo/outside.ts'
import { openReal } from '../../demo/outside-real.ts'
import { MemoryMessageStore } from '../../demo/stores/memory-message-store.ts'
import { World, type WorldWatch } from '../../demo/world.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { startService, type Services, type ServicesOptions } from './services.ts'

export const PATIENCE_MS = 90_000
const REGISTRY_TTL_MS = 10_000
const TOKEN_TTL_MS = 3_600_000

export interface Nodes { readonly services: Services, readonly world: World, readonly outside: Outside, readonly nodes: Gateway[], readonly run: string }

export interface NodesOptions extends Pick<ServicesOptions, 'kafkaProperties'> {
  readonly ttlMs?: number
  /** Life of the tokens that the stand-in Auth Service signs. */
  readonly tokenTtlMs?: number
  /** Puts something between the nodes and etcd, `host:port`; the rest of the world goes straight. */
  readonly throughProxy?: (address: string) => Promise<string>
  /** Of all nodes, over what is usual here. */
  readonly settings?: Readonly<Record<string, string>>
  /** Puts something around the store and the producer of the stand-in services. */
  readonly around?: (outside: Outside) => Outside
  readonly watch?: WorldWatch
}

/** Starts them in their order; everything ends with the test. */
export async function startNodes (t: Test, names: readonly string[], { ttlMs = REGISTRY_TTL_MS, tokenTtlMs = TOKEN_TTL_MS, throughProxy = async (address) => address, settings = {}, around = (outside) => outside, watch = {}, ...ofServices }: NodesOptions = {}): Promise<Nodes> {
  const services = await startService(['etcd', 'redis', 'kafka'], ofServices)
  t.teardown(() => services.stop())
  const run = `${process.pid.toString(36)}${Date.now().toString(36)}`
  // What is looked at is the gateways: a thousand commits a second are not their work.
  const outside = around(await openReal({ ...services.env, KAFKA_GROUP_ID: `test-${run}` }, systemClock, pino({ level: 'silent' }), new MemoryMessageStore()))
  const world = await World.start({
    outside,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    accessTokenTtlMs: tokenTtlMs,
    refreshTokenTtlMs: tokenTtlMs,
    httpPort: 0,
    processes: true,
    gatewayEnv: { ETCD_ENDPOINTS: `http://${await throughProxy(services.address('ETCD_ENDPOINTS').replace('http://', ''))}`, REGISTRY_TTL: `${ttlMs / 1000}s`, REGISTRY_RENEW_INTERVAL: '3s', DRAIN_TIMEOUT: '20s', HANDSHAKES_PER_IP: '0', HANDSHAKES_PER_USER: '0', MAX_PENDING_HANDSHAKES_PER_IP: '5000', LOG_LEVEL: 'warn', ...settings },
    watch
  })
  t.teardown(() => within(world.close(), 'end', PATIENCE_MS))
  const nodes: Gateway[] = []
  for (const name of names) nodes.push(await world.startGateway(name))
  return { services, world, outside, nodes, run }
}
