/** Owns the sampling of the process and the health board; decorates `health` and `overload`. */
import fp from 'fastify-plugin'
import underPressure from '@fastify/under-pressure'
import type { Clock, Dependency } from '../src/ports.ts'
import { HealthBoard } from '../src/health.ts'
import { Overload, type OverloadOptions, type ProcessSample } from '../src/overload.ts'

declare module 'fastify' {
  interface FastifyInstance {
    health: HealthBoard
    overload: Overload
  }
}

export interface HealthOptions extends Omit<OverloadOptions, 'meter' | 'sample'> {
  readonly clock: Clock
  readonly dependencies: readonly Dependency[]
  /** How the process is asked; a fake in tests. */
  readonly sample?: OverloadOptions['sample']
}

/** Often enough to shed load within a second, seldom enough to cost nothing. */
const SAMPLE_INTERVAL_MS = 500

export default fp<HealthOptions>(async function health (fastify, options) {
  let { sample } = options
  if (sample === undefined) {
    // Without limits of its own it only samples: its hook would refuse health checks as well.
    await fastify.register(underPressure, { sampleInterval: SAMPLE_INTERVAL_MS })
    const read = (): ProcessSample => {
      const { eventLoopDelay, rssBytes } = fastify.memoryUsage()
      return { eventLoopDelayMs: eventLoopDelay, rssBytes }
    }
    // Each upgrade asks, several times as often as there is anything new.
    let last = read()
    const timer = setInterval(() => { last = read() }, SAMPLE_INTERVAL_MS / 5)
    timer.unref()
    fastify.addHook('onClose', async () => { clearInterval(timer) })
    sample = () => last
  }
  const overload = new Overload({ ...options, sample, meter: fastify.meter })
  const board = new HealthBoard({
    clock: options.clock,
    meter: fastify.meter,
    logger: fastify.log,
    dependencies: options.dependencies,
    overload: () => overload.state()
  })
  fastify.decorate('health', board)
  fastify.decorate('overload', overload)
  fastify.addHook('onListen', async () => { board.serving() })
  fastify.addHook('onClose', async () => { board.stop() })
}, { name: 'health', fastify: '5.x', dependencies: ['metrics'] })
