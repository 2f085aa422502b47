/** What befalls the registry's watch alone, on a fake etcd that says where it breaks. */
import type { Test } from 'tap'
import { EtcdKv } from '../../plugins/lib/etcd-kv.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { MemoryStore } from '../../src/embedded/memory-store.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { KvOperation, Meter } from '../../src/ports.ts'
import { ClusterRegistry } from '../../src/registry/cluster-registry.ts'
import { deviceKey, encodeNode, encodeRevoked, encodeRoute, nodeKey, NODES, parseKey, parseNode, parseRevoked, parseRoute, REVOKED, revokedKey, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { FakeEtcd } from '../helpers/fake-etcd.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../helpers/fakes.ts'
import { isLong, PATIENCE_MS, rowWithoutWorld } from './harness/row.ts'

const ROUNDS = isLong ? 200 : 20
const REVISIONS = 30
/** Operations of one revision at most. */
const OPERATIONS = 8
const SESSIONS = 200
const [USERS_ELSEWHERE, NODES_ELSEWHERE, REVOKED_USERS] = [30, 10, 30]
const NODE_ID = 'node-a'

/** The one node, and an operator who changes what it follows. */
class WatchWorld {
  readonly meter = new FakeMeter()
  readonly etcd: FakeEtcd
  readonly registry: ClusterRegistry
  /** What the node was told: revocations as `user before`, sessions that moved away. */
  readonly told = { revoked: new Set<string>(), replaced: new Set<string>() }
  /** What happened. */
  readonly happened = { revoked: new Set<string>(), replaced: new Set<string>() }
  readonly #store: MemoryStore
  readonly #operator: MemoryKv
  readonly #random: () => number
  readonly #sessions: string[] = []
  #leaseId = ''
  #changes = 0

  private constructor (store: MemoryStore, etcd: FakeEtcd, kv: EtcdKv, random: () => number) {
    this.#store = store
    this.#operator = new MemoryKv({ clock: systemClock, store })
    this.#random = random
    this.etcd = etcd
    this.registry = new ClusterRegistry({
      kv,
      clock: systemClock,
      meter: this.meter as Meter,
      logger: new FakeLogger(),
      nodeId: NODE_ID,
      startId: 'start',
      version: '1.0.0',
      maxDevicesPerUser: 5,
      ttlMs: 60_000,
      renewIntervalMs: 20_000,
      admissionTimeoutMs: 1_500,
      registrationTimeoutMs: 5_000,
      cacheTtlMs: 600_000,
      routeCacheEntries: 1_000,
      random: () => 0
    })
    this.registry.listen({
      onReplaced: (_id, userId) => { this.told.replaced.add(userId) },
      onRevoked: (userId, _deviceId, before) => { this.told.revoked.add(`${userId} ${before}`) }
    })
  }

  static async start (t: Test, random: () => number): Promise<WatchWorld> {
    const store = new MemoryStore({ clock: systemClock })
    const etcd = await new FakeEtcd(store).start()
    const kv = new EtcdKv({ endpoints: [etcd.address], timeoutMs: 3_000, clock: systemClock, health: new FakeHealth() })
    const world = new WatchWorld(store, etcd, kv, random)
    t.teardown(async () => {
      await world.registry.close()
      await kv.close()
      etcd.stop()
    })
    world.#leaseId = await world.#operator.grantLease(3_600)
    await world.registry.start('127.0.0.1:1')
    for (let i = 0; i < SESSIONS; i++) {
      const userId = `session${i}`
      const admission = await world.registry.admit(userId, 'phone')
      const outcome = admission.ok && await world.registry.register({ connectionId: `start.${i}`, userId, deviceId: 'phone', openedAtUnixMs: 1 }, admission.revision)
      if (outcome !== 'registered') throw new Error(`${userId}: ${String(outcome)}`)
      world.#sessions.push(userId)
    }
    return world
  }

  /** Changes of all kinds, some of them in one revision. */
  async change (): Promise<void> {
    const operations = new Map<string, KvOperation>()
    for (let i = this.#below(OPERATIONS) + 1; i > 0; i--) {
      const [key, value] = this.#one()
      operations.set(key, { when: [], then: value === undefined ? { remove: key } : { put: key, value, leaseId: this.#leaseId } })
    }
    await this.#operator.batch([...operations.values()])
    for (const [key, { then }] of operations) {
      const owner = parseKey(key)
      if (then === undefined || !('put' in then)) continue
      if (owner?.kind === 'revoked') this.happened.revoked.add(`${owner.userId} ${parseRevoked(then.value)?.before}`)
      else if (owner?.kind === 'user' && owner.userId.startsWith('session')) this.happened.replaced.add(owner.userId)
    }
  }

  get isCaughtUp (): boolean { return this.registry.live && this.registry.revision === this.#store.revision }

  /** So that there is something that could be old. */
  async askForAll (): Promise<void> {
    for (let i = 0; i < USERS_ELSEWHERE; i++) await this.registry.locate(`user${i}`)
  }

  /** Whatever the node knows and the store has not, or the other way round. */
  async differences (): Promise<string[]> {
    const found: string[] = []
    const entries = (prefix: string) => this.#store.range(prefix, { prefix: true }).entries
    const nodeOf = new Map(entries(USERS).map(({ key, value }) => [key, parseRoute(value)?.node]))
    for (let i = 0; i < USERS_ELSEWHERE; i++) {
      const { devices, complete } = await this.registry.locate(`user${i}`)
      if (!complete || devices[0]?.nodeId !== nodeOf.get(deviceKey(`user${i}`, 'phone'))) found.push(`user${i} is not at ${devices[0]?.nodeId}`)
    }
    const room = entries(NODES).reduce((sum, { key, value }) => sum + (key === nodeKey(NODE_ID) ? 0 : parseNode(value)?.connects_per_s ?? 0), 0)
    if (this.registry.room.connectsPerSecond !== room) found.push(`the nodes take ${room} a second, not ${this.registry.room.connectsPerSecond}`)
    const revoked = new Map(entries(REVOKED).flatMap(({ key, value }) => {
      const owner = parseKey(key)
      return owner?.kind === 'revoked' ? [[owner.userId, parseRevoked(value)?.before ?? 0] as const] : []
    }))
    for (let i = 0; i < REVOKED_USERS; i++) {
      const before = revoked.get(`revoked${i}`) ?? 0
      const isRight = this.registry.isRevoked(`revoked${i}`, 'phone', before - 1) === (before > 0) && !this.registry.isRevoked(`revoked${i}`, 'phone', before)
      if (!isRight) found.push(`revoked${i} is revoked before ${before}, and the node does not say so`)
    }
    for (const kind of ['revoked', 'replaced'] as const) for (const event of this.happened[kind]) if (!this.told[kind].has(event)) found.push(`${kind} ${event} was lost`)
    return found
  }

  /** A key and its value; undefined: it is deleted. */
  #one (): readonly [key: string, value: string | undefined] {
    const at = ++this.#changes
    const roll = this.#random()
    const isGone = this.#random() < 0.3
    if (roll < 0.4) {
      const key = deviceKey(`user${this.#below(USERS_ELSEWHERE)}`, 'phone')
      return [key, isGone ? undefined : encodeRoute({ node: `node-${this.#below(NODES_ELSEWHERE)}`, conn: `c${at}`, at })]
    }
    if (roll < 0.6) {
      const node = `elsewhere${this.#below(NODES_ELSEWHERE)}`
      return [nodeKey(node), isGone ? undefined : encodeNode({ grpc: `127.0.0.1:${at}`, version: '1.0.0', at, start: `s${at}`, connects_per_s: at })]
    }
    const session = roll < 0.61 ? this.#sessions.pop() : undefined
    if (session !== undefined) return [deviceKey(session, 'phone'), encodeRoute({ node: 'node-z', conn: `c${at}`, at })]
    return [revokedKey(`revoked${this.#below(REVOKED_USERS)}`), isGone ? undefined : encodeRevoked({ before: at, at })]
  }

  #below (count: number): number {
    return Math.floor(this.#random() * count)
  }
}

rowWithoutWorld('E6', '[GW-CON-6] a watch that breaks while it is replayed, and again, loses no event', async (t, random) => {
  const world = await WatchWorld.start(t, random)
  const differences: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await eventually(() => world.isCaughtUp, PATIENCE_MS)
    await world.askForAll()
    world.etcd.breakWatches(...Array.from({ length: 2 }, () => 1 + Math.floor(random() * REVISIONS * 2)))
    for (let i = 0; i < REVISIONS; i++) await world.change()
    await eventually(() => world.isCaughtUp, PATIENCE_MS)
    differences.push(...await world.differences())
  }
  t.strictSame(differences, [], 'what the node knows is what etcd has')
  const breaks = world.meter.counted('watch_breaks_total ended')
  t.ok(breaks >= ROUNDS * 3, `${breaks} breaks`)
  t.equal(world.meter.counted('watch_resync_total'), 0, 'nothing was read again in their place')
  t.ok(world.happened.replaced.size > ROUNDS / 2)
  return { rounds: ROUNDS, breaks, revoked: world.told.revoked.size, replaced: world.told.replaced.size, differences: differences.length }
})
