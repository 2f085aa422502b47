/** Checks tokens: the local check by @fastify/jwt, the Auth Service over gRPC, and the cache between them. */
import fp from 'fastify-plugin'
import { TokenAuthenticator } from '../src/auth/authenticator.ts'
import type { ClaimRules } from '../src/auth/claims.ts'
import type { Authenticator, AuthService, Clock, Health, Logger, Meter, Registry } from '../src/ports.ts'
import { CallPolicy } from '../src/upstream/policy.ts'
import { AuthClient } from './lib/auth-client.ts'
import { ChannelPool } from './lib/channel-pool.ts'
import { localCheck, type KeyOptions } from './lib/local-check.ts'
import type { ChannelOptions } from './upstream.ts'

declare module 'fastify' {
  interface FastifyInstance {
    authenticator: Authenticator
  }
}

export interface AuthOptions extends ChannelOptions {
  /** `local`: the local check alone decides, which needs a key; the service is not called. */
  readonly mode: 'service' | 'local'
  /** An address, or a ready service (tests, embedding); required unless `local`. */
  readonly service?: string | AuthService | undefined
  /** Deadline of a call to the Auth Service. */
  readonly timeoutMs: number
  readonly cacheTtlMs: number
  readonly cacheEntries: number
  readonly maxPendingCalls: number
  readonly jwt: KeyOptions & ClaimRules
  readonly isRevoked: Registry['isRevoked']
  readonly clock: Clock
  readonly meter: Meter
  readonly health: Health
  readonly logger: Logger
}

export default fp<AuthOptions>(async function auth (fastify, options) {
  const { mode, jwt, clock } = options
  if (mode === 'service' && options.service === undefined) throw new RangeError('mode service needs the Auth Service')
  const verifyLocal = await localCheck(fastify, jwt, clock)
  const service = mode === 'local' ? undefined : openService()
  fastify.decorate('authenticator', new TokenAuthenticator({ ...options, verifyLocal, service, rules: jwt }))

  function openService (): AuthService | undefined {
    const { service: given, health, timeoutMs } = options
    if (typeof given !== 'string') return given
    const pool = new ChannelPool({
      ...options,
      address: given,
      onState: (isUp, detail) => { if (isUp) health.up('auth'); else health.down('auth', detail) }
    })
    fastify.addHook('onClose', async () => { pool.close() })
    return new AuthClient(pool, new CallPolicy({ ...options, service: 'auth', timeoutMs, attemptTimeoutMs: timeoutMs }))
  }
}, { name: 'auth', fastify: '5.x' })
