/** One of three nodes is killed under the messages of thousands of people; a node id has one holder. */
import t from 'tap'
import type { Gateway } from '../../demo/gateway.ts'
import { USERS } from '../../src/registry/records.ts'
import { PATIENCE_MS, PEOPLE, PER_SECOND, startNodes, startPopulated } from '../helpers/node-processes.ts'

t.setTimeout(280_000)

t.test('[GW-END-2] a node that is killed costs its clients some seconds and nobody an acknowledged message', async (t) => {
  const { world, outside, nodes, population } = await startPopulated(t)
  let servedAgainMs = 0
  const kill = async (): Promise<void> => {
    const victim = nodes.pop() as Gateway
    const started = performance.now()
    await world.kill(victim)
    while (!population.isOpen) await new Promise((resolve) => { setTimeout(resolve, 20) })
    servedAgainMs = Math.round(performance.now() - started)
    await new Promise((resolve) => { setTimeout(resolve, 5_000) })
  }
  const started = performance.now()
  const written = await population.write(PER_SECOND, kill())
  const perSecond = Math.round(written / (performance.now() - started) * 1000)
  const verdict = await population.verdict(PATIENCE_MS)
  t.comment(JSON.stringify({ ...verdict, perSecond, servedAgainMs }))
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= PEOPLE / 4, 'a third had to come back')
  const held = (await outside.kv.range(USERS, { prefix: true })).entries.map(({ value }) => value)
  t.equal(held.length, PEOPLE, 'everybody is registered')
  t.notOk(held.some((value) => value.includes('node-c')), 'nobody with the dead node')
})

t.test('a second node with the id of one that lives does not start, and says who has it', async (t) => {
  const { world, nodes } = await startNodes(t, ['node-a'])
  const [holder] = nodes as [Gateway]
  await t.rejects(world.startGateway('node-a'), { message: new RegExp(`the node id node-a is taken by ${holder.grpc.replaceAll('.', '\\.')}`) })
  t.equal((await fetch(`http://127.0.0.1:${holder.port}/readyz`)).status, 200, 'the first one serves on')
  await world.kill(holder)
  const heir = await world.startGateway('node-a')
  t.equal(heir.nodeId, 'node-a', 'the id is free once its lease has expired')
})
