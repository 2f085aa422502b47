/** What befalls the gateways' processes. */
import { setTimeout as pause } from 'node:timers/promises'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import type { Gateway } from '../../demo/gateway.ts'
import { CLOSE } from '../../src/protocol/close-codes.ts'
import { nodeKey, ROOT, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { ManualClient } from './harness/manual-client.ts'
import { isLong, PATIENCE_MS, row, TTL_MS } from './harness/row.ts'
import { nodeArgs } from '../../demo/node-args.ts'

const SIZES = isLong ? { people: 3_000, groups: 60, groupSize: 20 } : { people: 600, groups: 20, groupSize: 20 }
/** As the nodes of the harness have it. */
const DRAIN_TIMEOUT_MS = 20_000
const PER_SECOND = isLong ? 1_000 : 300
const PROJECT = join(import.meta.dirname, '../..')

/** A client of that node that reads nothing any more and answers no close, with a push on its way to it, whose outcome is told. */
async function silentClient (t: Test, world: FaultWorld, node: Gateway): Promise<{ readonly outcome: Promise<string> }> {
  const user = `silent-${world.run}`
  const hole = await TcpProxy.to(`127.0.0.1:${node.port}`)
  t.teardown(() => { hole.close() })
  const client = await ManualClient.connect(t, world, user, `ws://${hole.address}/ws`, PATIENCE_MS)
  hole.freeze()
  client.vanished()
  return { outcome: world.push(node, user, 'p-silent').then(({ outcome }) => outcome, String) }
}

/** How many it closes a second at most, as it says itself, until it is gone. */
async function paceOf (world: FaultWorld, node: Gateway): Promise<number> {
  let pace = 0
  try {
    for (;;) {
      pace = Math.max(pace, await world.countOn(node, 'drain_closes_per_second'))
      await pause(20)
    }
  } catch {
    return pace
  }
}

/** The most closes for a shutdown that clients saw in any second. */
function peakCloses (world: FaultWorld): number {
  const times = world.ledger.entries.flatMap((entry) => entry.kind === 'closed' && entry.code === CLOSE.shutdown.code ? [entry.atMs] : [])
  let [peak, from] = [0, 0]
  for (const [at, timeMs] of times.entries()) {
    while ((times[from] as number) < timeMs - 1_000) from++
    peak = Math.max(peak, at - from + 1)
  }
  return peak
}

/** What clients may see more of than a node does: its closes of some moments may arrive together. */
const BUNCHED = 1.25

row('N2', '[GW-END-1] a rolling restart loses nothing that was acknowledged, shows nothing twice, and leaves no key', {}, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [first] = world.nodes
  if (first === undefined) throw new Error('no node')
  let [longestExitMs, pace, silent] = [0, 0, '']
  const roll = async (): Promise<void> => {
    const push = await silentClient(t, world, first)
    for (const leaving of world.nodes.slice()) {
      const paced = paceOf(world, leaving)
      const started = performance.now()
      await world.stop(leaving)
      longestExitMs = Math.max(longestExitMs, Math.round(performance.now() - started))
      pace = Math.max(pace, await paced)
      await world.startNode(leaving.nodeId)
    }
    silent = await push.outcome
  }
  const written = await population.write(PER_SECOND, roll())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= SIZES.people, 'everybody had to come back')
  t.match(silent, /^(?:ACK_TIMEOUT|GONE)$/, 'the push to the client that says nothing is answered')
  t.ok(longestExitMs <= DRAIN_TIMEOUT_MS, `the slowest exit took ${longestExitMs} ms`)
  const peak = peakCloses(world)
  t.ok(pace > 0 && peak <= pace * BUNCHED, `${peak} closes in a second, ${pace} were said`)
  for (const node of world.nodes.slice()) await world.stop(node)
  population.close()
  const keysLeft = (await world.outside.kv.range(ROOT, { prefix: true })).entries.length
  t.equal(keysLeft, 0)
  return { written, ...verdict, longestExitMs, closesPerSecond: peak, saidPerSecond: pace, keysLeft }
})

const PUSH_FAILED_MS = 500

row('N1', '[GW-END-2] a node that is killed costs its clients some seconds and nobody an acknowledged message', {}, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [victim] = world.nodes
  const figures = { pushFailedMs: 0, servedAgainMs: 0, entriesGoneMs: 0 }
  const kill = async (): Promise<void> => {
    if (victim === undefined) throw new Error('no node')
    const started = performance.now()
    await world.kill(victim)
    const since = (fromMs: number): number => Math.round(performance.now() - fromMs)
    const killed = performance.now()
    await t.rejects(world.push(victim, `u0-${world.run}`, 'p-dead'), 'a push to it fails')
    figures.pushFailedMs = since(killed)
    const served = async (): Promise<void> => {
      // A moment passes until its clients have heard of it.
      await eventually(() => !population.isOpen, PATIENCE_MS)
      await eventually(() => population.isOpen, PATIENCE_MS)
      figures.servedAgainMs = since(started)
    }
    const gone = async (): Promise<void> => {
      await eventually(async () => !(await world.outside.kv.range(USERS, { prefix: true })).entries.some(({ value }) => value.includes(`"${victim.nodeId}"`)), PATIENCE_MS)
      figures.entriesGoneMs = since(started)
    }
    await Promise.all([served(), gone()])
    await pause(2_000)
  }
  const written = await population.write(PER_SECOND, kill())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= SIZES.people / 4, 'a third had to come back')
  const held = (await world.outside.kv.range(USERS, { prefix: true })).entries.length
  t.equal(held, SIZES.people, 'everybody is registered')
  t.ok(figures.pushFailedMs <= PUSH_FAILED_MS, `at once: ${figures.pushFailedMs} ms`)
  t.ok(figures.entriesGoneMs <= TTL_MS + 2_000, `what it registered is gone after ${figures.entriesGoneMs} ms`)
  return { written, ...verdict, ...figures }
})

const ENDED_MS = 1_000

/** A node that waits for an id that another one has, which it does in the middle of its start, and is told to end. */
async function endedInStart (t: Test, world: FaultWorld, holder: Gateway): Promise<{ readonly code: number | null, readonly tookMs: number }> {
  const env = { PATH: process.env['PATH'], ...world.world.gatewayEnv, GATEWAY_NODE_ID: holder.nodeId, WS_HOST: '127.0.0.1', WS_PORT: '0', GRPC_HOST: '127.0.0.1', GRPC_PORT: '0' }
  const child = spawn(process.execPath, nodeArgs('src/main.ts'), { cwd: PROJECT, env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const ended = once(child, 'exit') as Promise<[number | null]>
  await new Promise<void>((resolve) => { createInterface({ input: child.stdout }).on('line', (line) => { if (line.includes('the node id is taken')) resolve() }) })
  const startedMs = performance.now()
  child.kill('SIGTERM')
  const [code] = await ended
  return { code, tookMs: Math.round(performance.now() - startedMs) }
}

row('N3', '[GW-END-1] a second SIGTERM ends a node at once, and one in the start as well; it costs nobody an acknowledged message', {}, async (t, world) => {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const [victim, holder] = world.nodes
  if (victim === undefined || holder === undefined) throw new Error('the row needs two nodes')
  const figures = { endedMs: Infinity, endedInStartMs: Infinity }
  const stop = async (): Promise<void> => {
    const { code, tookMs } = await endedInStart(t, world, holder)
    t.equal(code, 0)
    figures.endedInStartMs = tookMs
    figures.endedMs = await world.stopTwice(victim)
    await eventually(() => population.isOpen, PATIENCE_MS)
  }
  const written = await population.write(PER_SECOND, stop())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.equal((await world.outside.kv.range(nodeKey(holder.nodeId))).entries.length, 1, 'whose id it was has it')
  for (const [name, tookMs] of Object.entries(figures)) t.ok(tookMs <= ENDED_MS, `${name}: ${tookMs}`)
  return { written, ...verdict, ...figures }
})
