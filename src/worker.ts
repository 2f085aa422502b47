/** One of several workers: a whole node, whose primary tells it when to end and answers for all of them. */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { withOwnPorts } from '../plugins/lib/worker-process.ts'
import { build } from './app.ts'
import type { Config } from './config.ts'
import type { DrainTimes } from './connections/drain.ts'
import { systemClock } from './embedded/system-clock.ts'
import type { HealthReport } from './health.ts'
import type { Running } from './lifecycle.ts'
import { serve } from './serve.ts'
import { Channel, type Handlers } from './workers/channel.ts'
import { ANSWER_TIMEOUT_MS } from './workers/worker-pool.ts'

export interface WorkerOptions {
  readonly config: Config
  readonly logger: FastifyBaseLogger
  /** Whether each worker binds the port for itself. */
  readonly reusePort: boolean
  /** The line to the primary. */
  readonly send: (message: object) => void
  readonly onMessage: (receive: (message: unknown) => void) => void
  /** The primary wants this process to end, in these times. */
  readonly end: (times?: DrainTimes) => void
}

/** The primary asks all workers before it answers one. */
const STATUS_TIMEOUT_MS = 2 * ANSWER_TIMEOUT_MS

/** Builds, listens and says so. Rejects where the start fails. */
export async function openWorker ({ config, logger, reusePort, send, onMessage, end }: WorkerOptions): Promise<Running> {
  // Before the node is built there is nothing to ask it for.
  const handlers: Record<string, Handlers[string]> = { end, ping: () => {} }
  const primary = new Channel({ clock: systemClock, send, handlers })
  onMessage((message) => { primary.receive(message) })
  const app: FastifyInstance = await withOwnPorts(() => build(config, {
    logger,
    status: {
      health: async () => await primary.call<HealthReport>('status', STATUS_TIMEOUT_MS).catch(() => ({ ...app.health.report(), ready: false, reason: 'the primary does not answer' })),
      metrics: async () => await primary.call<string>('exposition', STATUS_TIMEOUT_MS)
    }
  }))
  const { operations } = app
  Object.assign(handlers, {
    health: () => app.health.report(),
    metrics: () => app.metrics.families(),
    drain: () => operations.drain(),
    startDrain: () => operations.startDrain(),
    cancelDrain: () => operations.cancelDrain(),
    connections: (query: Parameters<typeof operations.connections>[0]) => operations.connections(query),
    explain: (query: Parameters<typeof operations.explain>[0]) => operations.explain(query),
    disconnect: (query: Parameters<typeof operations.disconnect>[0]) => operations.disconnect(query)
  })
  const running = await serve(app, { host: config.ws.host, port: config.ws.port, reusePort })
  // Where the primary is gone already, this process is told so as well.
  primary.call('ready', ANSWER_TIMEOUT_MS).catch(() => {})
  return running
}
