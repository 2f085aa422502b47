/** The small parts below membership and consumer. */
import t from 'tap'
import { Hub, type UserEntry } from '../../../src/connections/hub.ts'
import { Arrivals } from '../../../src/groups/arrivals.ts'
import { BloomFilter } from '../../../src/groups/bloom.ts'
import { GroupEntry } from '../../../src/groups/group-entry.ts'
import { Newcomers } from '../../../src/groups/newcomers.ts'
import { RecentChanges } from '../../../src/groups/recent-changes.ts'
import { readGroupMessage, readMembershipChange, readReceiptEvent } from '../../../src/groups/records.ts'
import { Semaphore } from '../../../src/groups/semaphore.ts'
import { connect } from '../../helpers/connections.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

function users (count: number, hub = new Hub()): UserEntry[] {
  return Array.from({ length: count }, (_, i) => connect(hub, `u${i}`).connection.user)
}

t.test('a Bloom filter takes 1.8 bytes a member, misses nobody, and passes about one stranger in a thousand', async (t) => {
  for (const [name, count] of [['user-', 10_000], ['3f2b8c1e-6d0a-4b7e-9c5f-', 50_000], ['', 1_000]] as const) {
    const filter = new BloomFilter(count)
    for (let i = 0; i < count; i++) filter.add(`${name}${i}`)
    for (let i = 0; i < count; i++) if (!filter.has(`${name}${i}`)) t.fail(`missed ${name}${i}`)
    let passed = 0
    for (let i = count; i < count + 100_000; i++) if (filter.has(`${name}${i}`)) passed++
    t.ok(passed < 200, `${passed} of 100,000 pass`)
    t.ok(filter.bytes < count * 1.81 + 8)
  }
})

t.test('arrivals are numbered and told from a number on; who has gone is left out', async (t) => {
  const arrivals = new Arrivals()
  const all = users(5)
  for (const user of all) arrivals.add(user)
  arrivals.remove(all[3] as UserEntry)
  arrivals.remove(all[3] as UserEntry)
  t.strictSame(arrivals.since(2).map(({ userId }) => userId), ['u2', 'u4'])
  const filter = new BloomFilter(10)
  filter.add('u1')
  filter.add('u4')
  t.strictSame(arrivals.since(0, filter).map(({ userId }) => userId), ['u1', 'u4'], 'or by what a filter says')
  t.equal(arrivals.end, 5)
  for (const user of all) arrivals.remove(user)
  t.equal(arrivals.length, 0, 'nothing is kept when all have gone')
  t.equal(arrivals.end, 5)
  t.ok(arrivals.knows(0), 'and nobody was forgotten')
})

t.test('arrivals are bounded: of those too long ago it is said that they are not known', async (t) => {
  const arrivals = new Arrivals(10)
  const all = users(25)
  for (const user of all.slice(0, 19)) arrivals.add(user)
  t.ok(arrivals.knows(0))
  for (const user of all.slice(19)) arrivals.add(user)
  t.ok(arrivals.length <= 20)
  t.notOk(arrivals.knows(9))
  t.ok(arrivals.knows(10))
  t.equal(arrivals.since(0).length, 15)
  for (const user of all) arrivals.remove(user)
  t.equal(arrivals.length, 0)
  t.notOk(arrivals.knows(9), 'those who were forgotten may be here')
})

t.test('[GW-GRP-2] newcomers too long ago to be known make a group be read anew; of a whole list the members are looked for', async (t) => {
  const hub = new Hub()
  const changes = new RecentChanges({ clock: new ManualClock(), keepMs: 1_000, capacity: 10 })
  const newcomers = new Newcomers({ hub, changes, arrivals: new Arrivals(4) })
  const large = new GroupEntry('large')
  large.startFilter(100)
  large.memberCount = 100
  const small = new GroupEntry('small')
  small.members = new Set(Array.from({ length: 20 }, (_, i) => `u${i}`))
  large.addToFilter('u0')
  const all = users(9, hub)
  for (const user of all.slice(0, 2)) newcomers.add(user)
  t.notOk(newcomers.look(large))
  t.strictSame(newcomers.undecided(large)?.map(({ userId }) => userId), ['u0'])
  t.ok(large.decide(all[0] as UserEntry))
  t.ok(newcomers.look(large))
  for (const user of all.slice(2)) newcomers.add(user)
  t.notOk(newcomers.look(large))
  t.equal(newcomers.undecided(large), undefined)
  t.ok(newcomers.look(small))
  t.equal(small.local.length, 9)
})

t.test('a user who goes leaves every local list, and those lists keep the others reachable', async (t) => {
  const all = users(6)
  const entries = ['a', 'b', 'c'].map((id) => new GroupEntry(id)) as [GroupEntry, GroupEntry, GroupEntry]
  for (const entry of entries) for (const user of all) entry.addLocal(user)
  entries[0].addLocal(all[0] as UserEntry)
  t.equal(entries[0].local.length, 6, 'nobody stands twice')
  GroupEntry.removeFromAll(all[0] as UserEntry)
  entries[1].removeLocal(all[5] as UserEntry)
  entries[1].removeLocal(all[5] as UserEntry)
  entries[2].dissolve()
  const ids = (entry: GroupEntry): string[] => entry.local.map(({ userId }) => userId).sort()
  t.strictSame(entries.map(ids), [['u1', 'u2', 'u3', 'u4', 'u5'], ['u1', 'u2', 'u3', 'u4'], []])
  for (const user of all.slice(1)) {
    t.strictSame(user.groups?.map(({ groupId }) => groupId), user.userId === 'u5' ? ['a'] : ['a', 'b'])
    for (const [at, entry] of (user.groups ?? []).entries()) t.equal(entry.local[user.groupSlots?.[at] as number], user)
  }
  t.equal(all[0]?.groups, null)
  GroupEntry.removeFromAll(all[0] as UserEntry)
})

t.test('recent changes are bounded in number and age, the newest of each user counts', async (t) => {
  const clock = new ManualClock()
  const changes = new RecentChanges({ clock, keepMs: 1_000, capacity: 3 })
  const of = (group: string) => [...changes.of(group)].map(({ userId, event }) => `${userId} ${event}`)
  changes.add('a', 'ann', 'join')
  clock.advance(500)
  changes.add('a', 'bob', 'join')
  changes.add('a', 'ann', 'leave')
  t.strictSame(of('a').sort(), ['ann leave', 'bob join'])
  t.equal(changes.last('a', 'ann'), 'leave')
  t.equal(changes.last('b', 'ann'), undefined)
  clock.advance(600)
  t.strictSame(of('a').sort(), ['ann leave', 'bob join'], 'a change made anew counts from then on')
  clock.advance(401)
  t.strictSame(of('a'), [])
  t.equal(changes.size, 0)
  for (const user of ['1', '2', '3', '4']) changes.add('c', user, 'join')
  t.equal(changes.size, 3)
  t.equal(changes.last('c', '1'), undefined)
})

t.test('a semaphore lets so many calls run at once, the others in the order in which they came, failures included', async (t) => {
  const semaphore = new Semaphore(2)
  const begun: number[] = []
  const ends: Array<(failed: boolean) => void> = []
  const calls = [0, 1, 2, 3].map((i) => semaphore.run(() => {
    begun.push(i)
    return new Promise<number>((resolve, reject) => { ends[i] = (failed) => { if (failed) reject(new Error('no')); else resolve(i) } })
  }))
  await settle()
  t.strictSame([begun, semaphore.waiting], [[0, 1], 2])
  ends[1]?.(true)
  await t.rejects(calls[1] as Promise<number>, { message: 'no' })
  await settle()
  t.strictSame(begun, [0, 1, 2])
  ends[0]?.(false)
  ends[2]?.(false)
  await settle()
  ends[3]?.(false)
  t.strictSame(await Promise.all([calls[0], calls[2], calls[3]]), [0, 2, 3])
  t.equal(await semaphore.run(async () => 4), 4)
})

const json = (value: object): Buffer => Buffer.from(JSON.stringify(value))
const MESSAGE = { msg_id: 'm', group_id: 'g', sender_id: 'ann', content: '', message_type: 'text', sequence_number: 0, timestamp: 0 }

t.test('the three kinds of records are read as agreed, unknown fields are ignored and null is as good as absent', async (t) => {
  t.strictSame(readGroupMessage(json({ ...MESSAGE, sequence_number: 2 ** 53 - 1, metadata: null, later: 1 })), {
    ok: true,
    value: { msgId: 'm', recipient: 'g', sender: 'ann', content: '', messageType: 'text', sequenceNumber: 2 ** 53 - 1, timestamp: 0, metadata: undefined }
  })
  t.strictSame(readMembershipChange(json({ group_id: 'g', user_id: 'ann', event_type: 'join', timestamp: 1 })), { ok: true, value: { groupId: 'g', userId: 'ann', eventType: 'join' } })
  const receipt = { msg_id: 'm', sender_id: 'ann', reader_id: 'bob', conversation_id: 'g', read_at: 5 }
  const value = { msgId: 'm', senderId: 'ann', readerId: 'bob', conversationId: 'g', readAtMs: 5 }
  t.strictSame(readReceiptEvent(json(receipt)), { ok: true, value: { ...value, deviceId: undefined } })
  t.strictSame(readReceiptEvent(json({ ...receipt, device_id: 'phone' })), { ok: true, value: { ...value, deviceId: 'phone' } })
})

t.test('a record with any field amiss is refused, and nothing is rounded', async (t) => {
  const amiss: Array<[string, unknown]> = [
    ['msg_id', 'a b'], ['group_id', ''], ['group_id', 'a\n'], ['sender_id', '\ud800'], ['sender_id', 'x'.repeat(129)], ['content', null], ['message_type', 'TEXT'],
    ['sequence_number', 2 ** 53], ['sequence_number', -1], ['sequence_number', 1.5], ['sequence_number', '1'], ['timestamp', undefined],
    ['metadata', { a: 1 }], ['metadata', Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, '']))]
  ]
  for (const [field, value] of amiss) t.strictSame(readGroupMessage(json({ ...MESSAGE, [field]: value })), { ok: false, reason: 'bad_shape' }, field)
  t.strictSame(readGroupMessage(Buffer.from(JSON.stringify(MESSAGE).replace('"sequence_number":0', '"sequence_number":9007199254740993'))), { ok: false, reason: 'bad_shape' })
  t.strictSame(readMembershipChange(json({ group_id: 'g', user_id: 'ann', event_type: 'kick', timestamp: 1 })), { ok: false, reason: 'bad_shape' })
  t.strictSame(readMembershipChange(json({ group_id: 'g', user_id: '\udfff', event_type: 'join', timestamp: 1 })), { ok: false, reason: 'bad_shape' })
  t.strictSame(readReceiptEvent(json({ msg_id: 'm' })), { ok: false, reason: 'bad_shape' })
  for (const text of ['null', '7', '[]', '"x"']) t.strictSame(readReceiptEvent(Buffer.from(text)), { ok: false, reason: 'bad_shape' })
})
