/** Everybody at once: who was cut off comes back, in time and without harm to those who serve. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Gateway } from '../../demo/gateway.ts'
import { MAX_BACKOFF_MS } from '../../client/src/reconnect.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { insides, type Insides } from './harness/inspect.ts'
import { MIB } from './harness/process-figures.ts'
import { waysIn } from './harness/ways-in.ts'
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

const CUTS = { people: 300, groups: 15, groupSize: 20 }
const CUT_EVERY_MS = 10_000
const CUTS_MS = isLong ? 1_200_000 : 40_000
/** Who is cut off again and again backs off, up to half a minute: not each cut meets everybody. */
const RETURNS_SHARE = isLong ? 0.25 : 0.75
/** A client's longest pause, and its handshake. */
const OPEN_MS = MAX_BACKOFF_MS + 5_000
/** Of code that was compiled and buckets that grew; of each connection that was cut some hundred bytes would be more. */
const HEAP_SLACK_BYTES = 8 * MIB
const TIMERS_SLACK = 10
/** So small that they are full soon: what grows afterwards is no cache. */
const SMALL_CACHES = { AUTH_CACHE_SIZE: '500', ROUTE_CACHE_SIZE: '500' }
/** A look into a node stops it for some seconds, which is not to cost it its leases. */
const LOOKED_AT_TTL_MS = 30_000

row('T2', '[GW-CON-6] all connections are cut each ten seconds: everybody comes back and misses nothing, and nothing is left of the old ones', { settings: SMALL_CACHES, inspected: true, ttlMs: LOOKED_AT_TTL_MS, longTimeoutMs: 1_800_000 }, async (t, world) => {
  const ways = await waysIn(t, world)
  const population = await world.populate(t, CUTS, PATIENCE_MS, () => ways.urls)
  const look = async (): Promise<ReadonlyArray<readonly [Gateway, Insides]>> => {
    await eventually(async () => await world.count('connections ') === CUTS.people, PATIENCE_MS)
    const looks: Array<readonly [Gateway, Insides]> = []
    for (const node of world.nodes) looks.push([node, await world.inspect(node, insides)])
    return looks
  }
  const before = new Map(await look())
  let [cuts, backMs] = [0, Infinity]
  const cut = (): void => {
    cuts++
    ways.cut()
  }
  const cutAgainAndAgain = async (): Promise<void> => {
    for (const untilMs = performance.now() + CUTS_MS; performance.now() < untilMs; await pause(CUT_EVERY_MS)) cut()
    cut()
    const lastMs = performance.now()
    await eventually(() => !population.isOpen, PATIENCE_MS)
    await eventually(() => population.isOpen, PATIENCE_MS)
    backMs = Math.round(performance.now() - lastMs)
  }
  const written = await population.write(50, cutAgainAndAgain())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= cuts * CUTS.people * RETURNS_SHARE, `${verdict.returns} came back from ${cuts} cuts`)
  t.ok(backMs <= OPEN_MS, `everybody was back ${backMs} ms after the last cut`)
  let [timers, heapBytes] = [-Infinity, -Infinity]
  for (const [node, after] of await look()) {
    timers = Math.max(timers, after.timers - (before.get(node)?.timers ?? 0))
    heapBytes = Math.max(heapBytes, after.heapBytes - (before.get(node)?.heapBytes ?? 0))
  }
  t.ok(timers <= TIMERS_SLACK && heapBytes <= HEAP_SLACK_BYTES, `${timers} timers and ${heapBytes} bytes of the heap more`)
  return { cuts, written, lost: verdict.lost, returns: verdict.returns, backMs, timersMore: timers, heapMoreMiB: Math.round(heapBytes / MIB * 10) / 10 }
})
