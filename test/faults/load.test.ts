/** Everybody at once: who was cut off comes back, in time and without harm to those who serve. */
import { setTimeout as pause } from 'node:timers/promises'
import type { FaultWorld } from './harness/fault-world.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const STORM = isLong ? { people: 4_000, groups: 40, groupSize: 20 } : { people: 1_200, groups: 20, groupSize: 20 }
const BACK_SHARE = 0.99
const BACK_MS = 60_000
const LOOK_EVERY_MS = 250
const MAX_DELAY_MS = 200

/** The largest value that a gauge had on any node, looked at until `during` is over. */
async function highest (world: FaultWorld, gauge: string, during: Promise<unknown>): Promise<number> {
  const ofNode = new RegExp(`^im_gateway_${gauge} (\\S+)$`, 'm')
  const over = during.then(() => true)
  let most = 0
  do {
    for (const { port } of world.nodes) most = Math.max(most, Number(ofNode.exec(await world.metrics(port))?.[1]))
  } while (!await Promise.race([over, pause(LOOK_EVERY_MS)]))
  return most
}

row('T1', '[GW-OVL-1] everybody who was on a node that is killed is back within a minute, and neither the other nodes nor the Auth Service suffer', { nodes: ['node-a'] }, async (t, world) => {
  const population = await world.populate(t, STORM, PATIENCE_MS)
  const [victim] = world.nodes
  if (victim === undefined) throw new Error('no node')
  for (const node of ['node-b', 'node-c']) await world.startNode(node)
  let backMs = Infinity
  let [delayMs, breaker] = [Infinity, Infinity]
  const storm = async (): Promise<void> => {
    await pause(2_000)
    const killed = performance.now()
    await world.kill(victim)
    await eventually(() => population.openShare < BACK_SHARE, PATIENCE_MS)
    const back = eventually(() => population.openShare >= BACK_SHARE, PATIENCE_MS).then(() => { backMs = Math.round(performance.now() - killed) })
    const gauges = await Promise.all([highest(world, 'event_loop_delay_seconds', back), highest(world, 'breaker_state\\{service="auth"\\}', back)])
    delayMs = Math.round(gauges[0] * 1_000)
    breaker = gauges[1]
    await pause(2_000)
  }
  const written = await population.write(100, storm())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= STORM.people, 'everybody had to come back')
  t.ok(backMs <= BACK_MS, `99 of 100 are back after ${backMs} ms`)
  t.equal(breaker, 0, 'the Auth Service was not given up')
  t.ok(delayMs < MAX_DELAY_MS, `the event loops were ${delayMs} ms late at most`)
  return { people: STORM.people, written, backMs, delayMs, lost: verdict.lost }
})
