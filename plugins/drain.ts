/** Owns the drain over the connections of this node, and tells the other nodes what this one can take; decorates `drain`. */
import { performance } from 'node:perf_hooks'
import fp from 'fastify-plugin'
import { Drain } from '../src/connections/drain.ts'
import { Intake, type LoopTime } from '../src/registry/intake.ts'
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
  readonly core: { readonly hub: Hub, readonly outbox: Pick<Outbox, 'send'>, readonly sessions: Pick<Sessions, 'close' | 'accepted'> }
  readonly clock: Clock
  /** 0 to 1; spreads the reconnects. */
  readonly random: () => number
  /** A fake in tests. */
  readonly loop?: () => LoopTime
}

export default fp<DrainPluginOptions>(async function drain (fastify, { core, clock, random, loop = () => performance.eventLoopUtilization() }) {
  const { health, meter, registry } = fastify
  const intake = new Intake({
    clock, loop, handshakes: () => core.sessions.accepted, announce: (connectsPerSecond) => { registry.announce(connectsPerSecond) }
  })
  meter.source('connects_per_second', () => intake.connectsPerSecond)
  fastify.decorate('drain', new Drain({
    hub: core.hub,
    outbox: core.outbox,
    clock,
    random,
    logger: fastify.log,
    meter,
    room: () => registry.room,
    health: {
      draining: () => { health.draining(); intake.setClosed(true) },
      serving: () => { health.serving(); intake.setClosed(false) }
    },
    target: {
      stopReading: (connection) => { connection.draining = true },
      hasPushes: ({ pending }) => pending !== null,
      isBusy: ({ inbox, sending, pending }) => inbox !== null || sending !== null || pending !== null,
      close: (connection) => { core.sessions.close(connection, 'shutdown') }
    }
  }))
  fastify.addHook('onReady', async () => { intake.start() })
  fastify.addHook('onClose', async () => { intake.stop() })
}, { name: 'drain', fastify: '5.x', dependencies: ['health', 'registry'] })
