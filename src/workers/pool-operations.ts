/** The operations of all workers behind one port: each is asked, and what they say is one answer. */
import type { DrainProgress } from '../connections/drain.ts'
import { GatewayError } from '../errors.ts'
import type { Explanation } from '../explain/explanation.ts'
import type { ConnectionList, Operations } from '../operations.ts'
import { mergeConnections, mergeDrain, mergeExplained } from './merge.ts'
import type { WorkerPool } from './worker-pool.ts'

/** `nodeId`: the name that the workers have in common; it means all of them. */
export function poolOperations (pool: Pick<WorkerPool, 'ask' | 'askOne' | 'setDraining'>, nodeId: string): Operations {
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
        // One that is silent is told among the unanswered; it is not ending.
        cancelled: answers.every(({ value }) => value?.cancelled !== false),
        progress: mergeDrain(answers.map(({ worker, value }) => ({ worker, value: value?.progress })))
      }
    },
    connections: async ({ node, ...query }) => {
      const wanted = node === undefined || node === nodeId ? query : { ...query, node }
      return mergeConnections(await pool.ask<ConnectionList>('connections', wanted), query.limit)
    },
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
