import t from 'tap'
import type { Answer } from '../../../src/workers/merge.ts'
import { poolOperations } from '../../../src/workers/pool-operations.ts'

/** Two workers of `gateway`; `answer`: what each says, undefined: nothing. */
function fakePool (answer: (worker: string) => unknown) {
  const asked: unknown[] = []
  const pool = {
    ask: async <T>(name: string, argument?: unknown): Promise<Array<Answer<T>>> => {
      asked.push([name, argument])
      return ['gateway-0', 'gateway-1'].map((worker) => ({ worker, value: answer(worker) as T | undefined }))
    },
    askOne: async <T>(name: string, argument?: unknown): Promise<T | undefined> => {
      asked.push(['one', name, argument])
      return undefined
    },
    setDraining: (draining: boolean): void => { asked.push(draining) }
  }
  return { asked, operations: poolOperations(pool, 'gateway') }
}

t.test('the name of the node means all its workers, any other name is for them to compare', async (t) => {
  const { asked, operations } = fakePool((worker) => ({ total: 1, listed: 1, connections: [{ node_id: worker }] }))
  t.match(await operations.connections({ node: 'gateway', user: 'ann', limit: 5 }), { total: 2, listed: 2, connections: [{ node_id: 'gateway-0' }, { node_id: 'gateway-1' }] })
  await operations.connections({ node: 'gateway-1', limit: 5 })
  await operations.connections({ limit: 5 })
  t.strictSame(asked, [['connections', { user: 'ann', limit: 5 }], ['connections', { limit: 5, node: 'gateway-1' }], ['connections', { limit: 5 }]])
})

t.test('workers that come later drain as well, until it is called off; one that is silent is named, one that is ending refuses', async (t) => {
  const { asked, operations } = fakePool((worker) => worker === 'gateway-0' ? { cancelled: true, progress: { phase: 'off', total: 0, closed: 0, remaining: 3 } } : undefined)
  await operations.startDrain()
  t.match(await operations.cancelDrain(), { cancelled: true, progress: { remaining: 3, workers: [{ worker: 'gateway-0', phase: 'off' }], unanswered: ['gateway-1'] } })
  t.strictSame(asked, [true, ['startDrain', undefined], false, ['cancelDrain', undefined]])
  const ending = fakePool((worker) => worker === 'gateway-0' ? { cancelled: false, progress: { phase: 'held', total: 3, closed: 3, remaining: 0 } } : undefined)
  t.match(await ending.operations.cancelDrain(), { cancelled: false, progress: { phase: 'held', unanswered: ['gateway-1'] } })
})

t.test('the nodes beside the workers are asked by one of them, and only where the whole cluster is asked', async (t) => {
  const { asked, operations } = fakePool(() => ({ events: [], nodes: [] }))
  await operations.explain({ user: 'ann', scope: 'local' })
  await operations.explain({ user: 'ann', scope: 'cluster' })
  const local = ['explain', { user: 'ann', scope: 'local' }]
  t.strictSame(asked, [local, local, ['one', 'explain', { user: 'ann', scope: 'cluster', except: ['gateway-0', 'gateway-1'] }]])
})

t.test('what the workers closed is summed, and one that is silent leaves the call to be made again', async (t) => {
  const { operations } = fakePool(() => ({ disconnected: 2 }))
  t.strictSame(await operations.disconnect({ user: 'ann' }), { disconnected: 4 })
  const silent = fakePool((worker) => worker === 'gateway-0' ? { disconnected: 2 } : undefined)
  await t.rejects(silent.operations.disconnect({ user: 'ann' }), { code: 'SERVICE_UNAVAILABLE', message: 'gateway-1, or a node that it asked, does not answer' })
})
