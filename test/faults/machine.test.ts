/** What the machine does to a node: it stops it, runs out of files, and sets its clock. */
import { setTimeout as pause } from 'node:timers/promises'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { Gateway } from '../../demo/gateway.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { valueOf } from './harness/inspect.ts'
import { knock, type Answer } from './harness/knock.ts'
import { ManualClient } from './harness/manual-client.ts'
import { openFiles } from './harness/process-figures.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const stranger = (world: FaultWorld, name: string): string => world.world.auth.mint(`${name}-${world.run}`, 'phone').accessToken
const closedUnasked = (world: FaultWorld): number => world.ledger.entries.filter(({ kind }) => kind === 'closed').length

function pidOf ({ nodeId, pid }: Gateway): number {
  if (pid === undefined) throw new Error(`${nodeId} is no process of its own`)
  return pid
}

function first (world: FaultWorld): Gateway {
  const [node] = world.nodes
  if (node === undefined) throw new Error('no node')
  return node
}

/** So many clients on one node that do nothing by themselves but answer pings. */
async function quietClients (t: Test, world: FaultWorld, { url }: Gateway, count: number): Promise<Map<string, ManualClient>> {
  const clients = new Map<string, ManualClient>()
  for (let i = 0; i < count; i++) {
    const user = `quiet${i}-${world.run}`
    clients.set(user, await ManualClient.connect(t, world, user, url, PATIENCE_MS))
  }
  return clients
}

/** Pushes to each of them, and acknowledges; the outcomes. */
async function pushToAll (world: FaultWorld, node: Gateway, clients: ReadonlyMap<string, ManualClient>, msgId: string): Promise<Set<string>> {
  const outcomes = await Promise.all([...clients].map(async ([user, client]) => {
    const push = world.push(node, user, msgId)
    await client.received(msgId, PATIENCE_MS)
    client.acknowledge(msgId)
    return (await push).outcome
  }))
  return new Set(outcomes)
}

/** Of the heartbeat; the longer stall is longer than the time-out. */
const HEARTBEAT = isLong ? { HEARTBEAT_INTERVAL: '10s', HEARTBEAT_TIMEOUT: '30s' } : { HEARTBEAT_INTERVAL: '1s', HEARTBEAT_TIMEOUT: '4s' }
const STALLS_MS = isLong ? [5_000, 35_000] : [3_000, 8_000]
const QUIET = 50
const KNOCKS = 30

row('N4', '[GW-CON-8] a node that stalls, for longer than the heartbeat time-out too, closes nobody for it, and refuses newcomers until it has caught up', { nodes: ['node-a', 'node-b'], settings: HEARTBEAT }, async (t, world) => {
  const node = first(world)
  const clients = await quietClients(t, world, node, QUIET)
  const figures: Record<string, number> = { clients: QUIET }
  for (const [i, stallMs] of STALLS_MS.entries()) {
    await world.strike(async () => {
      process.kill(pidOf(node), 'SIGSTOP')
      await pause(stallMs)
      process.kill(pidOf(node), 'SIGCONT')
    })
    const resumedMs = performance.now()
    const answers: Answer[] = []
    for (let n = 0; n < KNOCKS; n++) {
      answers.push(await knock(node.url, stranger(world, `knock${i}-${n}`)))
      await pause(50)
    }
    t.ok(answers.some(({ status }) => status === 503), `${stallMs} ms: newcomers are refused at first`)
    t.strictSame(answers.filter(({ status, retryAfterS = 0 }) => status !== 101 && !(status === 503 && retryAfterS > 0)), [], 'and told to come back later')
    await eventually(async () => (await knock(node.url, stranger(world, `again${i}`))).status === 101, PATIENCE_MS)
    figures[`stall${i + 1}Ms`] = stallMs
    figures[`admits${i + 1}Ms`] = Math.round(performance.now() - resumedMs)
    t.strictSame(await pushToAll(world, node, clients, `p-${i}`), new Set(['ACKED']), 'everybody is served as before')
  }
  const wronglyClosed = closedUnasked(world)
  t.equal(wronglyClosed, 0, 'nobody was closed')
  return { ...figures, wronglyClosed }
})

const HOUR_MS = 3_600_000
const JUMPS_MS = [HOUR_MS, -HOUR_MS, 0]
const JUMP_MS = isLong ? 30_000 : 4_000
const PEOPLE = 200

/** Sets the wall clock of a process to so much beside the machine's; what it measures by the monotonic clock stays. */
const jump = (shiftMs: number): string => `(() => {
  const True = globalThis.TrueDate ??= Date
  globalThis.Date = class extends True {
    constructor (...given) { if (given.length === 0) super(True.now() + ${shiftMs}); else super(...given) }
    static now () { return True.now() + ${shiftMs} }
  }
  return Date.now()
})()`

row('N6', '[GW-CON-8] a wall clock that jumps by an hour, ahead and back, closes nobody and costs no lease', { nodes: ['node-a', 'node-b'], inspected: true, tokenTtlMs: 6 * HOUR_MS }, async (t, world) => {
  const population = await world.populate(t, { people: PEOPLE, groups: 10, groupSize: 20 }, PATIENCE_MS)
  const shiftsMs: number[] = []
  const jumps = async (): Promise<void> => {
    for (const shiftMs of JUMPS_MS) {
      for (const node of world.nodes) shiftsMs.push(await world.inspect(node, async (command) => await valueOf<number>(command, jump(shiftMs))) - Date.now() - shiftMs)
      await pause(JUMP_MS)
      for (const node of world.nodes) t.equal((await knock(node.url, stranger(world, `clock${shiftMs}-${node.nodeId}`))).status, 101, `${shiftMs} ms: newcomers are let in`)
    }
  }
  const written = await population.write(100, jumps())
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 }, 'nobody was closed')
  t.ok(shiftsMs.every((off) => Math.abs(off) < 1_000), 'the clocks did jump')
  const leasesLost = await world.count('registry_leases_lost_total')
  t.equal(leasesLost, 0, 'no lease was called lost')
  return { jumps: JUMPS_MS.length, written, closes: verdict.returns, leasesLost, lost: verdict.lost }
})

const MAX_CONNECTIONS = 40
/** Files that are left when the limit is set. */
const SPARE_FILES = 20
const PEERS = 200
/** Files that the node lets go of, or opens, for reasons of its own. */
const FILES_SLACK = 5
const FULL_MS = 2_000

function limitFiles (pid: number, files: string): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${files}`])
}

row('N7', '[GW-OVL-1] a node out of files refuses and resets newcomers, serves those it has, and recovers', { nodes: ['node-a'], settings: { MAX_CONNECTIONS: String(MAX_CONNECTIONS) } }, async (t, world) => {
  const node = first(world)
  const pid = pidOf(node)
  const clients = await quietClients(t, world, node, MAX_CONNECTIONS)
  // The caller's connection takes a file as well, and is there before they run out.
  t.strictSame(await pushToAll(world, node, clients, 'p-before'), new Set(['ACKED']))
  const atTheCap = await knock(node.url, stranger(world, 'late'))
  t.match([atTheCap.status, (atTheCap.retryAfterS ?? 0) > 0], [503, true], 'at the cap it says so')
  const limit = /Max open files\s+(\d+)\s+(\d+)/.exec(execFileSync('cat', [`/proc/${pid}/limits`], { encoding: 'utf8' }))
  limitFiles(pid, `${openFiles(pid) + SPARE_FILES}:`)
  const peers: Socket[] = []
  t.teardown(() => { for (const peer of peers) peer.destroy() })
  let reset = 0
  for (let i = 0; i < PEERS; i++) {
    const peer = connect({ port: node.port, host: '127.0.0.1' })
    peer.on('error', () => { /* its close follows */ })
    peer.once('close', () => { reset++ })
    peer.resume()
    peers.push(peer)
  }
  const filled = performance.now()
  await eventually(() => reset >= PEERS - SPARE_FILES - FILES_SLACK, FULL_MS).catch(() => {})
  t.ok(reset >= PEERS - SPARE_FILES - FILES_SLACK, `${reset} of ${PEERS} are reset at once, where there are files for ${SPARE_FILES}`)
  const resetMs = Math.round(performance.now() - filled)
  // Long enough for everything that the node does now and then.
  await pause(FULL_MS)
  t.strictSame(await pushToAll(world, node, clients, 'p-full'), new Set(['ACKED']), 'those it has are served')
  await Promise.all(peers.map(async (peer) => {
    if (peer.closed) return
    const closed = once(peer, 'close')
    peer.destroy()
    await closed
  }))
  const [user, leaver] = [...clients][0] as [string, ManualClient]
  leaver.close()
  clients.delete(user)
  const freed = performance.now()
  await eventually(async () => (await knock(node.url, stranger(world, 'next')).catch(() => undefined))?.status === 101, PATIENCE_MS)
  const recoveredMs = Math.round(performance.now() - freed)
  t.strictSame(await pushToAll(world, node, clients, 'p-after'), new Set(['ACKED']))
  limitFiles(pid, `${limit?.[1]}:${limit?.[2]}`)
  const closes = closedUnasked(world) - 1
  t.equal(closes, 0, 'nobody was closed but the one who left')
  return { connections: MAX_CONNECTIONS, peers: PEERS, reset, resetMs, recoveredMs, closes }
})
