/** What befalls etcd: nobody is closed for it, and afterwards the registry is the truth again. */
import { setTimeout as pause } from 'node:timers/promises'
import { Etcd3 } from 'etcd3'
import type { Test } from 'tap'
import { NODES, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'
import { registerAgain } from './harness/crowd.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { knock, type Answer } from './harness/knock.ts'
import { isTrue, liveKeys } from './harness/registry-truth.ts'
import { isLong, PATIENCE_MS, row, TTL_MS, type Figures } from './harness/row.ts'

const PEOPLE = 300
const SIZES = { people: PEOPLE, groups: 10, groupSize: 20 }
const PER_SECOND = 100
const LEAVERS = 30
const SHORT_MS = isLong ? 10_000 : 3_000
const BEYOND_TTL_MS = TTL_MS + (isLong ? 30_000 : 6_000)

interface Fault {
  readonly lastsMs: number
  readonly strike: (world: FaultWorld) => Promise<unknown> | unknown
  readonly mend: (world: FaultWorld) => Promise<unknown> | unknown
  /** Of the registry after the end of the fault. */
  readonly repairedMs: number
  /** While it lasts. */
  readonly meanwhile?: (world: FaultWorld) => Promise<unknown>
  /** From its end on. */
  readonly afterwards?: (world: FaultWorld) => Promise<Figures>
}

const leaverNames = (world: FaultWorld): string[] => Array.from({ length: LEAVERS }, (_, i) => `leaver${i}-${world.run}`)

/** People go on writing during it, and some devices leave. */
async function befall (t: Test, world: FaultWorld, { lastsMs, strike, mend, repairedMs, meanwhile, afterwards }: Fault): Promise<Figures> {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const leavers = await world.connect(t, leaverNames(world), PATIENCE_MS)
  await eventually(() => isTrue(world), PATIENCE_MS)
  let healedMs = 0
  const fault = world.strike(async () => {
    await strike(world)
    for (const client of leavers) client.close()
    await Promise.all([pause(lastsMs), meanwhile?.(world)])
    await mend(world)
    healedMs = performance.now()
  })
  const looking = fault.then(() => afterwards?.(world))
  // Awaited below, where the fault itself did not fail.
  looking.catch(() => {})
  const written = await population.write(PER_SECOND, fault)
  await eventually(() => isTrue(world).catch(() => false), PATIENCE_MS).catch(() => {})
  const repairMs = Math.round(performance.now() - healedMs)
  t.ok(await isTrue(world), 'the registry is the truth again')
  t.ok(repairMs <= repairedMs, `in time: ${repairMs} ms`)
  const figures = await looking
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 }, 'nobody was closed for it and no message was lost')
  return { written, repairMs, closes: verdict.returns, lost: verdict.lost, ...figures }
}

const knockAt = (world: FaultWorld, url: string, name: string): Promise<Answer> => knock(url, world.world.auth.mint(`${name}-${world.run}`, 'phone').accessToken)

/** All of them are told to come back, and not all at once. */
function areRefused (t: Test, answers: readonly Answer[]): void {
  t.strictSame(answers.filter(({ status, retryAfterS = 0 }) => status !== 503 || !(retryAfterS > 0)), [], 'each is told to come back later')
  t.ok(new Set(answers.map(({ retryAfterS }) => retryAfterS)).size > 1, 'at different times')
}

const killed = { strike: (world: FaultWorld) => world.services.kill('etcd1'), mend: (world: FaultWorld) => world.services.restart('etcd') }

const STRANGERS_A_NODE = 5

row('E1', '[GW-CON-6] etcd is gone for less than the TTL: who is in stays, new connections get 503 with Retry-After', { ttlMs: isLong ? TTL_MS : 15_000, bounds: { repairedMs: 5_000 } }, async (t, world) => {
  const strike = async (): Promise<void> => {
    await killed.strike(world)
    areRefused(t, await Promise.all(world.nodes.flatMap(({ nodeId, url }) => Array.from({ length: STRANGERS_A_NODE }, (_, i) => knockAt(world, url, `stranger${i}-${nodeId}`)))))
  }
  return await befall(t, world, { ...killed, strike, lastsMs: SHORT_MS, repairedMs: 5_000 })
})

/** Polls for longer than the leases from before the fault can live; how many polls lacked a key of somebody who is connected. */
async function missingKeys (world: FaultWorld): Promise<{ readonly polls: number, readonly missing: number }> {
  const keys = [...liveKeys(world).values()]
  let [polls, missing] = [0, 0]
  await eventually(() => world.outside.kv.range(USERS, { limit: 1 }).then(() => true, () => false), PATIENCE_MS)
  for (const untilMs = performance.now() + TTL_MS + 3_000; performance.now() < untilMs; polls++) {
    const there = new Set((await world.outside.kv.range(USERS, { prefix: true })).entries.map(({ key }) => key))
    missing += Number(keys.some((key) => !there.has(key)))
    await pause(20)
  }
  return { polls, missing }
}

row('E2', '[GW-CON-6] etcd is gone for longer than the TTL: no key is missing when it is back', {}, async (t, world) => {
  const figures = await befall(t, world, { ...killed, lastsMs: BEYOND_TTL_MS, repairedMs: 30_000, afterwards: missingKeys })
  t.ok(figures['missing'] === 0 && (figures['polls'] ?? 0) > TTL_MS / 100, 'no poll lacked a key')
  return figures
})

/** More than have sockets here; the long form alone has the time. */
const CROWD = 100_000
const REPAIRED_MS = 10_000

row('E3', '[GW-CON-6] the nodes are cut off from etcd for longer than the TTL: they say so, deliver on, and register again', { lines: ['etcd'], bounds: { repairedMs: REPAIRED_MS } }, async (t, world) => {
  let detectMs = Infinity
  const figures = await befall(t, world, {
    lastsMs: BEYOND_TTL_MS,
    strike: (struck) => {
      const started = performance.now()
      struck.line('etcd').cut()
      const told = async (): Promise<boolean> => (await Promise.all(struck.nodes.map((node) => struck.countOn(node, 'registry_leases_lost_total')))).every((count) => count > 0)
      void eventually(told, PATIENCE_MS).then(() => { detectMs = Math.round(performance.now() - started) }, () => {})
    },
    mend: (mended) => { mended.line('etcd').heal() },
    repairedMs: REPAIRED_MS
  })
  t.ok(detectMs <= TTL_MS + 1_000, `each node tells that its leases are lost, after ${detectMs} ms`)
  if (!isLong) return { ...figures, detectMs }
  const crowdMs = await registerAgain(t, CROWD, PATIENCE_MS)
  t.ok(crowdMs <= REPAIRED_MS, `${CROWD} keys are there again after ${crowdMs} ms`)
  return { ...figures, detectMs, crowd: CROWD, crowdMs }
})

const CAP = 50
const KNOCKS_AT_ONCE = 80
/** ADMISSION_TIMEOUT and what a busy machine adds. */
const ANSWERED_MS = isLong ? 2_000 : 3_000
/** Of the gauge, which is a mean of half a second; in CI the machine is shared. */
const LOOP_DELAY_S = isLong ? 0.05 : 0.2

row('E4', '[GW-CON-6] etcd is frozen for longer than the TTL: calls end in time, and no more of them wait than may', { settings: { MAX_PENDING_HANDSHAKES: String(CAP) } }, async (t, world) => {
  const figures = { knocks: 0, slowestMs: 0, mostPending: 0, loopDelayMs: 0 }
  const answers: Answer[] = []
  /** More clients knock than may wait, all the time. */
  const flood = async (untilMs: number): Promise<void> => {
    for (let round = 0; performance.now() < untilMs; round++) {
      const [node] = world.nodes
      answers.push(...await Promise.all(Array.from({ length: KNOCKS_AT_ONCE }, (_, i) => knockAt(world, node?.url ?? '', `stranger${round}-${i}`))))
    }
  }
  const look = async (untilMs: number): Promise<void> => {
    while (performance.now() < untilMs) {
      for (const node of world.nodes) {
        figures.mostPending = Math.max(figures.mostPending, await world.countOn(node, 'pending_handshakes'))
        figures.loopDelayMs = Math.max(figures.loopDelayMs, Math.round(1000 * await world.countOn(node, 'event_loop_delay_seconds')))
      }
      await pause(100)
    }
  }
  const all = await befall(t, world, {
    lastsMs: BEYOND_TTL_MS,
    strike: () => world.services.freeze('etcd1'),
    mend: () => world.services.thaw('etcd1'),
    meanwhile: async () => {
      const untilMs = performance.now() + BEYOND_TTL_MS - ANSWERED_MS
      await Promise.all([flood(untilMs), look(untilMs)])
    },
    repairedMs: 30_000
  })
  areRefused(t, answers)
  figures.knocks = answers.length
  figures.slowestMs = Math.round(Math.max(...answers.map(({ tookMs }) => tookMs)))
  t.ok(figures.slowestMs <= ANSWERED_MS, `the slowest answer took ${figures.slowestMs} ms`)
  t.ok(figures.mostPending > CAP / 2 && figures.mostPending <= CAP, `${figures.mostPending} waited at most`)
  t.ok(figures.loopDelayMs <= LOOP_DELAY_S * 1000, `the event loop was ${figures.loopDelayMs} ms late`)
  return { ...all, ...figures }
})

const STALE_MS = 5_000

row('E5', '[GW-CON-6] etcd is compacted while the watch is cut, with keys deleted: everything is read again', { lines: ['etcd'], bounds: { repairedMs: STALE_MS } }, async (t, world) => {
  const admin = new Etcd3({ hosts: world.services.address('ETCD_ENDPOINTS') })
  t.teardown(() => { admin.close() })
  const before = await world.count('watch_resync_total')
  /** Devices of the leavers, as the nodes know them. */
  const known = async (): Promise<number> => {
    const answers = await Promise.all(world.nodes.map(({ grpc }) => world.world.gatewayClient.presence(grpc, leaverNames(world))))
    return answers.reduce((sum, { users }) => sum + users.reduce((devices, user) => devices + user.devices.length, 0), 0)
  }
  const figures = await befall(t, world, {
    lastsMs: SHORT_MS,
    strike: async (struck) => {
      t.equal(await known(), LEAVERS * struck.nodes.length, 'each node knows them all')
      struck.line('etcd').cut()
      const { entries } = await struck.outside.kv.range(USERS, { prefix: true })
      const left = entries.filter(({ key }) => key.startsWith(`${USERS}leaver`))
      t.equal(left.length, LEAVERS)
      for (const { key } of [...left, ...entries.slice(-LEAVERS)]) await admin.delete().key(key)
      for (let i = 0; i < 100; i++) await admin.put('/elsewhere').value(String(i))
      const { header } = await admin.kv.range({ key: Buffer.from('/elsewhere') })
      await admin.kv.compact({ revision: header.revision, physical: true })
    },
    mend: (mended) => { mended.line('etcd').heal() },
    afterwards: async () => {
      const healedMs = performance.now()
      await eventually(async () => await known() === 0, PATIENCE_MS).catch(() => {})
      return { stale: await known(), staleMs: Math.round(performance.now() - healedMs) }
    },
    repairedMs: STALE_MS
  })
  t.ok(figures['stale'] === 0 && (figures['staleMs'] ?? Infinity) <= STALE_MS, `no node knows what is gone after ${figures['staleMs']} ms`)
  const resyncs = await world.count('watch_resync_total') - before
  t.ok(resyncs >= world.nodes.length, 'each node reads everything again')
  return { ...figures, resyncs }
})

const HOLE_MS = isLong ? 30_000 : 20_000
const DETECTED_MS = 15_000
const BELIEVED_MS = 20_000
const MOVERS = 20

row('E7', '[GW-CON-6] the watch of a node falls silent: it is found out, and what may be old is no longer told as true', { nodes: ['node-b', 'node-c'] }, async (t, world) => {
  const [old, next] = world.nodes
  if (old === undefined || next === undefined) throw new Error('the row needs two nodes')
  const hole = await TcpProxy.to(world.services.address('ETCD_ENDPOINTS').replace('http://', ''))
  t.teardown(() => { hole.close() })
  const blind = await world.startNode('node-a', { ETCD_ENDPOINTS: `http://${hole.address}` })
  const names = (name: string): string[] => Array.from({ length: MOVERS }, (_, i) => `${name}${i}-${world.run}`)
  const stayers = await world.connect(t, names('stays'), PATIENCE_MS, blind.url)
  const movers = names('moves')
  await world.connect(t, movers, PATIENCE_MS, old.url)
  /** Where the blind node says that the movers are, and whether it is sure. */
  const ask = async (): Promise<{ readonly isSure: boolean, readonly nodes: readonly string[] }> => {
    const { users, incomplete } = await world.world.gatewayClient.presence(blind.grpc, movers)
    return { isSure: !incomplete, nodes: users.flatMap(({ devices }) => devices.map(({ nodeId }) => nodeId)) }
  }
  const isAt = async (nodeId: string): Promise<boolean> => {
    const { isSure, nodes } = await ask()
    return isSure && nodes.length === MOVERS && nodes.every((each) => each === nodeId)
  }
  await eventually(() => isAt(old.nodeId), PATIENCE_MS)
  let [detectMs, believedMs] = [Infinity, 0]
  await world.strike(async () => {
    const struckMs = performance.now()
    hole.freeze()
    await world.connect(t, movers, PATIENCE_MS, next.url)
    const movedMs = performance.now()
    while (performance.now() < struckMs + HOLE_MS) {
      const { isSure, nodes } = await ask()
      if (isSure && nodes.includes(old.nodeId)) believedMs = Math.round(performance.now() - movedMs)
      if (detectMs === Infinity && await world.countOn(blind, 'registry_watch_live') === 0) detectMs = Math.round(performance.now() - struckMs)
      await pause(100)
    }
    hole.thaw()
  })
  const healedMs = performance.now()
  await eventually(() => isAt(next.nodeId), PATIENCE_MS)
  await eventually(() => isTrue(world), PATIENCE_MS)
  const repairMs = Math.round(performance.now() - healedMs)
  t.ok(detectMs <= DETECTED_MS, `found out after ${detectMs} ms`)
  t.ok(believedMs <= BELIEVED_MS, `old routes were told as true for ${believedMs} ms`)
  t.ok(repairMs <= 30_000, `all is true again after ${repairMs} ms`)
  const closes = stayers.filter(({ sessions, state }) => sessions !== 1 || state !== 'open').length
  t.equal(closes, 0, 'nobody was closed for it')
  return { detectMs, believedMs, repairMs, closes }
})

row('E8', '[GW-CON-6] an operator revokes every lease: all is registered again', { bounds: { repairedMs: 5_000 } }, async (t, world) => {
  let leases = 0
  const figures = await befall(t, world, {
    lastsMs: 0,
    strike: async ({ outside: { kv } }) => {
      const entries = [...(await kv.range(USERS, { prefix: true })).entries, ...(await kv.range(NODES, { prefix: true })).entries]
      const ids = new Set(entries.map(({ leaseId }) => leaseId))
      leases = ids.size
      for (const id of ids) await kv.revokeLease(id)
    },
    mend: () => {},
    afterwards: async ({ outside: { kv }, nodes }) => {
      const revokedMs = performance.now()
      await eventually(async () => (await kv.range(NODES, { prefix: true })).entries.length === nodes.length, PATIENCE_MS)
      return { nodeKeysMs: Math.round(performance.now() - revokedMs) }
    },
    repairedMs: 5_000
  })
  t.ok(leases >= world.nodes.length, 'each node had some')
  t.ok((figures['nodeKeysMs'] ?? Infinity) <= 5_000, 'the nodes themselves as well')
  return { ...figures, leases }
})
