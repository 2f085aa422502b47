/** What every ports.KvStore has to do, be it etcd or the one in this process: the registry is tried on both. */
import type { Test } from 'tap'
import { KvCompactedError } from '../../src/ports.ts'
import type { KvEntry, KvEvent, KvOperation, KvStore, KvWatch, WatchEnd } from '../../src/ports.ts'

export interface KvWorld {
  readonly kv: KvStore
  /** Ends in a slash; sets the keys apart from those of other runs. */
  readonly root: string
  /** Forgets all history up to a revision. */
  compact (revision: number): Promise<void>
  /** Lets time pass, for leases of a second or two. */
  pass (ms: number): Promise<void>
  /** Waits until it holds. */
  until (holds: () => boolean): Promise<void>
}

export class WatchLog {
  readonly events: KvEvent[] = []
  readonly progress: number[] = []
  readonly ends: WatchEnd[] = []
  revision = 0
  readonly watch: KvWatch

  constructor (kv: KvStore, prefix: string, fromRevision: number) {
    this.watch = kv.watch(prefix, fromRevision, {
      onEvents: (events, revision) => {
        this.events.push(...events)
        this.revision = revision
      },
      onProgress: (revision) => { this.progress.push(revision) },
      onEnd: (reason) => { this.ends.push(reason) }
    })
  }

  get told (): string[] { return this.events.map((event) => event.type === 'put' ? `${event.key}=${event.value}` : `${event.key} is gone`) }
}

const pairs = (entries: readonly KvEntry[]) => entries.map(({ key, value }) => `${key}=${value}`)

export async function kvConformance (t: Test, { kv, root, compact, pass, until }: KvWorld): Promise<void> {
  const put = (key: string, value: string, leaseId: string, when: KvOperation['when'] = [], otherwise?: KvOperation['otherwise']): KvOperation =>
    ({ when, then: { put: root + key, value, leaseId }, ...(otherwise && { otherwise }) })
  const remove = (key: string, when: KvOperation['when'] = []): KvOperation => ({ when, then: { remove: root + key } })
  const lease = await kv.grantLease(60)
  const write = async (...keys: string[]) => (await kv.batch(keys.map((key) => put(key, `${key}!`, lease)))).revision

  await t.test('a range gives the keys of a prefix in order, page by page, and none of a prefix that only begins alike', async (t) => {
    await write('range/b/2', 'range/b/1', 'range/b/3', 'range/bob/1')
    const whole = await kv.range(`${root}range/b/`, { prefix: true })
    t.strictSame(pairs(whole.entries), ['1', '2', '3'].map((id) => `${root}range/b/${id}=range/b/${id}!`))
    t.equal(whole.more, false)
    const first = await kv.range(`${root}range/b/`, { prefix: true, limit: 2 })
    t.strictSame([first.entries.length, first.more], [2, true])
    const rest = await kv.range(`${root}range/b/`, { prefix: true, limit: 2, startAfter: first.entries.at(-1)?.key ?? '' })
    t.strictSame([pairs(rest.entries), rest.more], [[`${root}range/b/3=range/b/3!`], false])
    t.strictSame((await kv.range(`${root}range/b/1`)).entries.map(({ key, leaseId }) => [key, leaseId]), [[`${root}range/b/1`, lease]])
    t.strictSame((await kv.range(`${root}range/none`)).entries, [])
  })

  await t.test('a range sees the past until it is compacted', async (t) => {
    const before = await write('past/a')
    await kv.batch([put('past/a', 'later', lease), put('past/b', 'new', lease)])
    t.strictSame(pairs((await kv.range(`${root}past/`, { prefix: true, atRevision: before })).entries), [`${root}past/a=past/a!`])
    await compact((await write('past/c')))
    await t.rejects(kv.range(`${root}past/`, { prefix: true, atRevision: before }), KvCompactedError)
  })

  await t.test('operations of a batch are judged one by one, each by its own conditions', async (t) => {
    await write('batch/there')
    const { results, revision } = await kv.batch([
      put('batch/new', '1', lease, [{ kind: 'absent', key: `${root}batch/new` }]),
      put('batch/there', '2', lease, [{ kind: 'absent', key: `${root}batch/there` }], { read: `${root}batch/there` }),
      remove('batch/gone', [{ kind: 'value', key: `${root}batch/gone`, equals: 'x' }]),
      put('batch/mine', '3', lease, [{ kind: 'absent', key: `${root}batch/mine` }, { kind: 'value', key: `${root}batch/there`, equals: 'batch/there!' }]),
      { when: [], then: undefined, otherwise: { read: `${root}batch/there` } }
    ])
    t.strictSame(results.map(({ succeeded, entries }) => [succeeded, pairs(entries)]), [
      [true, []], [false, [`${root}batch/there=batch/there!`]], [false, []], [true, []], [false, [`${root}batch/there=batch/there!`]]
    ])
    const { entries } = await kv.range(`${root}batch/`, { prefix: true })
    t.strictSame(entries.map(({ key, modRevision }) => [key.slice(root.length), modRevision === revision]), [['batch/mine', true], ['batch/new', true], ['batch/there', false]])
  })

  await t.test('absent or of that value: either will do, and nothing else', async (t) => {
    await write('either/same', 'either/other')
    const either = (key: string, otherwise?: KvOperation['otherwise']) => put(key, `${key}!`, lease, [{ kind: 'absent-or-value', key: root + key, equals: `${key}!` }], otherwise)
    await kv.batch([put('either/other', 'x', lease)])
    const { results } = await kv.batch([either('either/same'), either('either/absent'), either('either/other', { read: `${root}either/other` })])
    t.strictSame(results.map(({ succeeded, entries }) => [succeeded, pairs(entries)]), [[true, []], [true, []], [false, [`${root}either/other=x`]]])
    t.strictSame(pairs((await kv.range(`${root}either/`, { prefix: true })).entries), ['absent=either/absent!', 'other=x', 'same=either/same!'].map((pair) => `${root}either/${pair}`))
  })

  await t.test('a prefix counts as unchanged without keys, after a delete, and not after a put', async (t) => {
    const guarded = async (revision: number) => (await kv.batch([put('guard/x/me', 'me', lease, [{ kind: 'prefix-unchanged', prefix: `${root}guard/x/`, revision }])])).results[0]?.succeeded
    const empty = (await kv.range(`${root}guard/x/`, { prefix: true })).revision
    t.equal(await guarded(empty), true)
    t.equal(await guarded(empty), false, 'our own put has changed it')
    const { revision } = await kv.range(`${root}guard/x/`, { prefix: true })
    await write('guard/xy/other')
    await kv.batch([remove('guard/x/me')])
    t.equal(await guarded(revision), true)
  })

  await t.test('conditions in a batch do not see the puts beside them', async (t) => {
    const { revision } = await kv.range(`${root}beside/`, { prefix: true })
    const guard = [{ kind: 'prefix-unchanged', prefix: `${root}beside/`, revision }] as const
    const { results } = await kv.batch([put('beside/1', '1', lease, guard), put('beside/2', '2', lease, guard)])
    t.strictSame(results.map(({ succeeded }) => succeeded), [true, true])
  })

  await t.test('a batch with a key twice, too many operations or a lease that is gone is refused whole', async (t) => {
    const refused = async (operations: KvOperation[], reason: string) => {
      const error = await kv.batch([put('refused/first', '1', lease), ...operations]).catch((error: unknown) => error)
      t.match(error, { name: 'KvRejectedError', reason })
      t.strictSame((await kv.range(`${root}refused/`, { prefix: true })).entries, [])
    }
    await refused([put('refused/a', '1', lease), put('refused/a', '2', lease)], 'request')
    await refused(Array.from({ length: 200 }, (_, i) => put(`refused/${i}`, '', lease)), 'request')
    const gone = await kv.grantLease(60)
    await kv.revokeLease(gone)
    await refused([put('refused/a', '1', gone)], 'lease')
    t.equal((await kv.batch([put('refused/b', '1', gone, [{ kind: 'value', key: `${root}refused/b`, equals: 'x' }])])).results[0]?.succeeded, false, 'unless the put is not to be done')
  })

  await t.test('a lease takes its keys with it, all in one revision, but none that was put under another since', async (t) => {
    const ours = await kv.grantLease(60)
    await kv.batch([put('lease/a', '1', ours), put('lease/b', '1', ours), put('lease/c', '1', ours)])
    const { revision } = await kv.batch([put('lease/c', '2', lease)])
    const log = new WatchLog(kv, `${root}lease/`, revision + 1)
    await kv.revokeLease(ours)
    await until(() => log.events.length === 2)
    t.strictSame(log.told, [`${root}lease/a is gone`, `${root}lease/b is gone`])
    t.equal(log.events[0]?.revision, log.events[1]?.revision)
    t.strictSame(pairs((await kv.range(`${root}lease/`, { prefix: true })).entries), [`${root}lease/c=2`])
    log.watch.cancel()
  })

  await t.test('a lease lives as long as it is renewed, then its keys vanish', async (t) => {
    const short = await kv.grantLease(2)
    await kv.batch([put('ttl/a', '1', short)])
    for (let i = 0; i < 3; i++) {
      await pass(1_000)
      t.equal(await kv.renewLease(short), 2)
    }
    t.equal((await kv.range(`${root}ttl/a`)).entries.length, 1)
    const log = new WatchLog(kv, `${root}ttl/`, (await kv.range(root)).revision + 1)
    await pass(4_000)
    await until(() => log.events.length === 1)
    t.equal(await kv.renewLease(short), 0)
    t.equal(await kv.renewLease('12345678'), 0, 'nor is there one that never was')
    log.watch.cancel()
  })

  await t.test('a watch says that it is open, tells the past from its revision on and then what happens, and ends unheard when cancelled', async (t) => {
    const before = await write('watch/0')
    await write('watch/1', 'watch/2')
    const log = new WatchLog(kv, `${root}watch/`, before + 1)
    await until(() => log.events.length === 2)
    t.equal(log.progress[0], before)
    await write('watching')
    await kv.batch([remove('watch/1'), put('watch/3', '3', lease)])
    await until(() => log.events.length === 4)
    t.strictSame(log.told.slice(0, 2), [`${root}watch/1=watch/1!`, `${root}watch/2=watch/2!`])
    t.strictSame(log.told.slice(2).sort(), [`${root}watch/1 is gone`, `${root}watch/3=3`])
    t.equal(log.revision, log.events.at(-1)?.revision)
    log.watch.cancel()
    await write('watch/4')
    await pass(100)
    t.strictSame([log.events.length, log.ends], [4, []])
  })

  await t.test('a watch from a revision that was compacted ends and says so', async (t) => {
    const before = await write('compacted/0')
    const compacted = await write('compacted/1')
    await compact(compacted)
    const log = new WatchLog(kv, `${root}compacted/`, before)
    await until(() => log.ends.length > 0)
    t.strictSame([log.events, log.ends], [[], [{ compactedAt: compacted }]])
  })
}
