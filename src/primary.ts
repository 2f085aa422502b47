/** The primary of several workers, put together: it starts, replaces and ends them, and answers for all on ADMIN_PORT. */
import fastify from 'fastify'
import type { Logger as PinoLogger } from 'pino'
import admin from '../plugins/admin.ts'
import metrics from '../plugins/metrics.ts'
import { exposition } from '../plugins/lib/exposition.ts'
import { assertPortFree, spawnWorker, supportsReusePort } from '../plugins/lib/worker-process.ts'
import adminRoutes from '../routes/admin.ts'
import healthRoutes from '../routes/healthz.ts'
import metricsRoute from '../routes/metrics.ts'
import type { Config } from './config.ts'
import { systemClock } from './embedded/system-clock.ts'
import type { HealthReport } from './health.ts'
import { PRIMARY_MARGIN_MS, type Running } from './lifecycle.ts'
import type { Status } from './operations.ts'
import { mergeHealth, mergeMetrics, type MetricFamily } from './workers/merge.ts'
import { poolOperations } from './workers/pool-operations.ts'
import { WorkerPool } from './workers/worker-pool.ts'

export interface Primary extends Running {
  /** Resolves when all workers serve; rejects when one of them ends before. */
  readonly serving: Promise<void>
  /** Ends the workers at once. */
  kill (): void
}

/** Opens the admin port and starts the workers. Rejects where a port is taken. */
export async function openPrimary (config: Config, logger: PinoLogger, script: string): Promise<Primary> {
  const since = new Date(systemClock.unixMs()).toISOString()
  const { nodeId, version } = config.node
  if (supportsReusePort()) await assertPortFree(config.ws.host, config.ws.port)
  const app = fastify({ loggerInstance: logger })
  await app.register(metrics, { version, processMetrics: true, worker: 'primary', isPrimary: true })
  const status: Status = {
    health: shared(async () => mergeHealth(await pool.ask<HealthReport>('health'), since)),
    metrics: shared(async () => {
      const answers = await pool.ask<MetricFamily[]>('metrics')
      return await exposition(mergeMetrics([await app.metrics.families(), ...answers.map(({ value }) => value ?? [])]))
    })
  }
  const pool = new WorkerPool({
    count: config.workers.count,
    nameOf: (index) => `${nodeId}-${index}`,
    spawn: (index, events) => spawnWorker(script, index, events),
    // A worker that is asked for its status tells that of all.
    handlers: { status: status.health, exposition: status.metrics },
    clock: systemClock,
    logger,
    meter: app.meter
  })
  if (config.admin !== undefined) {
    const { host, port, token } = config.admin
    await app.register(admin, {
      host,
      port,
      routes: async (server) => {
        await server.register(healthRoutes, { status })
        await server.register(metricsRoute, { status })
        await server.register(adminRoutes, { operations: poolOperations(pool, nodeId), token })
      }
    })
  }
  try {
    await app.ready()
  } catch (error) {
    await app.close()
    throw error
  }
  let ended: Promise<void> | undefined
  return {
    serving: pool.start(),
    kill: () => { pool.kill() },
    // The workers drain; the primary has nothing to empty but them.
    drain: { start: (times) => (ended = pool.end({ ...times, timeoutMs: times.timeoutMs - PRIMARY_MARGIN_MS })) },
    close: async () => {
      await app.close()
      // Where one of them did not end as it should, neither does the node.
      await ended
    }
  }
}

/** Those who ask while the workers are asked get the same answer. */
function shared<T> (ask: () => Promise<T>): () => Promise<T> {
  let asking: Promise<T> | undefined
  return async () => {
    asking ??= ask().finally(() => { asking = undefined })
    return await asking
  }
}
