/** A node id has one holder, until its lease has expired. */
import t from 'tap'
import type { Gateway } from '../../demo/gateway.ts'
import { startNodes } from '../helpers/node-processes.ts'

t.setTimeout(280_000)

t.test('a second node with the id of one that lives does not start, and says who has it', async (t) => {
  const { world, nodes } = await startNodes(t, ['node-a'])
  const [holder] = nodes as [Gateway]
  await t.rejects(world.startGateway('node-a'), { message: new RegExp(`the node id node-a is taken by ${holder.grpc.replaceAll('.', '\\.')}`) })
  t.equal((await fetch(`http://127.0.0.1:${holder.port}/readyz`)).status, 200, 'the first one serves on')
  await world.kill(holder)
  const heir = await world.startGateway('node-a')
  t.equal(heir.nodeId, 'node-a', 'the id is free once its lease has expired')
})
