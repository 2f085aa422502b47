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
import type { DrainProgress } from './connections/drain.ts'
import { systemClock } from './embedded/system-clock.ts'
import type { HealthReport } from './health.ts'
import { GatewayError } from './errors.ts'
import type { Explanation } from './explain/explanation.ts'
import type { Running } from './lifecycle.ts'
import type { ConnectionList, Operations, Status } from './operations.ts'
import { mergeConnections, mergeDrain, mergeExplained, mergeHealth, mergeMetrics, type MetricFamily } from './workers/merge.ts'
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
        await server.register(adminRoutes, { operations: operationsOf(pool), token })
      }
    })
  }
  try {
    await app.ready()
  } catch (error) {
    await app.close()
    throw error
  }
  return {
    serving: pool.start(),
    kill: () => { pool.kill() },
    // The workers drain; the primary has nothing to empty but them.
    drain: { start: async () => { await pool.end() } },
    close: async () => { await app.close() }
  }
}

function operationsOf (pool: WorkerPool): Operations {
  return {
    drain: async () => mergeDrain(await pool.ask<DrainProgress>('drain')),
    startDrain: async () => {
      pool.setDraining(true)
      return mergeDrain(await pool.ask<DrainProgress>('startDrain'))
    },
    cancelDrain: async () => {
      pool.setDraining(false)
      const answers = await pool.ask<Awaited<ReturnType<Operations['cancelDrain']>>>('cancelDrain')
      return {
        cancelled: answers.every(({ value }) => value?.cancelled === true),
        progress: mergeDrain(answers.map(({ worker, value }) => ({ worker, value: value?.progress })))
      }
    },
    connections: async (query) => mergeConnections(await pool.ask<ConnectionList>('connections', query), query.limit),
    explain: async (query) => {
      const own = await pool.ask<Explanation>('explain', { ...query, scope: 'local' })
      const elsewhere = query.scope === 'local' ? undefined : await pool.askOne<Explanation>('explain', { ...query, except: own.map(({ worker }) => worker) })
      return mergeExplained(own, elsewhere)
    },
    disconnect: async (query) => {
      const answers = await pool.ask<{ readonly disconnected: number }>('disconnect', query)
      const silent = answers.find(({ value }) => value === undefined)
      if (silent !== undefined) throw new GatewayError('SERVICE_UNAVAILABLE', { detail: `${silent.worker}, or a node that it asked, does not answer` })
      return { disconnected: answers.reduce((sum, { value }) => sum + (value?.disconnected ?? 0), 0) }
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
