/** What befalls the gateways' processes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Gateway } from '../../demo/gateway.ts'
import { ROOT, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import type { Population } from '../helpers/population.ts'
import { pause, type FaultWorld } from './harness/fault-world.ts'
import { isLong, PATIENCE_MS, row, TTL_MS } from './harness/row.ts'

const SIZES = isLong ? { people: 3_000, groups: 60, groupSize: 20 } : { people: 600, groups: 20, groupSize: 20 }
/** As the nodes of the harness have it. */
const DRAIN_TIMEOUT_MS = 20_000
const PER_SECOND = isLong ? 1_000 : 300
/** Acknowledged, of which none may be lost. */
const LEAST_MESSAGES = isLong ? 50_001 : 1_000

/** Resolves when so many are written. */
const enough = (population: Population): Promise<void> => eventually(() => population.written >= LEAST_MESSAGES, ENOUGH_MS)
const ENOUGH_MS = 600_000

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
  const written = await population.write(PER_SECOND, roll().then(() => enough(population)))
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.accepted >= LEAST_MESSAGES, `${verdict.accepted} messages were acknowledged`)
  t.ok(verdict.returns >= SIZES.people, 'everybody had to come back')
  t.ok(longestExitMs <= DRAIN_TIMEOUT_MS, `the slowest exit took ${longestExitMs} ms`)
  for (const node of world.nodes.slice()) await world.stop(node)
  population.close()
  const keysLeft = (await world.outside.kv.range(ROOT, { prefix: true })).entries.length
  t.equal(keysLeft, 0)
  return { written, ...verdict, longestExitMs, keysLeft }
})

row('N1', '[GW-END-2] a node that is killed costs its clients some seconds and nobody an acknowledged message', { longTimeoutMs: 1_200_000 }, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  let servedAgainMs = 0
  let entriesGoneMs = 0
  const kill = async (victim: Gateway): Promise<void> => {
    const started = performance.now()
    await world.kill(victim)
    const gone = eventually(async () => !(await world.outside.kv.range(USERS, { prefix: true })).entries.some(({ value }) => value.includes(`"${victim.nodeId}"`)), PATIENCE_MS)
      .then(() => { entriesGoneMs = Math.max(entriesGoneMs, Math.round(performance.now() - started)) })
    // A moment passes until its clients have heard of it.
    await eventually(() => !population.isOpen, PATIENCE_MS)
    await eventually(() => population.isOpen, PATIENCE_MS)
    servedAgainMs = Math.max(servedAgainMs, Math.round(performance.now() - started))
    await gone
    await world.startNode(victim.nodeId)
  }
  const killEach = async (): Promise<void> => {
    for (const victim of world.nodes.slice()) await kill(victim)
    await pause(2_000)
  }
  const written = await population.write(PER_SECOND, killEach().then(() => enough(population)))
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.accepted >= LEAST_MESSAGES, `${verdict.accepted} messages were acknowledged`)
  t.ok(verdict.returns >= SIZES.people * 0.75, 'a third had to come back each time')
  const held = (await world.outside.kv.range(USERS, { prefix: true })).entries.length
  t.equal(held, SIZES.people, 'everybody is registered')
  t.ok(entriesGoneMs <= TTL_MS + 2_000, `what it registered is gone after ${entriesGoneMs} ms`)
  return { written, ...verdict, servedAgainMs, entriesGoneMs }
})

/** How long a start takes, or a little more on a busy machine. */
const START_MS = 4_000
const SIGNALLED_STARTS = isLong ? 20 : 8
const ENDED_MS = 1_000

row('N3', '[GW-END-1] a second SIGTERM ends a node at once, as the first does while it starts; nobody loses an acknowledged message by it, and no key is left', {}, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [victim] = world.nodes
  if (victim === undefined) throw new Error('no node')
  let endedMs = Infinity
  const starts: Array<Awaited<ReturnType<typeof signalledStart>>> = []
  const stop = async (): Promise<void> => {
    endedMs = await world.stopTwice(victim)
    for (let i = 0; i < SIGNALLED_STARTS; i++) starts.push(await signalledStart(world, `starting-${i}`, START_MS * i / SIGNALLED_STARTS))
    await eventually(() => population.isOpen, PATIENCE_MS)
  }
  const written = await population.write(PER_SECOND, stop())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(endedMs <= ENDED_MS, `it ended ${endedMs} ms after the second signal`)
  // Before its handlers are there the signal ends the process itself.
  t.strictSame(starts.filter(({ how }) => how !== '0' && how !== 'SIGTERM'), [], 'each start ends with 0')
  t.ok(starts.some(({ how }) => how === '0'), 'some were told to end by the gateway itself')
  const slowestStartMs = Math.max(...starts.map(({ tookMs }) => tookMs))
  t.ok(slowestStartMs <= ENDED_MS, `the slowest start ended ${slowestStartMs} ms after its signal`)
  const keysLeft = (await world.outside.kv.range(ROOT, { prefix: true })).entries.filter(({ key }) => key.includes('starting-')).length
  t.equal(keysLeft, 0)
  return { written, ...verdict, endedMs, starts: starts.length, slowestStartMs, keysLeft }
})

/** A node that gets SIGTERM so long after its process began, and how it ended. */
async function signalledStart ({ world }: FaultWorld, nodeId: string, afterMs: number): Promise<{ readonly how: string, readonly tookMs: number }> {
  const env = { PATH: process.env['PATH'], ...world.gatewayEnv, GATEWAY_NODE_ID: nodeId, WS_HOST: '127.0.0.1', WS_PORT: '0', GRPC_HOST: '127.0.0.1', GRPC_PORT: '0' }
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts'], { cwd: join(import.meta.dirname, '../..'), env, stdio: 'ignore' })
  const ended = once(child, 'exit').then(([code, signal]) => String(code ?? signal))
  await pause(afterMs)
  const signalledMs = performance.now()
  child.kill('SIGTERM')
  const how = await ended
  return { how, tookMs: Math.round(performance.now() - signalledMs) }
}
