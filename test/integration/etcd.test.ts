/** The registry's store on a real etcd: the suite of every store, and what only the network has. */
import { setTimeout as pause } from 'node:timers/promises'
import { Etcd3 } from 'etcd3'
import t, { type Test } from 'tap'
import { EtcdKv } from '../../plugins/lib/etcd-kv.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { FakeHealth } from '../helpers/fakes.ts'
import { kvConformance, WatchLog } from '../helpers/kv-conformance.ts'
import { startService } from '../helpers/services.ts'

const PATIENCE_MS = 15_000
const endpoints = (process.env.ETCD_ENDPOINTS ?? '').split(',').filter(Boolean)
if (endpoints.length === 0) throw new Error('ETCD_ENDPOINTS is missing')

function open (t: Test, addresses: readonly string[], options: { username?: string, password?: string, timeoutMs?: number } = {}) {
  const health = new FakeHealth()
  const kv = new EtcdKv({ endpoints: addresses, timeoutMs: 1_000, clock: systemClock, health, ...options })
  t.teardown(() => kv.close())
  return { kv, health }
}

t.test('etcd does what a store has to do', async (t) => {
  // Of its own: the suite compacts, and others watch.
  const services = await startService(['etcd'])
  t.teardown(() => services.stop())
  const address = services.address('ETCD_ENDPOINTS')
  const { kv } = open(t, [address])
  const admin = new Etcd3({ hosts: address })
  t.teardown(() => admin.close())
  await kvConformance(t, {
    kv,
    root: '/conformance/',
    compact: async (revision) => { await admin.kv.compact({ revision, physical: true }) },
    pass: pause,
    until: (holds) => eventually(holds, PATIENCE_MS)
  })
})

/** Puts so many revisions of 100 keys each, some 40 KB. */
async function writeHistory (kv: EtcdKv, root: string, lease: string, revisions: number): Promise<void> {
  for (let i = 0; i < revisions; i++) {
    await kv.batch(Array.from({ length: 100 }, (_, j) => ({ when: [], then: { put: `${root}${i}/${j}`, value: 'x'.repeat(400), leaseId: lease } })))
  }
}

t.test('a watch takes in a history of many revisions with many keys each, up to a bound, and says where there is more', async (t) => {
  const { kv, health } = open(t, endpoints, { timeoutMs: 10_000 })
  const root = `/history-${process.pid}-${Date.now()}/`
  const lease = await kv.grantLease(60)
  const { revision } = await kv.range(root)
  await writeHistory(kv, root, lease, 120)
  const log = new WatchLog(kv, root, revision + 1)
  await eventually(() => log.events.length >= 12_000 || log.ends.length > 0, PATIENCE_MS)
  t.strictSame([log.ends, new Set(log.events.map(({ key }) => key)).size], [[], 12_000])
  t.strictSame(log.events.map(({ revision }) => revision), log.events.map(({ revision }) => revision).sort((a, b) => a - b))
  log.watch.cancel()
  await writeHistory(kv, root, lease, 120)
  const late = new WatchLog(kv, root, revision + 1)
  await eventually(() => late.ends.length > 0, PATIENCE_MS)
  t.match(late.ends, [{ tooLong: true }])
  t.strictSame([late.events, [...health.downs.keys()]], [[], []], 'which is no failure of etcd')
  await kv.revokeLease(lease)
})

t.test('a watch without events shows every few seconds that it lives', async (t) => {
  const { kv } = open(t, endpoints)
  const { revision } = await kv.range('/quiet')
  const log = new WatchLog(kv, '/nothing-happens-here/', revision + 1)
  await eventually(() => log.progress.length >= 2, PATIENCE_MS)
  t.ok(log.progress.every((told) => told === revision), 'and does not claim more than it was told')
  log.watch.cancel()
})

t.test('nobody listens at the address: calls fail at once, the watch ends, readiness can name it', async (t) => {
  const { kv, health } = open(t, ['http://127.0.0.1:1'])
  await t.rejects(kv.range('/a'), { name: 'GatewayError', code: 'SERVICE_UNAVAILABLE' })
  await t.rejects(kv.grantLease(1), { code: 'SERVICE_UNAVAILABLE' })
  await t.rejects(kv.renewLease('1'), { code: 'SERVICE_UNAVAILABLE' })
  const log = new WatchLog(kv, '/a', 1)
  await eventually(() => log.ends.length === 1, PATIENCE_MS)
  t.match(log.ends, [{ error: Error }])
  t.ok(health.downs.has('etcd'))
  await kv.close()
  await t.rejects(kv.range('/a'), { code: 'SERVICE_UNAVAILABLE' })
})

t.test('a dead member costs one call: the next endpoint takes over', async (t) => {
  const { kv, health } = open(t, ['http://127.0.0.1:1', ...endpoints])
  await pause(600)
  await t.rejects(kv.range('/a'), { code: 'SERVICE_UNAVAILABLE' })
  await t.resolves(kv.range('/a'))
  t.notOk(health.downs.has('etcd'))
})

t.test('a frozen etcd: calls end at their deadline, and go on once it thaws', async (t) => {
  const services = await startService(['etcd'])
  t.teardown(() => services.stop())
  const { kv, health } = open(t, [services.address('ETCD_ENDPOINTS')])
  const lease = await kv.grantLease(60)
  await services.freeze('etcd1')
  const started = performance.now()
  await t.rejects(kv.batch([{ when: [], then: { put: '/a', value: '1', leaseId: lease } }]), { code: 'SERVICE_UNAVAILABLE' })
  const tookMs = performance.now() - started
  t.ok(tookMs > 900 && tookMs < 2_000, `${tookMs} ms`)
  t.ok(health.downs.has('etcd'))
  await services.thaw('etcd1')
  await eventually(() => kv.range('/a').then(() => true, () => false), PATIENCE_MS)
  t.notOk(health.downs.has('etcd'))
})

t.test('a user with a password, and a role for the prefix alone', async (t) => {
  const services = await startService(['etcd'])
  t.teardown(() => services.stop())
  const address = services.address('ETCD_ENDPOINTS')
  const admin = new Etcd3({ hosts: address })
  t.teardown(() => admin.close())
  const root = await admin.user('root').create('root password')
  await root.addRole('root')
  const role = await admin.role('gateway').create()
  await role.grant({ permission: 'Readwrite', range: admin.range({ prefix: '/registry/' }) })
  const user = await admin.user('gateway').create('a password')
  await user.addRole('gateway')
  await admin.auth.authEnable()
  const { kv } = open(t, [address], { username: 'gateway', password: 'a password' })
  const lease = await kv.grantLease(60)
  const put = (key: string) => kv.batch([{ when: [{ kind: 'absent', key }], then: { put: key, value: '1', leaseId: lease } }])
  t.equal((await put('/registry/users/a/b')).results[0]?.succeeded, true)
  t.match(await kv.range('/elsewhere').catch((error: unknown) => error), { name: 'KvRejectedError', reason: 'request' })
  const log = new WatchLog(kv, '/registry/', 1)
  await eventually(() => log.events.length === 1, PATIENCE_MS)
  log.watch.cancel()
  await t.rejects(open(t, [address], { username: 'gateway', password: 'wrong' }).kv.range('/registry/a'))
})
