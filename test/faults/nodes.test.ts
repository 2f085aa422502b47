/** Three nodes are restarted one after the other under the messages of thousands of people. */
import t from 'tap'
import type { Gateway } from '../../demo/gateway.ts'
import { ROOT } from '../../src/registry/records.ts'
import { PATIENCE_MS, PEOPLE, PER_SECOND, startPopulated } from '../helpers/node-processes.ts'

t.setTimeout(280_000)

t.test('[GW-END-1] a rolling restart loses nothing that was acknowledged, shows nothing twice, and leaves no key', async (t) => {
  const { world, outside, nodes, population } = await startPopulated(t)
  const roll = async (): Promise<void> => {
    for (const name of ['node-a', 'node-b', 'node-c']) {
      const leaving = nodes.find(({ nodeId }) => nodeId === name) as Gateway
      nodes.splice(nodes.indexOf(leaving), 1)
      await world.stop(leaving)
      nodes.push(await world.startGateway(name))
    }
  }
  const started = performance.now()
  const written = await population.write(PER_SECOND, roll())
  const perSecond = Math.round(written / (performance.now() - started) * 1000)
  const verdict = await population.verdict(PATIENCE_MS)
  t.comment(JSON.stringify({ ...verdict, perSecond }))
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= PEOPLE, 'everybody had to come back')
  for (const node of nodes.splice(0)) await world.stop(node)
  population.close()
  t.strictSame((await outside.kv.range(ROOT, { prefix: true })).entries, [])
})
