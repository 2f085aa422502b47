/** Owns the sampling of the process and the health board; decorates `health` and `overload`. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import fp from 'fastify-plugin'
import type { Clock, Dependency } from '../src/ports.ts'
import { HealthBoard } from '../src/health.ts'
import { DELAY_RESOLUTION_MS, Overload, type OverloadOptions, type ProcessSample } from '../src/overload.ts'

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
    const delays = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
    delays.enable()
    const read = (): ProcessSample => {
      // Nothing was seen: the loop did not turn once.
      const eventLoopDelayMs = delays.count === 0 ? SAMPLE_INTERVAL_MS : Math.max(0, delays.mean / 1e6 - DELAY_RESOLUTION_MS)
      delays.reset()
      return { eventLoopDelayMs, rssBytes: process.memoryUsage.rss() }
    }
    let last: ProcessSample = { eventLoopDelayMs: 0, rssBytes: process.memoryUsage.rss() }
    const timer = setInterval(() => { last = read() }, SAMPLE_INTERVAL_MS)
    timer.unref()
    fastify.addHook('onClose', async () => {
      clearInterval(timer)
      delays.disable()
    })
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
