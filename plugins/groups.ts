/** Puts group records through to the members that are here: membership, fan-out and consumer behind the group bus. */
import fp from 'fastify-plugin'
import type { Clock, Logger, Meter } from '../src/ports.ts'
import { GroupConsumer } from '../src/groups/consumer.ts'
import { FanOut } from '../src/groups/fan-out.ts'
import type { LineLimits } from '../src/groups/group-line.ts'
import { Membership } from '../src/groups/membership.ts'

export interface GroupsOptions extends LineLimits {
  readonly largeGroupSize: number
  readonly membershipCacheBytes: number
  readonly cacheTtlMs: number
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
}

/** Less would hold no group of some size. */
const MIN_CACHE_BYTES = 65_536

export default fp<GroupsOptions>(async function groups (fastify, options) {
  for (const name of ['largeGroupSize', 'cacheTtlMs', 'maxWaitingRecords', 'maxWaitingBytes'] as const) {
    if (options[name] < 1) throw new RangeError(`${name} has to be at least 1`)
  }
  if (options.membershipCacheBytes < MIN_CACHE_BYTES) throw new RangeError(`membershipCacheBytes has to be at least ${MIN_CACHE_BYTES}`)
  const { hub, outbox, recorder } = fastify.gateway
  const membership = new Membership({ ...options, hub, users: fastify.users, sharedCache: fastify.sharedCache })
  const consumer = new GroupConsumer({ ...options, tracer: fastify.tracer, recorder, hub, outbox, membership, fanOut: new FanOut({ outbox }) })
  // Only when everything else is ready: what is fetched can be handed over at once.
  fastify.addHook('onReady', async () => { fastify.groupBus.start((record) => consumer.handle(record)) })
  fastify.addHook('onClose', async () => { consumer.stop() })
}, { name: 'groups', fastify: '5.x', dependencies: ['connections', 'upstream', 'cache', 'kafka'] })
