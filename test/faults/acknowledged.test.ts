/** The promise that all others serve: what was acknowledged is not lost, whatever becomes of the nodes. */
import { setTimeout as pause } from 'node:timers/promises'
import { eventually } from '../helpers/bus-conformance.ts'
import { PATIENCE_MS, row } from './harness/row.ts'

const SIZES = { people: 600, groups: 20, groupSize: 20 }
const PER_SECOND = 1_000
const MESSAGES = 25_001
const ENOUGH_MS = 200_000

row('L1', '[GW-END-1] of more than 50,000 acknowledged messages none is lost while three nodes are restarted, and then killed, one after the other', { longTimeoutMs: 600_000 }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const begun = population.written
  const backAgain = async (): Promise<void> => {
    await eventually(() => !population.isOpen, PATIENCE_MS)
    await eventually(() => population.isOpen, PATIENCE_MS)
    await pause(2_000)
  }
  const restart = async (): Promise<void> => {
    for (const node of world.nodes.slice()) {
      const gone = world.stop(node)
      await backAgain()
      await gone
      await world.startNode(node.nodeId)
    }
    await eventually(() => population.written - begun >= MESSAGES, ENOUGH_MS)
  }
  const kill = async (): Promise<void> => {
    for (const node of world.nodes.slice()) {
      await world.kill(node)
      await backAgain()
      await world.startNode(node.nodeId, {}, { ws: node.port, grpc: Number(node.grpc.split(':').at(-1)) })
    }
    await eventually(() => population.written - begun >= 2 * MESSAGES, ENOUGH_MS)
  }
  const duringRestarts = await population.write(PER_SECOND, restart())
  const duringKills = await population.write(PER_SECOND, kill())
  const { accepted: acknowledged, ...verdict } = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(acknowledged > 50_000, `${acknowledged} were acknowledged`)
  t.ok(verdict.returns >= SIZES.people * 2, 'everybody had to come back, twice and more')
  return { acknowledged, duringRestarts, duringKills, ...verdict }
})
