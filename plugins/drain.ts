/** Owns the drain over the connections of this node; decorates `drain`. */
import fp from 'fastify-plugin'
import { Drain } from '../src/connections/drain.ts'
import type { Hub } from '../src/connections/hub.ts'
import type { Outbox } from '../src/connections/outbox.ts'
import type { Sessions } from '../src/connections/sessions.ts'
import type { Clock } from '../src/ports.ts'

declare module 'fastify' {
  interface FastifyInstance {
    drain: Drain
  }
}

export interface DrainPluginOptions {
  readonly core: { readonly hub: Hub, readonly outbox: Pick<Outbox, 'send'>, readonly sessions: Pick<Sessions, 'close'> }
  readonly clock: Clock
  /** 0 to 1; spreads the reconnects. */
  readonly random: () => number
}

export default fp<DrainPluginOptions>(async function drain (fastify, { core, clock, random }) {
  fastify.decorate('drain', new Drain({
    hub: core.hub,
    outbox: core.outbox,
    clock,
    random,
    logger: fastify.log,
    health: fastify.health,
    target: {
      stopReading: (connection) => { connection.draining = true },
      isBusy: ({ inbox, sending, pending }) => inbox !== null || sending !== null || pending !== null,
      close: (connection) => { core.sessions.close(connection, 'shutdown') }
    }
  }))
}, { name: 'drain', fastify: '5.x', dependencies: ['health'] })
