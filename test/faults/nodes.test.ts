/** What befalls the gateways' processes. */
import { ROOT, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { pause } from './harness/fault-world.ts'
import { isLong, PATIENCE_MS, row, TTL_MS } from './harness/row.ts'

const SIZES = isLong ? { people: 3_000, groups: 60, groupSize: 20 } : { people: 600, groups: 20, groupSize: 20 }
/** As the nodes of the harness have it. */
const DRAIN_TIMEOUT_MS = 20_000
const PER_SECOND = isLong ? 1_000 : 300

row('N2', '[GW-END-1] a rolling restart loses nothing that was acknowledged, shows nothing twice, and leaves no key', {}, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  let longestExitMs = 0
  const roll = async (): Promise<void> => {
    for (const leaving of world.nodes.slice()) {
      const started = performance.now()
      await world.stop(leaving)
      longestExitMs = Math.max(longestExitMs, Math.round(performance.now() - started))
      await world.startNode(leaving.nodeId)
    }
  }
  const written = await population.write(PER_SECOND, roll())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= SIZES.people, 'everybody had to come back')
  t.ok(longestExitMs <= DRAIN_TIMEOUT_MS, `the slowest exit took ${longestExitMs} ms`)
  for (const node of world.nodes.slice()) await world.stop(node)
  population.close()
  const keysLeft = (await world.outside.kv.range(ROOT, { prefix: true })).entries.length
  t.equal(keysLeft, 0)
  return { written, ...verdict, longestExitMs, keysLeft }
})

row('N1', '[GW-END-2] a node that is killed costs its clients some seconds and nobody an acknowledged message', {}, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [victim] = world.nodes
  let servedAgainMs = 0
  let entriesGoneMs = 0
  const kill = async (): Promise<void> => {
    if (victim === undefined) throw new Error('no node')
    const started = performance.now()
    await world.kill(victim)
    // A moment passes until its clients have heard of it.
    await eventually(() => !population.isOpen, PATIENCE_MS)
    await eventually(() => population.isOpen, PATIENCE_MS)
    servedAgainMs = Math.round(performance.now() - started)
    await eventually(async () => !(await world.outside.kv.range(USERS, { prefix: true })).entries.some(({ value }) => value.includes(`"${victim.nodeId}"`)), PATIENCE_MS)
    entriesGoneMs = Math.round(performance.now() - started)
    await pause(2_000)
  }
  const written = await population.write(PER_SECOND, kill())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= SIZES.people / 4, 'a third had to come back')
  const held = (await world.outside.kv.range(USERS, { prefix: true })).entries.length
  t.equal(held, SIZES.people, 'everybody is registered')
  t.ok(entriesGoneMs <= TTL_MS + 2_000, `what it registered is gone after ${entriesGoneMs} ms`)
  return { written, ...verdict, servedAgainMs, entriesGoneMs }
})

row('N3', '[GW-END-1] a second SIGTERM ends a node at once, and costs nobody an acknowledged message', {}, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [victim] = world.nodes
  if (victim === undefined) throw new Error('no node')
  let endedMs = Infinity
  const stop = async (): Promise<void> => {
    endedMs = await world.stopTwice(victim)
    await eventually(() => population.isOpen, PATIENCE_MS)
  }
  const written = await population.write(PER_SECOND, stop())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(endedMs <= 1_000, `it ended ${endedMs} ms after the second signal`)
  return { written, ...verdict, endedMs }
})
