import t from 'tap'
import { LAG_FORGOTTEN_MS } from '../../../src/groups/group-table.ts'
import { LAG_MS, LOOKUP_WAIT_MS, RETRY_MS } from '../../../src/groups/membership.ts'
import { GroupWorld, idsOf, settled, TTL_MS } from '../../helpers/group-world.ts'

/** Ids of the group's local members, or what stands for them; resolved where they are unknown. */
async function localOf (world: GroupWorld, groupId = 'group_a'): Promise<string[] | string> {
  const local = world.membership.local(groupId)
  const known = local === 'unknown' ? await world.membership.resolve(groupId) : local
  return typeof known === 'string' ? known : known.map(({ userId }) => userId).sort()
}

const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`)

t.test('[GW-GRP-2] a small group with a local member is cached whole: who connects later is found without a call', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann', 'bob', 'carl')
  world.connect('ann')
  t.strictSame(await localOf(world), ['ann'])
  const bytes = world.meter.gauge('membership_bytes') ?? 0
  world.connect('bob')
  world.connect('eve')
  t.strictSame(await localOf(world), ['ann', 'bob'])
  t.ok((world.meter.gauge('membership_bytes') ?? 0) > bytes, 'and counted')
  world.leave('ann')
  t.strictSame(await localOf(world), ['bob'])
  t.strictSame(world.users.calls, ['members group_a '])
})

t.test('[GW-GRP-2] of a small group without local members the filter alone is kept; one who comes is found, and from then on the list', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 500 })
  world.users.group('group_a', 'ann', 'bob', ...many(300))
  t.strictSame(await localOf(world), [])
  const alone = world.meter.gauge('membership_bytes') ?? 0
  t.ok(alone < 2_000, `${alone} bytes`)
  world.connect('stranger')
  t.strictSame(await localOf(world), [])
  t.equal(world.users.calls.length, 1, 'the filter says no')
  world.connect('ann')
  t.strictSame(await localOf(world), ['ann'])
  t.strictSame(world.users.calls, ['members group_a ', 'members group_a '])
  t.ok((world.meter.gauge('membership_bytes') ?? 0) > 300 * 90)
  world.connect('bob')
  t.strictSame(await localOf(world), ['ann', 'bob'])
  t.equal(world.users.calls.length, 2, 'the list says yes')
})

t.test('[GW-GRP-2] of a large group the local members and a filter are kept; who comes is looked up, and memory follows local connections', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 1_000 })
  world.users.group('group_a', ...many(2_500), 'ann', 'bob')
  world.connect('ann')
  t.strictSame(await localOf(world), ['ann'])
  t.equal(world.users.counted('members'), 3, 'three pages')
  t.ok((world.meter.gauge('membership_bytes') ?? 0) < 2_500 * 4)
  world.connect('bob')
  world.connect('stranger')
  t.strictSame(await localOf(world), ['ann', 'bob'])
  t.strictSame(world.users.calls.slice(3), ['isMember group_a bob'])
  t.strictSame(await localOf(world), ['ann', 'bob'])
  t.equal(world.users.calls.length, 4, 'once is enough')
  world.leave('bob')
  world.connect('bob')
  t.strictSame(await localOf(world), ['ann', 'bob'])
  t.equal(world.users.counted('isMember'), 2, 'whoever comes again is looked up again')
})

t.test('[GW-GRP-2] whoever passes the filter by chance is not a member because of it', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 1 })
  world.users.group('group_a', 'ann', 'bob', ...many(1_100))
  world.connect('ann')
  await localOf(world)
  world.users.groups.get('group_a')?.delete('bob') // in the filter, and no member
  world.connect('bob')
  t.strictSame(await localOf(world), ['ann'])
  t.equal(world.users.counted('isMember'), 1)
})

t.test('[GW-GRP-2] where many come to a large group it is read anew instead of asking for each', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 1_000 })
  const ids = many(2_100)
  world.users.group('group_a', ...ids)
  await localOf(world)
  for (const id of ids.slice(0, 50)) world.connect(id)
  t.equal((await localOf(world)).length, 50)
  t.equal(world.users.counted('isMember'), 0)
  t.equal(world.users.counted('members'), 6)
})

t.test('[GW-GRP-2] more newcomers than are worth looking at make a group be read anew', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann', 'bob')
  await localOf(world)
  for (let i = 0; i < 2_100; i++) world.connect(`other-${i}`)
  world.connect('ann')
  t.strictSame(await localOf(world), ['ann'])
  t.equal(world.users.counted('members'), 2)
  for (let i = 0; i < 2_100; i++) world.connect(`more-${i}`)
  world.connect('bob')
  t.strictSame(await localOf(world), ['ann', 'bob'])
  t.equal(world.users.counted('members'), 2, 'of a list the few members are looked for instead')
})

t.test('[GW-GRP-2] a record waits two seconds at most for the User Service to say who came; nobody is asked for then', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 1 })
  world.users.group('group_a', ...many(1_500), 'ann', 'bob')
  const ann = world.connect('ann')
  await world.take(world.message('group_a', 'm1'))
  world.users.isHolding = true
  const bob = world.connect('bob')
  await world.take(world.message('group_a', 'm2'))
  await world.clock.run(LOOKUP_WAIT_MS - 1)
  t.strictSame([idsOf(ann), idsOf(bob)], [['m1'], []])
  await world.clock.run(1)
  await settled()
  t.strictSame([idsOf(ann), idsOf(bob)], [['m1', 'm2'], []])
  await world.take(world.message('group_a', 'm3'))
  t.equal(world.users.counted('isMember'), 1, 'not at every record')
  await world.clock.run(RETRY_MS)
  world.users.isHolding = false
  await world.take(world.message('group_a', 'm4'))
  t.strictSame([idsOf(ann), idsOf(bob)], [['m1', 'm2', 'm3', 'm4'], ['m4']])
  world.users.letGo()
  await settled()
  t.strictSame(await localOf(world), ['ann', 'bob'], 'a late answer does no harm')
})

t.test('[GW-GRP-2] while the User Service is away those who were found serve on, and who came is asked for again later', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann', 'bob')
  await localOf(world)
  world.connect('bob')
  world.users.failure = 'SERVICE_UNAVAILABLE'
  t.strictSame(await localOf(world), [])
  t.strictSame(await localOf(world), [])
  t.equal(world.users.calls.length, 2)
  world.users.failure = undefined
  world.clock.advance(RETRY_MS)
  t.strictSame(await localOf(world), ['bob'])
})

t.test('[GW-GRP-2] MEMBERSHIP_CACHE_BYTES bounds all of it: the least recently used group goes first, and nothing refers to it', async (t) => {
  const world = new GroupWorld({ membershipCacheBytes: 20_000 })
  world.connect('ann')
  const groups = Array.from({ length: 60 }, (_, i) => `group_${i}`)
  for (const group of groups) {
    world.users.group(group, 'ann', 'bob')
    await localOf(world, group)
    world.membership.local('group_0')
    world.membership.apply(group, 'carl', 'join')
    t.ok((world.meter.gauge('membership_bytes') ?? 0) <= 20_000)
  }
  t.ok((world.hub.user('ann')?.groups?.length ?? 0) < 40)
  const calls = world.users.calls.length
  await localOf(world, 'group_0')
  await localOf(world, 'group_59')
  t.equal(world.users.calls.length, calls, 'what is used stays')
  await localOf(world, 'group_1')
  t.equal(world.users.calls.length, calls + 1, 'what was not went')
  world.leave('ann')
})

t.test('[GW-GRP-2] whoever has the list of a group keeps it when the group goes out of the cache', async (t) => {
  const world = new GroupWorld({ membershipCacheBytes: 580 })
  for (const group of ['group_a', 'group_b']) world.users.group(group, 'ann', 'bob')
  world.connect('ann')
  await localOf(world, 'group_a')
  const list = world.membership.local('group_a')
  await localOf(world, 'group_b')
  t.equal(world.membership.local('group_a'), 'unknown', 'there is room for one')
  t.match(list, [{ userId: 'ann' }])
  await localOf(world, 'group_a')
  world.connect('bob')
  t.strictSame(await localOf(world, 'group_a'), ['ann', 'bob'], 'found, and too large to be kept')
  t.equal(world.membership.local('group_a'), 'unknown')
  world.leave('ann')
  world.leave('bob')
})

t.test('[GW-GRP-2] a group larger than all the cache is read for each record, and served', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 500, membershipCacheBytes: 10_000 })
  world.users.group('group_a', 'ann', ...many(400))
  const ann = world.connect('ann')
  await world.take(world.message('group_a', 'm1'))
  await world.take(world.message('group_a', 'm2'))
  t.strictSame(idsOf(ann), ['m1', 'm2'])
  t.equal(world.hub.user('ann')?.groups?.length, 0)
})

t.test('[GW-GRP-3] a join or leave takes effect at once, without reading the group again', async (t) => {
  for (const others of [0, 1_100]) {
    const world = new GroupWorld({ largeGroupSize: 10 })
    world.users.group('group_a', 'ann', 'bob', ...many(others))
    world.connect('ann')
    world.connect('bob')
    t.strictSame(await localOf(world), ['ann', 'bob'])
    const calls = world.users.calls.length
    world.membership.apply('group_a', 'bob', 'leave')
    t.strictSame(await localOf(world), ['ann'])
    world.membership.apply('group_a', 'bob', 'join')
    world.membership.apply('group_a', 'carl', 'join')
    world.connect('carl')
    t.strictSame(await localOf(world), ['ann', 'bob', 'carl'])
    t.equal(world.users.calls.length, calls)
  }
})

t.test('[GW-GRP-3] whoever left is not let in again by the filter, nor by a User Service that is behind', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 1 })
  world.users.group('group_a', 'ann', 'bob', ...many(1_100))
  world.connect('ann')
  world.connect('bob')
  await localOf(world)
  world.membership.apply('group_a', 'bob', 'leave')
  world.leave('bob')
  world.connect('bob')
  t.strictSame(await localOf(world), ['ann'])
  t.equal(world.users.counted('isMember'), 0)
})

t.test('[GW-GRP-3] an event decides while the User Service is being asked', async (t) => {
  for (const [event, expected] of [['leave', ['ann']], ['join', ['ann', 'bob']]] as const) {
    const world = new GroupWorld({ largeGroupSize: 1 })
    world.users.group('group_a', 'ann', 'bob', ...many(1_100))
    world.connect('ann')
    await localOf(world)
    world.connect('bob')
    world.users.isHolding = true
    const looked = localOf(world)
    await settled()
    world.membership.apply('group_a', 'bob', event)
    world.users.letGo()
    await looked
    t.strictSame(await localOf(world), expected)
  }
})

t.test('[GW-GRP-3] events are laid over what is read, a read under way included, and over what the shared cache gets', async (t) => {
  for (const size of [5, 1]) {
    const world = new GroupWorld({ shared: true, largeGroupSize: size })
    world.users.group('group_a', 'ann', 'bob')
    for (const user of ['ann', 'bob', 'carl', 'dan']) world.connect(user)
    world.membership.apply('group_a', 'dan', 'join')
    world.users.isHolding = true
    const reading = localOf(world)
    await settled()
    world.membership.apply('group_a', 'bob', 'leave')
    world.membership.apply('group_a', 'carl', 'join')
    world.users.letGo()
    t.strictSame(await reading, ['ann', 'carl', 'dan'])
    t.strictSame([...world.shared.groups.get('group_a') ?? []], ['ann', 'dan', 'carl'])
  }
})

t.test('[GW-GRP-3] events are laid over a list of the shared cache that was read before them, or that never heard of them', async (t) => {
  const world = new GroupWorld({ shared: true })
  world.shared.groups.set('group_a', new Set(['ann', 'bob']))
  for (const user of ['ann', 'bob', 'carl', 'dan']) world.connect(user)
  world.shared.isAway = true
  world.membership.apply('group_a', 'dan', 'join')
  world.shared.isAway = false
  world.shared.isHolding = true
  const reading = localOf(world)
  await settled()
  world.membership.apply('group_a', 'bob', 'leave')
  world.membership.apply('group_a', 'carl', 'join')
  world.shared.letGo()
  t.strictSame(await reading, ['ann', 'carl', 'dan'])
  t.strictSame(await localOf(world), ['ann', 'carl', 'dan'])
})

t.test('[GW-GRP-3] events count for CACHE_TTL and a minute: by then every list that was read before is gone', async (t) => {
  const world = new GroupWorld({ shared: true })
  world.connect('ann')
  world.connect('bob')
  world.users.group('group_a', 'ann')
  world.membership.apply('group_a', 'bob', 'join')
  world.clock.advance(TTL_MS + 60_000)
  t.strictSame(await localOf(world), ['ann', 'bob'])
  world.clock.advance(1)
  world.shared.groups.clear()
  t.strictSame(await localOf(world), ['ann', 'bob'], 'an expired list serves on while it is read')
  await settled()
  world.shared.groups.clear()
  world.clock.advance(TTL_MS)
  await localOf(world)
  await settled()
  t.strictSame(await localOf(world), ['ann'])
})

t.test('[GW-GRP-3] a group that is not found yet although somebody has just joined it is asked for again: its records wait for 30 s, no longer', async (t) => {
  const during = new GroupWorld()
  const ann = during.connect('ann')
  during.users.isHolding = true
  await during.take(during.message('group_a', 'm1'))
  during.users.group('group_a', 'ann')
  await during.take(during.change('group_a', 'ann', 'join'))
  during.users.isHolding = false
  during.users.letGo()
  await settled()
  t.strictSame(idsOf(ann), [])
  await during.clock.run(200)
  await settled()
  t.strictSame(idsOf(ann), ['m1'], 'the read began before there was a group')

  const behind = new GroupWorld()
  const bob = behind.connect('bob')
  await behind.take(behind.change('group_a', 'bob', 'join'), behind.message('group_a', 'm1'))
  await behind.clock.run(LAG_MS / 2)
  behind.users.group('group_a', 'bob')
  await behind.clock.run(5_000)
  await settled()
  t.strictSame(idsOf(bob), ['m1'], 'a replica lagged')

  const gone = new GroupWorld()
  gone.connect('carl')
  await gone.take(gone.message('group_b', 'm0'), gone.change('group_b', 'carl', 'join'), gone.change('group_b', 'carl', 'leave'))
  t.equal(gone.membership.local('group_b'), 'missing', 'whoever left again has not joined')
  await gone.take(gone.change('group_a', 'carl', 'join'), gone.message('group_a', 'm1'))
  const left = (): number => gone.meter.counted('group_records_total group_msg group_not_found')
  await gone.clock.run(LAG_MS)
  await settled()
  t.equal(left(), 1, 'm0 alone')
  await gone.clock.run(5_000)
  await settled()
  t.equal(left(), 2)
  t.equal(gone.membership.local('group_a'), 'missing')
  t.equal(gone.clock.pendingTimers, 0)

  const early = new GroupWorld()
  await early.take(early.change('group_a', 'dora', 'join'))
  await early.clock.run(LAG_MS + 1_000)
  early.connect('dora')
  await early.take(early.message('group_a', 'm1'))
  await settled()
  t.equal(early.meter.counted('group_records_total group_msg group_not_found'), 1, 'a join that long ago is waited for no more')
})

t.test('[GW-GRP-4] joins that go on do not hold up the records of a group that is never found', async (t) => {
  const world = new GroupWorld()
  const ann = world.connect('ann')
  const notFound = (): number => world.meter.counted('group_records_total group_msg group_not_found')
  const joinFor = async (ms: number): Promise<void> => {
    for (let at = 0; at < ms; at += 5_000) {
      await world.take(world.change('group_a', `user${at}`, 'join'))
      await world.clock.run(5_000)
      await settled()
    }
  }
  await world.take(world.change('group_a', 'ann', 'join'), world.message('group_a', 'm1'))
  await joinFor(LAG_MS)
  t.equal(notFound(), 0)
  await joinFor(10_000)
  t.equal(notFound(), 1, 'it has been waited for')
  await world.take(world.message('group_a', 'm2'))
  await settled()
  t.equal(notFound(), 2, 'and is not again')
  // It is found after all: the next time it may lag again.
  world.users.group('group_a', 'ann')
  await world.take(world.change('group_a', 'bob', 'join'), world.message('group_a', 'm3'))
  await settled()
  t.strictSame(idsOf(ann), ['m3'])
  world.users.groups.delete('group_a')
  await joinFor(TTL_MS + LAG_MS)
  await world.take(world.message('group_a', 'm4'))
  await settled()
  t.equal(notFound(), 2)

  const forgotten = new GroupWorld()
  forgotten.connect('ann')
  for (const expected of [1, 2]) {
    await forgotten.take(forgotten.change('group_b', 'ann', 'join'), forgotten.message('group_b', `n${expected}`))
    await forgotten.clock.run(LAG_MS / 2)
    await settled()
    t.equal(forgotten.meter.counted('group_records_total group_msg group_not_found'), expected - 1, 'a join is waited for')
    await forgotten.clock.run(LAG_FORGOTTEN_MS + LAG_MS)
    await settled()
    t.equal(forgotten.meter.counted('group_records_total group_msg group_not_found'), expected)
  }
})

t.test('[GW-GRP-3] an event goes to the shared cache; that it cannot take it changes nothing', async (t) => {
  const world = new GroupWorld({ shared: true })
  world.membership.apply('group_a', 'ann', 'join')
  world.shared.isAway = true
  world.membership.apply('group_a', 'bob', 'leave')
  await settled()
  t.strictSame(world.shared.calls, ['apply group_a ann join', 'apply group_a bob leave'])
})

t.test('[GW-GRP-2] a group that grows past LARGE_GROUP_SIZE gives its list up', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 100 })
  world.users.group('group_a', 'ann', ...many(99))
  world.connect('ann')
  await localOf(world)
  const before = world.meter.gauge('membership_bytes') ?? 0
  t.ok(world.membership.isSmall('group_a'))
  world.membership.apply('group_a', 'zoe', 'join')
  t.notOk(world.membership.isSmall('group_a'))
  t.ok((world.meter.gauge('membership_bytes') ?? 0) < before / 2)
  t.strictSame(await localOf(world), ['ann'])
})

t.test('a filter that joins have filled is made anew', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 1 })
  world.users.group('group_a', 'ann', 'bob')
  world.connect('ann')
  await localOf(world)
  for (let i = 0; i < 100; i++) world.membership.apply('group_a', `new-${i}`, 'join')
  world.users.group('group_a', 'ann', 'bob', ...Array.from({ length: 100 }, (_, i) => `new-${i}`))
  t.equal(world.users.counted('members'), 1)
  await localOf(world)
  await settled()
  t.equal(world.users.counted('members'), 2)
  await localOf(world)
  await settled()
  t.equal(world.users.counted('members'), 2)
})

t.test('[GW-GRP-4] concurrent misses of a group make one read', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  world.connect('ann')
  const all = await Promise.all(Array.from({ length: 20 }, () => localOf(world)))
  t.strictSame(all, Array.from({ length: 20 }, () => ['ann']))
  t.equal(world.users.calls.length, 1)
  t.equal(world.meter.counted('cache_requests_total membership miss'), 20)
  await localOf(world)
  t.equal(world.meter.counted('cache_requests_total membership hit'), 1)
})

t.test('[GW-GRP-4] an expired group serves on while it is read anew, once, and while nobody answers', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann', 'bob')
  world.connect('ann')
  world.connect('carl')
  await localOf(world)
  world.users.groups.get('group_a')?.add('carl')
  world.clock.advance(TTL_MS - 1)
  await localOf(world)
  t.equal(world.users.calls.length, 1)
  world.clock.advance(1)
  world.users.failure = 'SERVICE_UNAVAILABLE'
  for (let i = 0; i < 10; i++) t.strictSame(await localOf(world), ['ann'])
  await settled()
  for (let i = 0; i < 10; i++) t.strictSame(await localOf(world), ['ann'])
  t.equal(world.users.calls.length, 2, 'one try')
  world.clock.advance(RETRY_MS)
  world.users.failure = undefined
  t.strictSame(await localOf(world), ['ann'])
  await settled()
  t.strictSame(await localOf(world), ['ann', 'carl'])
  t.equal(world.users.calls.length, 3)
  t.strictSame(world.hub.user('ann')?.groups?.length, 1, 'the old entry is gone')
})

t.test('[GW-GRP-4] that a group does not exist is remembered for 30 s, or until somebody joins it', async (t) => {
  const world = new GroupWorld()
  world.connect('ann')
  t.equal(await localOf(world), 'missing')
  t.equal(await localOf(world), 'missing')
  world.clock.advance(29_999)
  t.equal(await localOf(world), 'missing')
  t.equal(world.users.calls.length, 1)
  world.users.group('group_a', 'ann')
  world.clock.advance(1)
  t.strictSame(await localOf(world), ['ann'])
  t.equal(await localOf(world, 'group_b'), 'missing')
  world.users.group('group_b')
  world.membership.apply('group_b', 'ann', 'join')
  t.strictSame(await localOf(world, 'group_b'), ['ann'])
})

t.test('[GW-GRP-4] a group that has ceased to exist is found out when it expires', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  world.connect('ann')
  await localOf(world)
  world.users.groups.delete('group_a')
  world.clock.advance(TTL_MS)
  await localOf(world)
  await settled()
  t.equal(await localOf(world), 'missing')
  t.equal(world.hub.user('ann')?.groups?.length, 0)
})

t.test('the shared cache is asked before the User Service and filled from it; without it the User Service serves', async (t) => {
  const world = new GroupWorld({ shared: true })
  world.connect('ann')
  world.shared.groups.set('group_a', new Set(['ann', 'bob']))
  world.users.group('group_b', 'ann')
  t.strictSame(await localOf(world), ['ann'])
  t.strictSame(world.users.calls, [])
  t.strictSame(await localOf(world, 'group_b'), ['ann'])
  t.strictSame(world.shared.calls, ['members group_a', 'members group_b', 'store group_b'])
  world.shared.isAway = true
  world.users.group('group_c', 'ann')
  t.strictSame(await localOf(world, 'group_c'), ['ann'])
  for (const [result, count] of [['hit', 1], ['miss', 1], ['error', 1]]) t.equal(world.meter.counted(`cache_requests_total redis ${result}`), count)
})

t.test('a list of more than ten times LARGE_GROUP_SIZE is taken page by page and not put into the shared cache', async (t) => {
  for (const totalCount of [undefined, 0]) {
    const world = new GroupWorld({ shared: true, largeGroupSize: 200 })
    const ids = many(4_500)
    world.users.group('group_a', ...ids)
    world.users.totalCount = totalCount
    for (const id of ['m0', 'm2000', 'm4499']) world.connect(id)
    t.strictSame(await localOf(world), ['m0', 'm2000', 'm4499'])
    t.strictSame(world.shared.calls, ['members group_a'])
    t.notOk(world.membership.isSmall('group_a'))
  }
})

t.test('pages that lead nowhere, or never end, are the same as no answer', async (t) => {
  const world = new GroupWorld()
  const page = { userIds: ['ann'], hasMore: true, totalCount: 1 }
  world.connect('ann')
  world.users.groupMembers = async (_, cursor) => ({ ...page, nextCursor: cursor })
  await t.rejects(localOf(world), { code: 'SERVICE_UNAVAILABLE' })
  let count = 0
  world.users.groupMembers = async () => ({ ...page, userIds: [], nextCursor: String(++count) })
  await t.rejects(localOf(world), { code: 'SERVICE_UNAVAILABLE' })
  t.equal(count, 10_000)
  t.notOk(world.hub.user('ann')?.groups?.length, 'what was read of it is gone')
})

t.test('so many groups are read at once and no more, whatever the number of groups', async (t) => {
  const world = new GroupWorld()
  world.users.isHolding = true
  world.connect('ann')
  const groups = Array.from({ length: 50 }, (_, i) => `group_${i}`)
  for (const group of groups) world.users.group(group, 'ann')
  const all = groups.map((group) => localOf(world, group))
  await settled()
  t.equal(world.users.waiting, 16)
  while (world.users.waiting > 0) {
    world.users.letGo(1)
    await settled()
  }
  t.equal(world.users.most, 16)
  t.strictSame(await Promise.all(all), groups.map(() => ['ann']))
})
