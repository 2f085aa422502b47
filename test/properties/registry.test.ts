import fc from 'fast-check'
import t from 'tap'
import { KvRejectedError, type KvBatchResult, type KvOperation, type SessionRef } from '../../src/ports.ts'
import { Batcher } from '../../src/registry/batcher.ts'
import { deviceKey, nodeKey, parseKey, parseNode, parseRevoked, parseRoute, revokedKey, userPrefix } from '../../src/registry/records.ts'
import { MemoryStore } from '../../src/embedded/memory-store.ts'
import { FakeMeter } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'
import { RegistryWorld, TTL_MS, type TestNode } from '../helpers/registry-world.ts'

const seed = process.env['FC_SEED']
const runs = (numRuns: number) => ({ numRuns, ...(seed !== undefined && { seed: Number(seed) }) })

// ---- keys and values

const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })

t.test('whatever bytes or JSON stand in etcd, reading them gives a record or nothing and never throws', async (t) => {
  const keys = fc.oneof(fc.string({ unit: 'binary' }), fc.string().map((text) => `/registry/${text}`), fc.tuple(fc.constantFrom('users', 'nodes', 'revoked'), fc.string(), fc.string()).map((parts) => `/registry/${parts.join('/')}`))
  const field = fc.constantFrom('node', 'conn', 'at', 'grpc', 'version', 'start', 'connects_per_s', 'before', '__proto__')
  const values = fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes).toString()), fc.json(), fc.dictionary(field, fc.oneof(fc.jsonValue(), fc.double(), fc.string())).map((object) => JSON.stringify(object))
  )
  fc.assert(fc.property(keys, values, (key, value) => {
    parseKey(key)
    const [route, node, revoked] = [parseRoute(value), parseNode(value), parseRevoked(value)]
    if (route !== undefined && !(route.node !== '' && route.conn !== '' && route.at >= 0)) throw new Error('a route without a place')
    if (node !== undefined && typeof node.grpc !== 'string') throw new Error('a node without an address')
    if (revoked !== undefined && !(revoked.before >= 0)) throw new Error('a revocation without a time')
  }), runs(2_000))
  t.pass()
})

t.test('a key is read back as it was written, and no user\'s prefix finds another\'s devices', async (t) => {
  fc.assert(fc.property(id, id, id, (user, device, other) => {
    t.strictSame(parseKey(deviceKey(user, device)), { kind: 'user', userId: user, deviceId: device })
    t.strictSame(parseKey(revokedKey(user, device)), { kind: 'revoked', userId: user, deviceId: device })
    t.strictSame(parseKey(nodeKey(user)), { kind: 'node', nodeId: user })
    if (user !== other && deviceKey(other, device).startsWith(userPrefix(user))) throw new Error('one user\'s device is found below another')
  }), runs(500))
})

// ---- group commit

interface Put { readonly lane: number, readonly value: number, readonly atMs: number, readonly isRefused: boolean }

t.test('group commit equals doing one operation after the other: each once, in the order of its lane, never two of a lane at a time', async (t) => {
  const puts = fc.array(fc.record({ lane: fc.nat(4), value: fc.nat(1_000), atMs: fc.nat(30), isRefused: fc.boolean() }), { maxLength: 60 })
  await fc.assert(fc.asyncProperty(puts, fc.infiniteStream(fc.nat(20)), async (all, delays) => {
    const clock = new ManualClock()
    const store = new MemoryStore({ clock })
    const under = new Set<string>()
    const batch = async (operations: readonly KvOperation[]): Promise<KvBatchResult> => {
      const keys = operations.map(keyOf)
      if (new Set(keys).size < keys.length || keys.some((key) => under.has(key))) throw new Error('two of a lane at a time')
      for (const key of keys) under.add(key)
      await new Promise<void>((resolve) => { clock.setTimer(resolve, delays.next().value as number) })
      for (const key of keys) under.delete(key)
      if (operations.some(({ then }) => then !== undefined && 'value' in then && then.value === 'refused')) throw new KvRejectedError('request', 'not this one')
      return store.batch(operations)
    }
    const batcher = new Batcher({ kv: { batch }, clock, meter: new FakeMeter(), maxOperations: 7, maxInFlight: 2 })
    const leaseId = store.grantLease(1_000_000)
    const answered: Put[] = []
    const refused: Put[] = []
    const sorted = [...all].sort((a, b) => a.atMs - b.atMs)
    for (const put of sorted) {
      clock.setTimer(() => {
        const value = put.isRefused ? 'refused' : String(put.value)
        batcher.submit({ lane: String(put.lane), operation: { when: [], then: { put: `/k/${put.lane}`, value, leaseId } }, timeoutMs: 1_000_000 })
          .then(() => { answered.push(put) }, (error: unknown) => { if (error instanceof KvRejectedError) refused.push(put) })
      }, put.atMs)
    }
    await clock.run(10_000)
    for (let lane = 0; lane < 5; lane++) {
      const ofLane = (list: readonly Put[]): Put[] => list.filter((put) => put.lane === lane)
      t.strictSame(ofLane(answered), ofLane(sorted).filter(({ isRefused }) => !isRefused))
      t.strictSame(ofLane(refused), ofLane(sorted).filter(({ isRefused }) => isRefused))
      const last = ofLane(answered).at(-1)
      t.equal(store.range(`/k/${lane}`).entries[0]?.value, last === undefined ? undefined : String(last.value))
    }
    t.strictSame([batcher.queued, clock.pendingTimers > 1], [0, false])
  }), runs(150))
})

function keyOf ({ then }: KvOperation): string {
  return then !== undefined && 'put' in then ? then.put : ''
}

// ---- takeover, loss and repair

const USERS = ['ann', 'bob'] as const
const DEVICES = ['web', 'tv', 'phone'] as const
const NODES = ['a', 'b', 'c'] as const
const MAX_DEVICES = 2

const device = { user: fc.constantFrom(...USERS), device: fc.constantFrom(...DEVICES) }
const node = fc.constantFrom(...NODES)
const step = fc.record({
  waitMs: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(3_000), fc.nat(2 * TTL_MS)),
  act: fc.oneof(
    { weight: 8, arbitrary: fc.record({ type: fc.constant('connect' as const), node, ...device }) },
    { weight: 4, arbitrary: fc.record({ type: fc.constant('close' as const), index: fc.nat(20) }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('cut' as const, 'freeze' as const, 'heal' as const, 'heal' as const, 'lose' as const, 'unwatch' as const), node }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const), ...device }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('revoke' as const), index: fc.nat(10) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant('compact' as const) }) }
  )
})

/** A socket as a node sees it: it lives from its registration until it is closed, by its client or because it was replaced. */
interface Live { readonly node: TestNode, readonly session: SessionRef, isRegistered: boolean, isClosed: boolean }

t.test('[GW-CON-6] [GW-CON-7] whatever connects, closes, breaks and is lost: when all is quiet etcd says who is connected, and each device is connected once', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
    const world = new RegistryWorld()
    const nodes = new Map<string, TestNode>()
    const sockets: Live[] = []
    for (const name of NODES) nodes.set(name, await world.started(name, { maxDevicesPerUser: MAX_DEVICES }))
    const nodeOf = (name: string): TestNode => nodes.get(name) as TestNode
    const close = (socket: Live): void => {
      if (socket.isClosed) return
      socket.isClosed = true
      socket.node.registry.unregister(socket.session).catch(() => {})
    }
    const connect = async (onto: TestNode, user: string, deviceId: string): Promise<void> => {
      const admission = await onto.registry.admit(user, deviceId)
      if (!admission.ok) return
      const socket: Live = { node: onto, session: onto.ref(user, deviceId), isRegistered: false, isClosed: false }
      sockets.push(socket)
      const outcome = await onto.registry.register(socket.session, admission.revision)
      if (outcome === 'registered') socket.isRegistered = true
      else close(socket)
    }
    /** What the sessions do whose device was taken over: close the socket. */
    const closeReplaced = (): void => {
      for (const socket of sockets) if (socket.node.replaced.includes(socket.session.connectionId)) close(socket)
    }
    for (const { waitMs, act } of steps) {
      switch (act.type) {
        case 'connect': void connect(nodeOf(act.node), act.user, act.device); break
        case 'close': { const socket = sockets[act.index % Math.max(1, sockets.length)]; if (socket !== undefined) close(socket); break }
        case 'cut': nodeOf(act.node).kv.cut(); break
        case 'freeze': nodeOf(act.node).kv.freeze(); break
        case 'heal': nodeOf(act.node).kv.heal(); break
        case 'lose': nodeOf(act.node).kv.loseAnswers(1); break
        case 'unwatch': nodeOf(act.node).kv.endWatches(); break
        case 'delete': await world.remove(deviceKey(act.user, act.device)); break
        case 'revoke': { const leases = world.store.leaseIds; const lease = leases[act.index % Math.max(1, leases.length)]; if (lease !== undefined) world.store.revokeLease(lease); break }
        case 'compact': world.store.compact(); break
      }
      await world.clock.run(waitMs)
      closeReplaced()
    }
    for (const each of nodes.values()) {
      each.kv.heal()
      each.kv.loseAnswers(0)
    }
    for (let round = 0; round < 6; round++) {
      await world.clock.run(TTL_MS)
      closeReplaced()
    }
    const live = sockets.filter((socket) => socket.isRegistered && !socket.isClosed)
    const truth = Object.fromEntries(live.map(({ session }) => [`${session.userId}/${session.deviceId}`, session.connectionId]))
    t.strictSame(world.users, truth, 'etcd says what is so')
    t.equal(Object.keys(truth).length, live.length, 'a device is connected once')
    for (const each of nodes.values()) {
      const own = live.filter((socket) => socket.node === each).length
      t.strictSame([each.registry.registered, each.registry.repairs], [own, 0], `node ${each.nodeId} knows what it has`)
    }
  }), runs(120))
})
