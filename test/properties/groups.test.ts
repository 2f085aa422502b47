/** Properties of the way from bus records to members, each against a model. FC_SEED repeats a run. */
import fc from 'fast-check'
import t from 'tap'
import { BloomFilter } from '../../src/groups/bloom.ts'
import { RETRY_MS } from '../../src/groups/membership.ts'
import { readGroupMessage, readMembershipChange, readReceiptEvent } from '../../src/groups/records.ts'
import { GroupWorld, idsOf, settled, TTL_MS } from '../helpers/group-world.ts'

const seed = process.env.FC_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.FC_SEED)
t.comment(`seed ${seed}`)

const READERS = [readGroupMessage, readMembershipChange, readReceiptEvent]
const FIELDS = ['msg_id', 'group_id', 'user_id', 'sender_id', 'reader_id', 'conversation_id', 'content', 'message_type', 'event_type', 'sequence_number', 'timestamp', 'read_at', 'metadata', '__proto__']

t.test('whatever a record is made of, reading it gives a record or a reason and never throws', async () => {
  const nearly = fc.dictionary(fc.constantFrom(...FIELDS), fc.oneof(fc.constantFrom('text', 'join', 'ann', 7), fc.jsonValue()), { noNullPrototype: true })
  const value = fc.oneof(fc.uint8Array().map((bytes) => Buffer.from(bytes)), fc.json().map((text) => Buffer.from(text)), nearly.map((object) => Buffer.from(JSON.stringify(object))))
  fc.assert(fc.property(value, (bytes) => READERS.every((read) => typeof read(bytes).ok === 'boolean')), { seed, numRuns: 2_000 })
})

t.test('a Bloom filter never misses what was put in', async () => {
  fc.assert(fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 300 }), fc.nat(300), (ids, expected) => {
    const filter = new BloomFilter(expected)
    for (const id of ids) filter.add(id)
    return ids.every((id) => filter.has(id))
  }), { seed, numRuns: 200 })
})

t.test('a Bloom filter that holds what it was made for passes few strangers', async (t) => {
  let passed = 0
  let asked = 0
  fc.assert(fc.property(fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), { minLength: 50, maxLength: 200 }), (ids) => {
    const half = ids.length >> 1
    const filter = new BloomFilter(half)
    for (const id of ids.slice(0, half)) filter.add(id)
    for (const id of ids.slice(half)) if (filter.has(id)) passed++
    asked += ids.length - half
  }), { seed, numRuns: 300 })
  t.ok(passed / asked < 0.004, `${passed} of ${asked}`)
})

// ---- membership against a model

const USERS = ['u0', 'u1', 'u2', 'u3', 'u4', 'u5']
/** Members who are never here, so that groups have sizes below and above LARGE_GROUP_SIZE. */
const FAR: Readonly<Record<string, number>> = { small: 0, medium: 380, other: 390, large: 1_100, huge: 4_100 }
const GROUPS = Object.keys(FAR)

type Step =
  | { readonly do: 'join' | 'leave', readonly group: string, readonly user: string }
  | { readonly do: 'connect' | 'disconnect', readonly user: string }
  | { readonly do: 'look', readonly group: string }
  | { readonly do: 'pass', readonly ms: number }
  | { readonly do: 'hold' | 'letOneGo' | 'letGo' | 'fail' | 'heal' | 'loseShared' | 'findShared' }

const group = fc.constantFrom(...GROUPS)
const user = fc.constantFrom(...USERS)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('join' as const, 'leave' as const), group, user }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('connect' as const, 'connect' as const, 'disconnect' as const), user }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('look' as const), group }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(100, 3_000, 40_000, TTL_MS / 2, TTL_MS, 2 * TTL_MS) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('hold' as const, 'letOneGo' as const, 'letGo' as const, 'fail' as const, 'heal' as const, 'loseShared' as const, 'findShared' as const) }) }
)

class MembershipModel {
  readonly world: GroupWorld
  /** Until then somebody may be missing who came while nobody answered. */
  #doubtUntilMs = -Infinity

  constructor (shared: boolean) {
    // Room for 40 changes, and not for all lists at once.
    this.world = new GroupWorld({ shared, sharedTtlMs: TTL_MS * 1.1, largeGroupSize: 400, membershipCacheBytes: 105_000 })
    for (const [name, far] of Object.entries(FAR)) this.world.users.group(name, 'u0', 'u1', ...Array.from({ length: far }, (_, i) => `far${i}`))
  }

  async run (step: Step): Promise<void> {
    const { users, membership, hub, shared, clock } = this.world
    switch (step.do) {
      case 'join':
      case 'leave':
        if (step.do === 'join') users.groups.get(step.group)?.add(step.user)
        else users.groups.get(step.group)?.delete(step.user)
        membership.apply(step.group, step.user, step.do)
        break
      case 'connect': if (hub.user(step.user) === undefined) this.world.connect(step.user); break
      case 'disconnect': this.world.leave(step.user); break
      case 'look': return this.#look(step.group)
      case 'pass':
        shared.letGo() // a command has a deadline far shorter than any step
        await settled()
        await clock.run(step.ms)
        await settled()
        break
      case 'hold': users.isHolding = shared.isHolding = true; break
      case 'letOneGo': users.letGo(1); shared.letGo(); await settled(); break
      case 'letGo':
        users.isHolding = shared.isHolding = false
        shared.letGo()
        users.letGo()
        await settled()
        this.#doubt()
        break
      case 'fail': users.failure = 'SERVICE_UNAVAILABLE'; break
      case 'heal': users.failure = undefined; this.#doubt(); break
      case 'loseShared': shared.isAway = true; break
      case 'findShared': shared.isAway = false; break
    }
  }

  /** All well again: whatever happened, everybody is found at a group's next record. */
  async end (): Promise<void> {
    await this.run({ do: 'heal' })
    await this.run({ do: 'letGo' })
    await this.world.clock.run(RETRY_MS)
    await settled()
    for (const name of GROUPS) await this.#look(name)
    for (const name of USERS) this.world.leave(name)
    for (const name of GROUPS) {
      const local = this.world.membership.local(name)
      if (local.length > 0 && local !== 'unknown') throw new Error(`${name} still has somebody`)
    }
  }

  #doubt (): void {
    this.#doubtUntilMs = this.world.clock.monotonicMs() + RETRY_MS
  }

  async #look (name: string): Promise<void> {
    const { users, membership, clock, hub, meter } = this.world
    const isWell = users.failure === undefined && !users.isHolding && clock.monotonicMs() >= this.#doubtUntilMs
    let local = membership.local(name)
    // As a record does: three answers at most.
    for (let answers = 0; local === 'unknown' && answers < 3; answers++) {
      const resolving = membership.resolve(name).catch(() => [])
      const known = await Promise.race([resolving, isWell ? resolving : settled().then(() => undefined)])
      if (known === undefined) return
      const next = membership.local(name)
      local = next === 'unknown' ? known : next
    }
    if ((meter.gauge('membership_bytes') ?? 0) > 105_000) throw new Error('too many bytes')
    const found = typeof local === 'string' ? [] : local.map(({ userId }) => userId).sort()
    const truth = USERS.filter((userId) => hub.user(userId) !== undefined && users.groups.get(name)?.has(userId) === true)
    const matches = isWell ? found.join() === truth.join() : found.every((userId) => truth.includes(userId))
    if (!matches) throw new Error(`${name}: found ${found.join()}, should be ${truth.join()}`)
    await settled()
  }
}

t.test('membership equals the model after any mix of reads, joins, leaves, connects, expiries, evictions and failures [GW-GRP-2] [GW-GRP-3] [GW-GRP-4]', async () => {
  await fc.assert(fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 80, size: 'max' }), async (shared, steps) => {
    const model = new MembershipModel(shared)
    for (const each of steps) await model.run(each)
    await model.end()
  }), { seed, numRuns: 300 })
})

// ---- order of delivery

type Act = { readonly do: 'produce', readonly group: string, readonly count: number } | { readonly do: 'hold' | 'letGo' | 'fail' | 'heal' | 'wait' }
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('produce' as const), group: fc.constantFrom('g0', 'g1', 'g2', 'nobody', 'missing'), count: fc.integer({ min: 1, max: 90 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('hold' as const, 'letGo' as const, 'fail' as const, 'heal' as const, 'wait' as const) }) }
)

t.test('each member gets each group\'s messages once and in their order, however reads and fan-outs interleave and budgets fill [GW-GRP-1] [GW-GRP-4]', async () => {
  await fc.assert(fc.asyncProperty(fc.array(act, { maxLength: 25, size: 'max' }), fc.constantFrom(3, 1_000), async (acts, maxWaitingRecords) => {
    const world = new GroupWorld({ largeGroupSize: 500, maxWaitingRecords })
    const crowd = Array.from({ length: 150 }, (_, i) => `c${i}`)
    const members: Record<string, string[]> = { g0: ['ann'], g1: ['ann', 'bob'], g2: ['ann', ...crowd] }
    for (const [name, ids] of Object.entries(members)) world.users.group(name, ...ids)
    world.users.group('nobody', 'far')
    const sockets = new Map(['ann', 'bob', ...crowd].map((userId) => [userId, world.connect(userId)]))
    const produced = new Map<string, string[]>()
    let partition = Promise.resolve()
    const heal = (): void => {
      world.users.failure = undefined
      world.users.isHolding = false
      world.users.letGo()
    }
    for (const each of acts) {
      if (each.do === 'produce') {
        for (let i = 0; i < each.count; i++) {
          const list = produced.get(each.group) ?? []
          produced.set(each.group, list)
          const id = `${each.group}.${list.length}`
          list.push(id)
          // As a partition does: the next record only once the one before was taken.
          partition = partition.then(() => world.consumer.handle(world.message(each.group, id)))
        }
      } else if (each.do === 'hold') world.users.isHolding = true
      else if (each.do === 'fail') world.users.failure = 'SERVICE_UNAVAILABLE'
      else if (each.do === 'wait') await world.clock.run(300)
      else heal()
      await settled()
    }
    heal()
    const taken = { all: false }
    void partition.then(() => { taken.all = true })
    for (let i = 0; i < 200 && (!taken.all || world.meter.gauge('waiting_group_records') !== 0); i++) await world.clock.run(500)
    await settled()
    for (const [userId, socket] of sockets) {
      for (const [name, ids] of Object.entries(members)) {
        const got = idsOf(socket).filter((id) => String(id).startsWith(`${name}.`))
        const expected = ids.includes(userId) ? produced.get(name) ?? [] : []
        if (got.join() !== expected.join()) throw new Error(`${userId} in ${name}: ${got.join()} instead of ${expected.join()}`)
      }
    }
  }), { seed, numRuns: 60 })
})
