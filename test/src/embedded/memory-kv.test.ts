import t from 'tap'
import { GatewayError } from '../../../src/errors.ts'
import { MemoryKv } from '../../../src/embedded/memory-kv.ts'
import { MemoryStore } from '../../../src/embedded/memory-store.ts'
import { KvRejectedError } from '../../../src/ports.ts'
import type { KvOperation } from '../../../src/ports.ts'
import { kvConformance, WatchLog } from '../../helpers/kv-conformance.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

const UNAVAILABLE = { name: 'GatewayError', code: 'SERVICE_UNAVAILABLE' }
const put = (key: string, value: string, leaseId: string): KvOperation => ({ when: [], then: { put: key, value, leaseId } })

function world () {
  const clock = new ManualClock()
  const store = new MemoryStore({ clock })
  return { clock, store, kv: new MemoryKv({ clock, store }) }
}

t.test('the store in this process does what a store has to do', async (t) => {
  const { clock, store, kv } = world()
  await kvConformance(t, {
    kv,
    root: '/test/',
    compact: async (revision) => { store.compact(revision) },
    pass: (ms) => clock.run(ms),
    until: async (holds) => {
      await settle()
      t.ok(holds())
    }
  })
})

t.test('two clients see one world, and each has faults of its own', async (t) => {
  const { clock, store, kv } = world()
  const other = new MemoryKv({ clock, store })
  const lease = await kv.grantLease(60)
  kv.cut()
  await t.rejects(kv.batch([put('/a', '1', lease)]), UNAVAILABLE)
  await t.rejects(kv.range('/a'), GatewayError)
  await other.batch([put('/a', '2', lease)])
  kv.heal()
  t.equal((await kv.range('/a')).entries[0]?.value, '2')
  t.equal(kv.calls, 4)
})

t.test('a call that meets a frozen store runs into its deadline, and is done all the same when the store thaws', async (t) => {
  const { clock, kv } = world()
  const lease = await kv.grantLease(60)
  kv.freeze()
  const call = kv.batch([put('/a', '1', lease)])
  const seen = t.rejects(call, UNAVAILABLE)
  await clock.run(3_000)
  await seen
  const second = kv.range('/a')
  const refused = t.rejects(kv.batch([put('/a', '1', 'no lease')]), KvRejectedError)
  kv.heal()
  t.equal((await second).entries[0]?.value, '1')
  await refused
})

t.test('an answer can be lost: the work is done and the caller cannot know', async (t) => {
  const { kv } = world()
  const lease = await kv.grantLease(60)
  kv.loseAnswers(1)
  await t.rejects(kv.batch([put('/a', '1', lease)]), UNAVAILABLE)
  t.equal((await kv.range('/a')).entries.length, 1)
})

t.test('watches end when the connection is cut, are refused until it heals, fall silent in a freeze and then catch up', async (t) => {
  const { clock, store, kv } = world()
  const lease = await kv.grantLease(60)
  const log = new WatchLog(kv, '/', 1)
  await clock.run(8_000)
  t.strictSame(log.progress, [0, 0, 0], 'a sign of life every four seconds')
  kv.freeze()
  store.batch([put('/a', '1', lease)])
  await clock.run(8_000)
  t.strictSame([log.events.length, log.progress.length], [0, 3])
  kv.heal()
  t.equal(log.events.length, 1)
  kv.cut()
  t.match(log.ends, [{ error: Error }])
  const refused = new WatchLog(kv, '/', 1)
  await settle()
  t.match(refused.ends, [{ error: Error }])
  kv.heal()
  const late = new WatchLog(kv, '/', 1)
  kv.endWatches()
  await settle()
  t.strictSame([late.ends.length, late.progress.length], [1, 0])
  await kv.close()
  await t.rejects(kv.range('/'), UNAVAILABLE)
})

t.test('history is bounded: what is too old is compacted by itself', async (t) => {
  const clock = new ManualClock()
  const store = new MemoryStore({ clock, historyChanges: 10 })
  const kv = new MemoryKv({ clock, store })
  const lease = await kv.grantLease(600)
  for (let i = 0; i < 30; i++) await kv.batch([put(`/k${i % 3}`, String(i), lease)])
  t.ok(store.compacted > 15 && store.compacted < store.revision)
  t.strictSame((await kv.range('/', { prefix: true, atRevision: store.revision - 2 })).entries.map(({ value }) => value), ['27', '25', '26'])
  t.strictSame([store.size, store.leaseIds.length], [3, 1])
})
