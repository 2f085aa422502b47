/** Opens the channels to the IM Service and the User Service and closes them last. */
import fp from 'fastify-plugin'
import type { Clock, Dependency, Health, ImService, Logger, Meter, UserService } from '../src/ports.ts'
import { CallPolicy } from '../src/upstream/policy.ts'
import { ChannelPool, type ClientTlsOptions } from './lib/channel-pool.ts'
import { ImClient } from './lib/im-client.ts'
import { UserClient } from './lib/user-client.ts'

declare module 'fastify' {
  interface FastifyInstance {
    im: ImService
    /** Deadline, retry and breaker of `im`, for the sender. */
    imPolicy: CallPolicy
    users: UserService
  }
}

/** How channels to a service are opened. */
export interface ChannelOptions {
  readonly channels?: number
  readonly tls?: ClientTlsOptions | undefined
  readonly keepaliveTimeMs?: number
  readonly keepaliveTimeoutMs?: number
}

export interface UpstreamOptions extends ChannelOptions {
  /** An address, or a ready service (tests, embedding). */
  readonly im: string | ImService
  readonly users: string | UserService
  /** For a message upstream with its retry, and for one attempt. */
  readonly imTimeoutMs: number
  readonly imAttemptTimeoutMs: number
  readonly userTimeoutMs: number
  /** Messages that may be upstream at once. */
  readonly maxInFlight: number
  readonly clock: Clock
  readonly meter: Meter
  readonly health: Health
  readonly logger: Logger
}

export default fp<UpstreamOptions>(async function upstream (fastify, options) {
  const { im, users, imTimeoutMs, imAttemptTimeoutMs, userTimeoutMs, maxInFlight, clock } = options
  if (imAttemptTimeoutMs > imTimeoutMs) throw new RangeError('imAttemptTimeoutMs is longer than imTimeoutMs')
  const imPolicy = new CallPolicy({ ...options, service: 'im', timeoutMs: imTimeoutMs, attemptTimeoutMs: imAttemptTimeoutMs })
  fastify.decorate('imPolicy', imPolicy)

  if (typeof im === 'string') {
    const pool = openPool(im, 'im', options)
    const client = new ImClient({ pool, clock, maxOutstanding: maxInFlight })
    fastify.decorate('im', client)
    fastify.addHook('onClose', async () => {
      client.close()
      pool.close()
    })
  } else {
    fastify.decorate('im', im)
  }

  if (typeof users === 'string') {
    const pool = openPool(users, 'user', options)
    const policy = new CallPolicy({ ...options, service: 'user', timeoutMs: userTimeoutMs, attemptTimeoutMs: userTimeoutMs })
    fastify.decorate('users', new UserClient(pool, policy))
    fastify.addHook('onClose', async () => { pool.close() })
  } else {
    fastify.decorate('users', users)
  }
}, { name: 'upstream', fastify: '5.x' })

function openPool (address: string, service: Dependency, options: UpstreamOptions): ChannelPool {
  const { health } = options
  const onState = (isUp: boolean, detail: string) => { if (isUp) health.up(service); else health.down(service, detail) }
  return new ChannelPool({ ...options, address, onState })
}
