/** Owns the connection to Redis; decorates `sharedCache` and `redisClient`. A node starts and serves without it. */
import fp from 'fastify-plugin'
import redis from '@fastify/redis'
import type { Cluster, Redis } from 'ioredis'
import type { RedisAddress } from '../src/config/addresses.ts'
import type { Clock, Health, SharedCache } from '../src/ports.ts'
import { RedisCache } from './lib/redis-cache.ts'
import { openRedis, type RedisClientOptions } from './lib/redis-client.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Second level of the group member cache; undefined: there is none. */
    sharedCache: SharedCache | undefined
    redisClient: Redis | Cluster | undefined
  }
}

export interface CacheOptions extends Omit<RedisClientOptions, 'address' | 'name'> {
  /** undefined: no Redis, unless `client` is given. */
  readonly address: RedisAddress | undefined
  /** A client that is open or opens by itself (embedding, tests); it is closed here. */
  readonly client?: Redis | Cluster
  /** A ready cache instead of Redis; null: none. */
  readonly cache?: SharedCache | null | undefined
  readonly nodeId: string
  /** How long Redis keeps a group's members. */
  readonly ttlMs: number
  readonly clock: Clock
  readonly health: Health
}

export default fp<CacheOptions>(async function cache (fastify, options) {
  if (options.ttlMs < 1) throw new RangeError('ttlMs has to be at least 1')
  const { address, nodeId } = options
  const client = options.cache === undefined ? options.client ?? (address && openRedis({ ...options, address, name: `im-gateway-${nodeId}` })) : undefined
  fastify.decorate<Redis | Cluster | undefined, 'redisClient'>('redisClient', client)
  if (client === undefined) {
    fastify.decorate('sharedCache', options.cache ?? undefined)
    return
  }
  const shared = new RedisCache({ ...options, client })
  fastify.decorate('sharedCache', shared)
  fastify.addHook('onClose', async () => { await shared.close() })
  await fastify.register(redis, { client: passingBoot(client) as Redis, closeClient: false })
}, { name: 'cache', fastify: '5.x' })

/** @fastify/redis holds the boot up until `status` says ready, and fails it after ten seconds; all else goes to the client. */
function passingBoot (client: Redis | Cluster): Redis | Cluster {
  return new Proxy(client, {
    get (target, name) {
      if (name === 'status') return 'ready'
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}
