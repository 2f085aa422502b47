/** What befalls etcd: nobody is closed for it, and afterwards the registry is the truth again. */
import { Etcd3 } from 'etcd3'
import type { Test } from 'tap'
import { deviceKey, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { pause, type FaultWorld } from './harness/fault-world.ts'
import { knock } from './harness/knock.ts'
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
}

/** People go on writing during it, and some devices leave. */
async function befall (t: Test, world: FaultWorld, { lastsMs, strike, mend, repairedMs }: Fault): Promise<Figures> {
  const population = await world.populate(t, SIZES, PATIENCE_MS)
  const leavers = await world.connect(t, Array.from({ length: LEAVERS }, (_, i) => `leaver${i}-${world.run}`), PATIENCE_MS)
  await eventually(() => isTrue(world), PATIENCE_MS)
  let healedMs = 0
  const fault = world.strike(async () => {
    await strike(world)
    for (const client of leavers) client.close()
    await pause(lastsMs)
    await mend(world)
    healedMs = performance.now()
  })
  const written = await population.write(PER_SECOND, fault)
  await eventually(() => isTrue(world).catch(() => false), PATIENCE_MS).catch(() => {})
  const repairMs = Math.round(performance.now() - healedMs)
  t.ok(await isTrue(world), 'the registry is the truth again')
  t.ok(repairMs <= repairedMs, `in time: ${repairMs} ms`)
  const verdict = await population.verdict(PATIENCE_MS)
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0, returns: 0 }, 'nobody was closed for it and no message was lost')
  return { written, repairMs, closes: verdict.returns, lost: verdict.lost }
}

/** Whether etcd holds what is connected, and nothing else. */
async function isTrue (world: FaultWorld): Promise<boolean> {
  const { entries } = await world.outside.kv.range(USERS, { prefix: true })
  const live = new Map<string, string>()
  for (const entry of world.ledger.entries) {
    if (entry.kind === 'opened') live.set(entry.conn, deviceKey(entry.user, entry.device))
    else if (entry.kind === 'closed') live.delete(entry.conn)
  }
  return entries.length === live.size && entries.every(({ key, value }) => live.get((JSON.parse(value) as { conn: string }).conn) === key)
}

const killed = { strike: (world: FaultWorld) => world.services.kill('etcd1'), mend: (world: FaultWorld) => world.services.restart('etcd') }

row('E1', '[GW-CON-6] etcd is gone for less than the TTL: who is in stays, new connections get 503 with Retry-After', { ttlMs: isLong ? TTL_MS : 15_000, bounds: { repairedMs: 5_000 } }, async (t, world) => {
  const strike = async (): Promise<void> => {
    await killed.strike(world)
    const answers = await Promise.all(world.nodes.map(({ nodeId, url }) => knock(url, world.world.auth.mint(`stranger-${nodeId}-${world.run}`, 'phone').accessToken)))
    t.strictSame(answers.filter(({ status, retryAfterS = 0 }) => status !== 503 || !(retryAfterS > 0)), [], 'each is told to come back later')
  }
  return await befall(t, world, { ...killed, strike, lastsMs: SHORT_MS, repairedMs: 5_000 })
})

row('E2', '[GW-CON-6] etcd is gone for longer than the TTL', {}, (t, world) => befall(t, world, { ...killed, lastsMs: BEYOND_TTL_MS, repairedMs: 30_000 }))

row('E3', '[GW-CON-6] the nodes are cut off from etcd for longer than the TTL: they say so, deliver on, and register again', { lines: ['etcd'] }, async (t, world) => {
  let detectMs = Infinity
  const figures = await befall(t, world, {
    lastsMs: BEYOND_TTL_MS,
    strike: (struck) => {
      const started = performance.now()
      struck.line('etcd').cut()
      const detect = eventually(async () => await struck.count('registry_leases_lost_total') > 0, PATIENCE_MS)
      void detect.then(() => { detectMs = Math.round(performance.now() - started) }, () => {})
    },
    mend: (mended) => { mended.line('etcd').heal() },
    repairedMs: 30_000
  })
  t.ok(detectMs <= TTL_MS + 1_000, `the loss of the leases is told after ${detectMs} ms`)
  return { ...figures, detectMs }
})

row('E4', '[GW-CON-6] etcd is frozen for longer than the TTL', {}, (t, world) => befall(t, world, {
  lastsMs: BEYOND_TTL_MS, strike: () => world.services.freeze('etcd1'), mend: () => world.services.thaw('etcd1'), repairedMs: 30_000
}))

row('E5', '[GW-CON-6] etcd is compacted while the watch is cut, with keys deleted: everything is read again', { lines: ['etcd'] }, async (t, world) => {
  const admin = new Etcd3({ hosts: world.services.address('ETCD_ENDPOINTS') })
  t.teardown(() => { admin.close() })
  const before = await world.count('watch_resync_total')
  const figures = await befall(t, world, {
    lastsMs: SHORT_MS,
    strike: async (struck) => {
      struck.line('etcd').cut()
      const { entries } = await struck.outside.kv.range(USERS, { prefix: true })
      for (const { key } of entries.slice(-LEAVERS)) await admin.delete().key(key)
      for (let i = 0; i < 100; i++) await admin.put('/elsewhere').value(String(i))
      const { header } = await admin.kv.range({ key: Buffer.from('/elsewhere') })
      await admin.kv.compact({ revision: header.revision, physical: true })
    },
    mend: (mended) => { mended.line('etcd').heal() },
    repairedMs: 5_000
  })
  const resyncs = await world.count('watch_resync_total') - before
  t.ok(resyncs >= world.nodes.length, 'each node reads everything again')
  return { ...figures, resyncs }
})
