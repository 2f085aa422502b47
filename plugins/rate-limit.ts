/** Limits handshakes by address and by user; decorates `handshakeLimits`. With a Redis client the cluster counts together, without one or with Redis away each node counts alone. */
import fp from 'fastify-plugin'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Cluster, Redis } from 'ioredis'
import type { Clock } from '../src/ports.ts'
import { addressKey } from './lib/upgrade-guard.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Seconds to wait before the next handshake; undefined: it may go on. */
    handshakeLimits: {
      address (request: FastifyRequest): Promise<number | undefined>
      user (request: FastifyRequest, userId: string): Promise<number | undefined>
    }
  }
  interface FastifyRequest {
    /** Whom the user limit counts; set once the token is checked. */
    limitedUser: string
  }
}

export interface RateLimitOptions {
  readonly windowMs: number
  /** Handshakes of one address in a window; 0: no limit. */
  readonly perAddress: number
  /** Handshakes of one user in a window; 0: no limit. */
  readonly perUser: number
  /** Counts for the cluster; its command time-out has to be short. */
  readonly redis: Redis | Cluster | undefined
  readonly clock: Clock
}

/** Keys that a node counts at once; the least recently used give way. */
const MAX_KEYS = 50_000
/** While Redis is away one handshake in so long asks it, and waits for its time-out; the others count alone at once. */
const ASK_AGAIN_MS = 2_000

type Limiter = (request: FastifyRequest) => Promise<number | undefined>

export default fp<RateLimitOptions>(async function rateLimits (fastify, options) {
  if (options.windowMs < 1000) throw new RangeError('windowMs has to be at least 1000')
  const { windowMs, redis, clock } = options
  let isAway = false
  let askAgainAtMs = 0
  const alone = await limiters(fastify, windowMs)
  const together = redis === undefined ? undefined : await limiters(fastify, windowMs, redis)
  fastify.decorateRequest('limitedUser', '')
  const limiter = (max: number, keyGenerator: (request: FastifyRequest) => string): Limiter => {
    if (max === 0) return async () => undefined
    const own = alone({ max, keyGenerator })
    const shared = together?.({ max, keyGenerator })
    const count = async (request: FastifyRequest): ReturnType<typeof own> => {
      const nowMs = clock.monotonicMs()
      if (shared === undefined || (isAway && nowMs < askAgainAtMs)) return await own(request)
      askAgainAtMs = nowMs + ASK_AGAIN_MS
      try {
        const limit = await shared(request)
        isAway = false
        return limit
      } catch {
        // The library's `skipOnError` would let everybody pass.
        isAway = true
        return await own(request)
      }
    }
    return async (request) => {
      const limit = await count(request)
      return !limit.isAllowed && limit.isExceeded ? limit.ttlInSeconds : undefined
    }
  }
  const address = limiter(options.perAddress, (request) => `address:${addressKey(request.ip)}`)
  const user = limiter(options.perUser, (request) => `user:${request.limitedUser}`)
  fastify.decorate('handshakeLimits', {
    address,
    user: async (request: FastifyRequest, userId: string) => {
      request.limitedUser = userId
      return user(request)
    }
  })
}, { name: 'rate-limit', fastify: '5.x' })

/** Makes limiters over one store, in a context of its own: the library has one store for each. */
async function limiters (fastify: FastifyInstance, windowMs: number, redis?: Redis | Cluster): Promise<FastifyInstance['createRateLimit']> {
  const made: { create?: FastifyInstance['createRateLimit'] } = {}
  await fastify.register(async (scope) => {
    await scope.register(rateLimit, { global: false, max: 1, timeWindow: windowMs, cache: MAX_KEYS, ...(redis !== undefined && { redis, nameSpace: 'gateway-handshakes-' }) })
    made.create = scope.createRateLimit
  })
  return made.create as FastifyInstance['createRateLimit']
}
