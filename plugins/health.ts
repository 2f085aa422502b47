/** Owns the sampling of the process and the health board; decorates `health` and `overload`. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import fp from 'fastify-plugin'
import type { Clock, Dependency } from '../src/ports.ts'
import { HealthBoard } from '../src/health.ts'
import { DELAY_RESOLUTION_MS, meanDelayMs, Overload, SAMPLE_INTERVAL_MS, type OverloadOptions, type ProcessSample } from '../src/overload.ts'
import { collectGarbage, processMemory } from './lib/process-memory.ts'

declare module 'fastify' {
  interface FastifyInstance {
    health: HealthBoard
    overload: Overload
  }
}

export interface HealthOptions extends Omit<OverloadOptions, 'meter' | 'sample' | 'collect'> {
  readonly clock: Clock
  readonly dependencies: readonly Dependency[]
  /** How the process is asked; a fake in tests. */
  readonly sample?: OverloadOptions['sample']
}

export default fp<HealthOptions>(async function health (fastify, options) {
  let { sample } = options
  if (sample === undefined) {
    const delays = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
    delays.enable()
    const memory = processMemory()
    let readAtMs = performance.now()
    const read = (): ProcessSample => {
      const nowMs = performance.now()
      const eventLoopDelayMs = meanDelayMs(delays, nowMs - readAtMs - SAMPLE_INTERVAL_MS)
      readAtMs = nowMs
      delays.reset()
      return { eventLoopDelayMs, ...memory() }
    }
    let last: ProcessSample = { eventLoopDelayMs: 0, ...memory() }
    const timer = setInterval(() => {
      last = read()
      fastify.overload.relieve()
    }, SAMPLE_INTERVAL_MS)
    timer.unref()
    fastify.addHook('onClose', async () => {
      clearInterval(timer)
      delays.disable()
    })
    sample = () => last
  }
  const overload = new Overload({ ...options, sample, collect: collectGarbage, meter: fastify.meter })
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
