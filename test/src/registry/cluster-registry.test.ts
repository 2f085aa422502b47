import t from 'tap'
import { KvRejectedError } from '../../../src/ports.ts'
import { deviceKey, nodeKey, revokedKey, userPrefix } from '../../../src/registry/records.ts'
import { RegistryWorld, TTL_MS, type TestNode } from '../../helpers/registry-world.ts'
import { settle } from '../../helpers/manual-clock.ts'

const NO_ANSWER = { name: 'GatewayError', code: 'SERVICE_UNAVAILABLE' }

async function worldOf<Id extends string> (...ids: Id[]): Promise<{ world: RegistryWorld } & Record<Id, TestNode>> {
  const world = new RegistryWorld()
  const nodes: Record<string, TestNode> = {}
  for (const id of ids) nodes[id] = await world.started(id)
  return { world, ...nodes as Record<Id, TestNode> }
}

// ---- sessions

t.test('a session is in etcd under a lease once it is registered, and gone once it is unregistered', async (t) => {
  const { world, a } = await worldOf('a')
  const { outcome, session } = await world.done(a.connect('ann/x', 'web 1'))
  t.equal(outcome, 'registered')
  const [entry] = world.store.range(userPrefix('ann/x'), { prefix: true }).entries
  t.match(entry, { key: '/registry/users/ann%2Fx/web%201', value: a.value(session) })
  t.ok(world.store.leaseIds.includes(entry?.leaseId ?? ''))
  t.equal(a.meter.gauge('registry_sessions'), 1)
  await world.done(a.registry.unregister(session))
  t.strictSame([world.users, a.registry.registered, a.meter.gauge('registry_repairs')], [{}, 0, 0])
  await world.done(a.registry.unregister(session))
})

t.test('[GW-CON-6] another node takes the device: the older session is told to close, and its late end removes nothing', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  const older = await world.done(a.connect('ann', 'web'))
  const newer = await world.done(b.connect('ann', 'web'))
  await world.clock.run(10)
  t.strictSame([a.replaced, b.replaced], [[older.session.connectionId], []])
  await world.done(a.registry.unregister(older.session))
  t.strictSame(world.users, { 'ann/web': newer.session.connectionId })
})

t.test('[GW-CON-6] a session that a cut-off node still holds is taken over, and its removal comes too late to harm', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  const older = await world.done(a.connect('ann', 'web'))
  a.kv.cut()
  const removal = a.registry.unregister(older.session)
  const newer = await world.done(b.connect('ann', 'web'))
  a.kv.heal()
  await world.done(removal)
  t.strictSame([world.users, a.registry.repairs], [{ 'ann/web': newer.session.connectionId }, 0])
})

t.test('[GW-CON-6] the same device again on one node: the younger connection has the key, in whatever order the puts go', async (t) => {
  const { world, a } = await worldOf('a')
  const older = await world.done(a.connect('ann', 'web'))
  const younger = await world.done(a.connect('ann', 'web'))
  await world.clock.run(10)
  t.strictSame(a.replaced, [older.session.connectionId])
  await world.done(a.registry.unregister(older.session))
  t.strictSame(world.users, { 'ann/web': younger.session.connectionId })

  // Both were admitted before either was put.
  const revision = world.store.revision
  const [first, second] = [a.ref('bob', 'web'), a.ref('bob', 'web')]
  const outcomes = [a.registry.register(first, revision), a.registry.register(second, revision)]
  t.strictSame(await world.done(Promise.all(outcomes)), ['registered', 'registered'])
  await world.clock.run(10)
  t.strictSame([world.users['bob/web'], a.replaced.at(-1)], [second.connectionId, first.connectionId])
})

t.test('[GW-CON-6] a put that is overtaken by a younger connection of its node gives way', async (t) => {
  const world = new RegistryWorld()
  const a = await world.started('a', { maxHolders: 1 })
  const revision = world.store.revision
  const [older, younger] = [a.ref('ann', 'web'), a.ref('ann', 'web')]
  const grantLease = a.kv.grantLease.bind(a.kv)
  let grantToOlder = (): void => {}
  const held = new Promise<void>((resolve) => { grantToOlder = resolve })
  a.kv.grantLease = async (seconds) => {
    await held
    return await grantLease(seconds)
  }
  const first = a.registry.register(older, revision)
  a.kv.grantLease = grantLease
  t.equal(await world.done(a.registry.register(younger, revision)), 'registered')
  grantToOlder()
  t.equal(await world.done(first), 'replaced')
  await world.clock.run(10)
  t.strictSame(world.users, { 'ann/web': younger.connectionId })
})

t.test('a session that closes before its put is answered leaves nothing behind', async (t) => {
  const { world, a } = await worldOf('a')
  for (const delayMs of [0, 1, 2, 3]) {
    const session = a.ref('ann', 'web')
    const outcome = a.registry.register(session, world.store.revision)
    await world.clock.run(delayMs)
    await world.done(a.registry.unregister(session))
    await world.done(outcome)
    t.strictSame([world.users, a.registry.registered, a.registry.repairs], [{}, 0, 0], `closed after ${delayMs} ms`)
  }
})

t.test('a put that etcd does late, after the removal, is found by the watch and removed', async (t) => {
  const { world, a } = await worldOf('a')
  const { session } = await world.done(a.connect('ann', 'web'))
  await world.done(a.registry.unregister(session))
  await world.put(deviceKey('ann', 'web'), a.value(session))
  await world.clock.run(100)
  t.strictSame(world.users, {})
  // What only looks like ours is left alone.
  await world.put(deviceKey('ann', 'web'), JSON.stringify({ node: 'b', conn: session.connectionId, at: 1 }))
  await world.put(deviceKey('ann', 'tv'), `${a.startId} is no record`)
  await world.clock.run(100)
  t.strictSame(Object.keys(world.users), ['ann/tv', 'ann/web'])
})

t.test('a put that etcd does late is found by a snapshot too, where no session is left, and a later one shares its lease', async (t) => {
  const { world, a } = await worldOf('a')
  const { session } = await world.done(a.connect('ann', 'web'))
  const leaseId = world.store.range(deviceKey('ann', 'web')).entries[0]?.leaseId as string
  await world.done(a.registry.unregister(session))
  a.kv.endWatches({ tooLong: true })
  await world.operator.batch([{ when: [], then: { put: deviceKey('ann', 'web'), value: a.value(session), leaseId } }])
  await world.clock.run(1_000)
  await world.done(a.connect('bob', 'web'))
  await world.clock.run(2 * TTL_MS)
  t.strictSame(Object.keys(world.users), ['bob/web'])
})

t.test('a key that somebody deletes is put again, and a lease that somebody revokes is granted again, without closing a socket', async (t) => {
  const { world, a } = await worldOf('a')
  const { session } = await world.done(a.connect('ann', 'web'))
  const other = await world.done(a.connect('bob', 'web'))
  await world.remove(deviceKey('ann', 'web'))
  await world.clock.run(100)
  t.equal(world.users['ann/web'], session.connectionId)
  for (const id of world.store.leaseIds) world.store.revokeLease(id)
  t.strictSame(world.users, {})
  await world.clock.run(3_000)
  t.strictSame(world.users, { 'ann/web': session.connectionId, 'bob/web': other.session.connectionId })
  t.equal(world.store.range(nodeKey('a')).entries.length, 1)
  t.strictSame([a.replaced, a.registry.registered, a.registry.repairs], [[], 2, 0])
  await world.clock.run(2 * TTL_MS)
  t.equal(Object.keys(world.users).length, 2, 'under a lease that is renewed')
})

// ---- admission

t.test('[GW-CON-7] a user has at most MAX_DEVICES_PER_USER devices; a known one may always return; a place that is free is given', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  const sessions = []
  for (let i = 0; i < 5; i++) sessions.push((await world.done((i % 2 === 0 ? a : b).connect('ann', `d${i}`))).session)
  t.equal((await world.done(b.connect('ann', 'd5'))).outcome, 'DEVICE_LIMIT_EXCEEDED')
  t.equal((await world.done(b.connect('ann', 'd0'))).outcome, 'registered')
  await world.done(b.registry.unregister(sessions[1] ?? a.ref('', '')))
  t.equal((await world.done(a.connect('ann', 'd5'))).outcome, 'registered')
  t.equal((await world.done(a.connect('annie', 'd0'))).outcome, 'registered', 'another user')
})

t.test('[GW-CON-7] twenty devices of one user at once: exactly as many get in as may, on one node and over three', async (t) => {
  const { world, a, b, c } = await worldOf('a', 'b', 'c')
  for (const [user, nodes] of [['one', [a]], ['three', [a, b, c]]] as const) {
    const outcomes = await world.done(Promise.all(Array.from({ length: 20 }, async (_, i) => (await (nodes[i % nodes.length] ?? a).connect(user, `d${i}`)).outcome)))
    t.strictSame([...outcomes].sort(), [...Array<string>(15).fill('device_limit'), ...Array<string>(5).fill('registered')].sort())
    t.equal(world.store.range(userPrefix(user), { prefix: true }).entries.length, 5)
  }
  await world.clock.run(50)
  t.strictSame([...a.replaced, ...b.replaced, ...c.replaced], [], 'and nobody was put out for it')
})

t.test('[GW-CON-7] the devices changed between admission and put: it is decided again by what is there then', async (t) => {
  const { world, a } = await worldOf('a')
  const session = a.ref('ann', 'mine')
  const admission = await world.done(a.registry.admit('ann', 'mine'))
  t.ok(admission.ok)
  for (let i = 0; i < 4; i++) await world.putRoute('ann', `d${i}`, `x${i}`)
  t.equal(await world.done(a.registry.register(session, admission.ok ? admission.revision : 0)), 'registered')
  const late = a.ref('ann', 'late')
  t.equal(await world.done(a.registry.register(late, admission.ok ? admission.revision : 0)), 'device_limit')
  await world.done(a.registry.unregister(late))
  t.equal(Object.keys(world.users).length, 5)
})

t.test('[GW-CON-7] etcd does not answer: an upgrade is refused after 1.5 s, a put is given up after 5 s and removed when etcd is back', async (t) => {
  const { world, a } = await worldOf('a')
  const admission = await world.done(a.registry.admit('ann', 'web'))
  a.kv.freeze()
  const startedMs = world.clock.monotonicMs()
  t.strictSame(await world.done(a.registry.admit('bob', 'web')), { ok: false, code: 'SERVICE_UNAVAILABLE' })
  t.equal(Math.round((world.clock.monotonicMs() - startedMs) / 100), 15)
  const session = a.ref('ann', 'web')
  t.equal(await world.done(a.registry.register(session, admission.ok ? admission.revision : 0)), 'unavailable')
  const removal = a.registry.unregister(session)
  a.kv.heal()
  await world.done(removal)
  await world.clock.run(5_000)
  t.strictSame([world.users, a.registry.repairs], [{}, 0])
})

t.test('a put whose answer is lost counts as unknown: the session is refused, and what was put is removed', async (t) => {
  const { world, a } = await worldOf('a')
  await world.done(a.connect('other', 'web'))
  const session = a.ref('ann', 'web')
  a.kv.loseAnswers(1)
  t.equal(await world.done(a.registry.register(session, world.store.revision)), 'unavailable')
  await world.clock.run(1_000)
  t.notOk('ann/web' in world.users)
})

t.test('a lease that is gone when a session is put costs another grant, not the session', async (t) => {
  const { world, a } = await worldOf('a')
  await world.done(a.connect('ann', 'web'))
  for (const id of world.store.leaseIds) world.store.revokeLease(id)
  t.equal((await world.done(a.connect('bob', 'web'))).outcome, 'registered')
  await world.clock.run(1_000)
  t.equal(Object.keys(world.users).length, 2)
})

t.test('no lease to be had: the session is refused and there is nothing to remove', async (t) => {
  const { world, a } = await worldOf('a')
  for (const id of world.store.leaseIds) world.store.revokeLease(id)
  await world.clock.run(5_000)
  a.kv.grantLease = () => Promise.reject(new Error('no'))
  for (const id of world.store.leaseIds) world.store.revokeLease(id)
  await world.clock.run(6_000)
  t.equal(await world.done(a.registry.register(a.ref('ann', 'web'), world.store.revision)), 'unavailable')
  t.strictSame([world.users, a.registry.repairs], [{}, 0])
})

// ---- faults of etcd

t.test('[GW-END-2] a node that dies without a word is out of the registry within the TTL', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  for (let i = 0; i < 3; i++) await world.done(a.connect(`user${i}`, 'web'))
  const survivor = await world.done(b.connect('ann', 'web'))
  a.kv.freeze()
  await world.clock.run(TTL_MS)
  t.strictSame(world.users, { 'ann/web': survivor.session.connectionId })
  t.strictSame(world.store.range('/registry/nodes/', { prefix: true }).entries.map(({ key }) => key), [nodeKey('b')])
  t.strictSame(await world.done(b.registry.locate('user0')), { devices: [], complete: true })
})

t.test('[GW-END-2] a client of a dead node takes its device over at once', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  await world.done(a.connect('ann', 'web'))
  a.kv.freeze()
  const { outcome, session } = await world.done(b.connect('ann', 'web'))
  t.equal(outcome, 'registered')
  await world.clock.run(2 * TTL_MS)
  t.strictSame(world.users, { 'ann/web': session.connectionId })
})

for (const [fault, awayMs] of [['cut', TTL_MS / 2], ['cut', 3 * TTL_MS], ['freeze', 3 * TTL_MS]] as const) {
  t.test(`etcd away (${fault}) for ${awayMs / TTL_MS} TTL: the sockets stay, and the registry equals the truth soon after`, async (t) => {
    const { world, a, b } = await worldOf('a', 'b')
    const stays = await world.done(a.connect('ann', 'stays'))
    const ends = await world.done(a.connect('ann', 'ends'))
    const moves = await world.done(a.connect('ann', 'moves'))
    a.kv[fault]()
    const removal = a.registry.unregister(ends.session)
    await world.clock.run(1_000)
    const moved = await world.done(b.connect('ann', 'moves'))
    await world.clock.run(awayMs - 1_000)
    t.strictSame(a.replaced, [])
    a.kv.heal()
    await world.clock.run(5_000)
    await world.done(removal)
    t.strictSame(world.users, { 'ann/stays': stays.session.connectionId, 'ann/moves': moved.session.connectionId })
    t.strictSame([a.replaced, b.replaced], [[moves.session.connectionId], []])
    t.strictSame([a.registry.registered, a.registry.repairs, a.registry.live], [1, 0, true])
    t.equal(world.store.range(nodeKey('a')).entries.length, 1)
  })
}

t.test('history compacted while the watch was cut: everything is read again and compared', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  const stays = await world.done(a.connect('ann', 'stays'))
  const moves = await world.done(a.connect('ann', 'moves'))
  const vanishes = await world.done(a.connect('ann', 'vanishes'))
  await world.put(revokedKey('old', 'web'), '{"before":5,"at":1}')
  await world.put(revokedKey('kept'), '{"before":5,"at":1}')
  await world.clock.run(10)
  t.equal((await world.done(a.registry.locate('bob'))).devices.length, 0)
  a.kv.cut()
  const moved = await world.done(b.connect('ann', 'moves'))
  await world.done(b.connect('bob', 'web'))
  await world.remove(deviceKey('ann', 'vanishes'))
  await world.remove(revokedKey('old', 'web'))
  await world.put(revokedKey('new', 'tv'), '{"before":7,"at":1}')
  world.store.compact()
  a.kv.heal()
  await world.clock.run(2_000)
  t.strictSame(a.replaced, [moves.session.connectionId])
  t.match(world.users, { 'ann/stays': stays.session.connectionId, 'ann/moves': moved.session.connectionId, 'ann/vanishes': vanishes.session.connectionId })
  t.equal((await world.done(a.registry.locate('bob'))).devices.length, 1)
  t.strictSame(a.revocations, [['old', 'web', 5], ['kept', undefined, 5], ['new', 'tv', 7]])
  t.strictSame(['old', 'kept', 'new'].map((user) => a.registry.isRevoked(user, user === 'old' ? 'web' : 'tv', 1)), [false, true, true])
  t.equal(a.meter.counted('watch_resync_total'), 1)
})

t.test('more has happened than a watch takes in at once: everything is read and compared', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  const moves = await world.done(a.connect('ann', 'moves'))
  a.kv.freeze()
  await world.done(b.connect('ann', 'moves'))
  a.kv.endWatches({ tooLong: true })
  a.kv.heal()
  await world.clock.run(1_000)
  t.strictSame([a.replaced, a.registry.live, a.meter.counted('watch_resync_total')], [[moves.session.connectionId], true, 1])
})

// ---- where users are

t.test('users are found: by etcd first, then by the cache, which the watch keeps true', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  const { session } = await world.done(a.connect('ann', 'web'))
  const route = (deviceId: string, connectionId: string, nodeId = 'a') => ({ deviceId, nodeId, connectionId, since: session.openedAtUnixMs })
  t.match(await world.done(b.registry.locate('ann')), { devices: [route('web', session.connectionId)], complete: true })
  const calls = b.kv.calls
  t.equal((await b.registry.locate('ann')).devices.length, 1)
  t.equal(b.kv.calls, calls, 'no call')
  await world.done(b.connect('ann', 'tv'))
  await world.clock.run(10)
  t.strictSame((await b.registry.locate('ann')).devices.map(({ deviceId, nodeId }) => `${deviceId} ${nodeId}`), ['web a', 'tv b'])
  await world.done(a.registry.unregister(session))
  await world.clock.run(10)
  t.strictSame((await b.registry.locate('ann')).devices.map(({ deviceId }) => deviceId), ['tv'])
  t.match([b.meter.counted('cache_requests_total routes hit'), b.meter.counted('cache_requests_total routes miss')], [3, 1])
  t.equal((await world.done(b.registry.locate('ann', { fresh: true }))).devices.length, 1)
})

t.test('"no devices" is never kept, and two who ask at once share the answer', async (t) => {
  const { world, a } = await worldOf('a')
  const calls = a.kv.calls
  const both = await world.done(Promise.all([a.registry.locate('ann'), a.registry.locate('ann')]))
  t.strictSame(both, [{ devices: [], complete: true }, { devices: [], complete: true }])
  t.equal(a.kv.calls, calls + 1)
  await world.done(a.registry.locate('ann'))
  t.equal(a.kv.calls, calls + 2)
})

t.test('while the watch is blind etcd is asked; where etcd does not answer, what is known is given as incomplete, past its time too', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  await world.done(a.connect('ann', 'web'))
  await world.done(b.registry.locate('ann'))
  b.kv.endWatches()
  await world.done(a.connect('ann', 'tv'))
  b.kv.watch = () => ({ cancel: () => {} })
  await world.clock.run(2_000)
  t.strictSame(await world.done(b.registry.locate('ann')).then(({ devices, complete }) => [devices.length, complete]), [2, true])
  b.kv.cut()
  await world.clock.run(120_000)
  t.strictSame(await world.done(b.registry.locate('ann')).then(({ devices, complete }) => [devices.length, complete]), [2, false])
  await t.rejects(world.done(b.registry.locate('nobody')), NO_ANSWER)
})

t.test('values that nobody understands are counted and are nobody\'s device', async (t) => {
  const { world, a } = await worldOf('a')
  await world.put('/registry/users/ann/web', '{"node":7}')
  await world.put('/registry/users/ann/tv/more', 'x')
  await world.put('/registry/nodes/x', '[]')
  await world.put('/registry/revoked/ann/*', '{"before":"yesterday"}')
  await world.clock.run(10)
  t.strictSame(['user', 'key', 'node', 'revoked'].map((kind) => a.meter.counted(`registry_bad_values_total ${kind}`)), [1, 1, 1, 1])
  t.strictSame((await world.done(a.registry.locate('ann'))).devices, [])
  t.equal(await world.done(a.registry.nodeAddress('x')), undefined)
  t.notOk(a.registry.isRevoked('ann', 'web', 1))
  const b = await world.started('b')
  t.ok(['key', 'node', 'revoked'].every((kind) => kind === 'key' || b.meter.counted(`registry_bad_values_total ${kind}`) === 1))
})

// ---- revocations

t.test('a revocation is told at once, and refuses what was issued before it while it stands', async (t) => {
  const { world, a } = await worldOf('a')
  const isRevoked = (deviceId: string | undefined, issuedAt: number | undefined) => a.registry.isRevoked('ann', deviceId, issuedAt)
  t.notOk(isRevoked('web', undefined))
  await world.put(revokedKey('ann', 'web'), '{"before":1000,"at":1}')
  await settle()
  t.strictSame(a.revocations, [['ann', 'web', 1000]])
  t.strictSame([isRevoked('web', 999), isRevoked('web', 1000), isRevoked('web', undefined), isRevoked('tv', 1), isRevoked(undefined, 1)], [true, false, true, false, false])
  await world.put(revokedKey('ann'), '{"before":2000,"at":1}')
  await settle()
  t.strictSame([isRevoked('web', 1999), isRevoked('tv', undefined), isRevoked(undefined, 1), isRevoked('tv', 2000)], [true, true, true, false])
  t.equal(a.meter.gauge('registry_revocations'), 2)
  await world.remove(revokedKey('ann'))
  await world.remove(revokedKey('ann', 'web'))
  await world.remove(revokedKey('nobody'))
  await settle()
  t.notOk(isRevoked('web', 1))
  t.equal(a.meter.gauge('registry_revocations'), 0)
  await world.put(revokedKey('bob', 'web'), '{"before":1000,"at":1}')
  const b = await world.started('b')
  t.ok(b.registry.isRevoked('bob', 'web', 1), 'one that was there before the node')
})

t.test('[GW-CON-2] nobody is let in before the list of revocations was read once, for which the start waits a while', async (t) => {
  const world = new RegistryWorld()
  await world.put(revokedKey('ann'), '{"before":1000,"at":1}')
  const node = world.node('a')
  const range = node.kv.range.bind(node.kv)
  node.kv.range = () => Promise.reject(new Error('no'))
  const startedMs = world.clock.monotonicMs()
  await world.done(node.registry.start('a.example:9093'))
  t.equal(Math.round((world.clock.monotonicMs() - startedMs) / 1_000), 5, 'not for ever')
  t.equal(world.store.range(nodeKey('a')).entries.length, 1)
  t.equal((await world.done(node.connect('bob', 'web'))).outcome, 'SERVICE_UNAVAILABLE')
  node.kv.range = range
  await world.clock.run(2_000)
  t.ok(node.registry.isRevoked('ann', 'web', 1))
  t.equal((await world.done(node.connect('bob', 'web'))).outcome, 'registered')
  node.kv.range = () => Promise.reject(new Error('no'))
  node.kv.cut()
  await world.put(revokedKey('carl'), '{"before":1000,"at":1}')
  world.store.compact()
  node.kv.heal()
  await world.clock.run(2_000)
  t.match([node.registry.live, node.registry.revision], [false, 0], 'everything has to be read again')
  t.equal((await world.done(node.connect('bob', 'tv'))).outcome, 'registered', 'meanwhile what was known counts')

  const slow = world.node('b')
  const read = slow.kv.range.bind(slow.kv)
  slow.kv.range = async (...query) => {
    await new Promise<void>((resolve) => { world.clock.setTimer(resolve, 500) })
    return await read(...query)
  }
  await world.done(slow.registry.start('b.example:9093'))
  t.equal((await world.done(slow.connect('bob', 'web'))).outcome, 'registered', 'a node that has started lets in')
})

// ---- the node's own key

t.test('the node key says how a node is reached, and others follow it', async (t) => {
  const { world, a, b } = await worldOf('a', 'b')
  t.match(JSON.parse(world.store.range(nodeKey('a')).entries[0]?.value ?? ''), { grpc: 'a.example:9093', version: '1.0.0', start: 'start-a', connects_per_s: 50 })
  const calls = a.kv.calls
  t.equal(await a.registry.nodeAddress('b'), 'b.example:9093')
  t.equal(a.kv.calls, calls)
  t.equal(await world.done(a.registry.nodeAddress('c')), undefined)
  const before = a.kv.calls
  t.strictSame(await world.done(Promise.all(Array.from({ length: 20 }, () => a.registry.nodeAddress('c')))), Array(20).fill(undefined))
  t.equal(a.kv.calls, before + 1, 'callers share a read')
  await world.put(nodeKey('b'), '{"grpc":"moved.example:1"}')
  await settle()
  t.equal(await a.registry.nodeAddress('b'), 'moved.example:1')
  t.match(b.logger.lines.at(-1), { level: 'error', facts: { node: 'b' } }, 'who lost its id says so')
  const started: string[] = []
  a.registry.onNodeStarted((address) => { started.push(address) })
  await world.put(nodeKey('b'), '{"grpc":"moved.example:1","start":"s2"}')
  await world.put(nodeKey('b'), '{"grpc":"moved.example:1","start":"s2","connects_per_s":70}')
  await world.put(nodeKey('e'), '{"grpc":"e.example:1","start":"s1"}')
  await settle()
  t.strictSame(started, ['moved.example:1', 'e.example:1'], 'told of each process, once')
  a.kv.cut()
  await settle()
  t.equal(await world.done(a.registry.nodeAddress('b')), 'moved.example:1', 'what is known serves on')
  await t.rejects(world.done(a.registry.nodeAddress('c')), NO_ANSWER)
})

t.test('[GW-END-1] what a node can take is told to the others, where it is news', async (t) => {
  const { world, a, b } = await worldOf('a', 'b', 'c')
  const revision = (): number => world.store.range(nodeKey('a')).entries[0]?.modRevision ?? 0
  t.strictSame(b.registry.room, { connectsPerSecond: 100, draining: 0 })
  t.strictSame([...b.registry.otherNodes.keys()].sort(), ['a', 'c'])
  a.registry.announce(400)
  await world.clock.run(100)
  t.strictSame(b.registry.room, { connectsPerSecond: 450, draining: 0 })
  const told = revision()
  a.registry.announce(480)
  await world.clock.run(100)
  t.equal(revision(), told, 'a fifth more is no news')
  a.registry.announce(0)
  await world.clock.run(100)
  t.strictSame(b.registry.room, { connectsPerSecond: 50, draining: 1 })
  t.strictSame(a.registry.room, { connectsPerSecond: 100, draining: 0 }, 'of the others')
  // What was announced while etcd was away is put once the key is written again.
  a.kv.cut()
  a.registry.announce(900)
  await settle()
  a.kv.heal()
  await world.clock.run(3_000)
  await world.clock.run(100)
  t.match(b.registry.room, { connectsPerSecond: 950 })
  await world.put(nodeKey('d'), '{"grpc":"older.example:1"}')
  await settle()
  t.match(b.registry.room, { connectsPerSecond: 1000 }, 'one that does not say takes what every node does')
})

t.test('a restart under the same address takes its key over; another node is refused until the TTL has passed, and told who has it', async (t) => {
  const world = new RegistryWorld()
  const first = await world.started('a')
  first.kv.freeze()
  const restarted = world.node('a', { startId: 'again' })
  await world.done(restarted.registry.start('a.example:9093'), 100)
  t.match(JSON.parse(world.store.range(nodeKey('a')).entries[0]?.value ?? ''), { start: 'again' })
  const startedMs = world.clock.monotonicMs()
  await t.rejects(world.done(world.node('a', { startId: 'third' }).registry.start('elsewhere:1')), { name: 'NodeIdTakenError', message: /taken by a\.example:9093 \(start again/ })
  t.ok(world.clock.monotonicMs() - startedMs >= TTL_MS)
})

t.test('a node whose predecessor died gets the id when its lease has run out', async (t) => {
  const world = new RegistryWorld()
  const first = await world.started('a')
  first.kv.freeze()
  const next = world.node('a', { startId: 'next' })
  await world.done(next.registry.start('elsewhere:1'))
  t.match(JSON.parse(world.store.range(nodeKey('a')).entries[0]?.value ?? ''), { grpc: 'elsewhere:1', start: 'next' })
})

t.test('what etcd refuses is told: the node key, an admission, a session', async (t) => {
  const world = new RegistryWorld()
  const node = await world.started('a')
  const other = world.node('b')
  for (const { kv } of [node, other]) kv.batch = () => Promise.reject(new KvRejectedError('request', 'permission denied'))
  await world.done(other.registry.start('b.example:9093'), 15_000)
  t.match(other.logger.lines.find(({ level }) => level === 'warn'), { facts: { node: 'b', err: { message: 'permission denied' } } })
  t.match(await world.done(node.registry.admit('ann', 'phone')), { ok: false, code: 'SERVICE_UNAVAILABLE' })
  t.equal(await world.done(node.registry.register(node.ref('ann', 'phone'), 1)), 'unavailable')
  const told = node.logger.lines.filter(({ facts }) => (facts as { err?: Error }).err?.message === 'permission denied').map(({ text }) => text)
  t.strictSame(told, ['the devices of a user cannot be read', 'a session cannot be registered'])
})

t.test('a node starts although etcd is away, and lets nobody in until its id is its own', async (t) => {
  const world = new RegistryWorld()
  const node = world.node('a')
  node.kv.cut()
  await world.done(node.registry.start('a.example:9093'), 15_000)
  t.match(node.logger.lines.at(-1), { level: 'warn' })
  t.notOk(node.registry.live)
  t.strictSame(await world.done(node.registry.admit('ann', 'web')), { ok: false, code: 'SERVICE_UNAVAILABLE' })
  await world.put(nodeKey('a'), '{"grpc":"elsewhere:1"}')
  node.kv.heal()
  await world.clock.run(3_000)
  t.match(node.logger.lines.at(-1), { level: 'error', facts: { holder: /elsewhere:1/ } })
  t.strictSame(await world.done(node.registry.admit('ann', 'web')), { ok: false, code: 'SERVICE_UNAVAILABLE' })
  await world.remove(nodeKey('a'))
  await world.clock.run(3_000)
  t.equal((await world.done(node.connect('ann', 'web'))).outcome, 'registered')
})

t.test('a node key that is deleted is put again; at the end a key that is another\'s stays', async (t) => {
  const { world, a } = await worldOf('a')
  await world.remove(nodeKey('a'))
  await world.clock.run(100)
  t.equal(world.store.range(nodeKey('a')).entries.length, 1)
  await world.put(nodeKey('a'), 'not a record')
  await world.clock.run(3_000)
  await world.done(a.registry.close())
  t.equal(world.store.range(nodeKey('a')).entries[0]?.value, 'not a record')
})

for (const [what, change, after] of [
  ['deleted', (world: RegistryWorld) => world.remove(nodeKey('a')), 'a.example:9093'],
  ['taken', (world: RegistryWorld) => world.put(nodeKey('a'), '{"grpc":"other:9093","start":"other"}'), 'other:9093']
] as const) {
  t.test(`a node key that is ${what} before its put is answered is not held for one of ours`, async (t) => {
    const { world, a } = await worldOf('a')
    const batch = a.kv.batch.bind(a.kv)
    let answer = (): void => {}
    const held = new Promise<void>((resolve) => { answer = resolve })
    a.kv.batch = async (operations) => {
      const result = await batch(operations)
      await held
      return result
    }
    await world.remove(nodeKey('a'))
    await world.clock.run(100)
    t.equal(world.store.range(nodeKey('a')).entries.length, 1, 'it is put again, which is not answered yet')
    await change(world)
    await world.clock.run(100)
    answer()
    await world.clock.run(3_000)
    t.match(world.store.range(nodeKey('a')).entries[0]?.value, `"${after}"`)
    t.equal(a.logger.lines.some(({ text }) => text === 'another node has taken this node id'), what === 'taken')
    if (what === 'deleted') return
    await world.remove(nodeKey('a'))
    await world.clock.run(3_000)
    t.match(world.store.range(nodeKey('a')).entries[0]?.value, '"a.example:9093"', 'it is put once the other one is gone')
  })
}

// ---- the end

t.test('at the end leases are revoked, the node key is deleted, and nothing of the node is left, timers neither', async (t) => {
  const world = new RegistryWorld()
  const node = await world.started('a')
  const { session } = await world.done(node.connect('ann', 'web'))
  const removal = node.registry.unregister((await world.done(node.connect('bob', 'web'))).session)
  await world.done(Promise.all([node.registry.close(), node.registry.close(), removal]))
  t.strictSame([world.store.size, world.store.leaseIds.length], [0, 0])
  t.equal(await node.registry.register(node.ref('ann', 'tv'), 1), 'unavailable')
  t.match(await node.registry.admit('ann', 'tv'), { ok: false, code: 'SERVICE_UNAVAILABLE' })
  await node.registry.unregister(session)
  await t.rejects(node.registry.locate('ann'), NO_ANSWER)
  t.equal(world.clock.pendingTimers, 0)
})

t.test('an etcd that does not answer does not hold the end up for longer than 5 s', async (t) => {
  const { world, a } = await worldOf('a')
  await world.done(a.connect('ann', 'web'))
  a.kv.freeze()
  const startedMs = world.clock.monotonicMs()
  await world.done(a.registry.close())
  t.ok(world.clock.monotonicMs() - startedMs <= 5_010)
})
