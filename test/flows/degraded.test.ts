/** Each dependency is taken away from a whole node: what scripts/lib/degraded-page.ts says is what happens, row by row. */
import t from 'tap'
import { DEGRADED, type DegradedRow } from '../../scripts/lib/degraded-page.ts'
import { ERRORS } from '../../src/errors.ts'
import type { Dependency } from '../../src/ports.ts'
import { tokenFor } from '../helpers/app.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { HANDSHAKES, KNOWN_GROUP, PATIENCE_MS, refusedMessage, refusedPush, refusedUpgrade, startDegradedWorld, type Answer, type DegradedWorld } from '../helpers/degraded-world.ts'

type World = DegradedWorld
/** Whether it is as the sentence says. */
type Check = (world: World) => Promise<boolean>
type Table = typeof DEGRADED
interface Row<D extends Dependency> {
  readonly works: { readonly [Key in keyof Table[D]['works']]: Check }
  /** How the last of those who asked was refused. */
  readonly refused: { readonly [Key in keyof Table[D]['refused']]: (world: World) => Promise<Answer | undefined> }
  readonly back: { readonly [Key in keyof Table[D]['back']]: Check }
}

/** More than the breaker needs. */
const CALLS = 12
/** The same one again: a token of another second is another. */
const KNOWN_TOKEN = tokenFor('known')
let nth = 0
const fresh = (): string => `user-${++nth}`
const times = async <T>(count: number, work: (i: number) => Promise<T>): Promise<T[]> => await Promise.all(Array.from({ length: count }, (_, i) => work(i)))

const upgrades: Check = async (world) => await refusedUpgrade(world, fresh()) === undefined
const messages: Check = async ({ ann, bob }) => ann.isOpen && bob.isOpen && await refusedMessage(ann, 'bob') === undefined
const pushes: Check = async ({ im, ann }) => {
  const report = await im.push({ msgId: 'p1' })
  return report.success && report.deliveredCount === 1 && ann.count('p1') === 1 && !report.routesIncomplete
}
const groupOf = (groupId: string): Check => async ({ produce, ann, bob }) => {
  const msgId = `g-${++nth}`
  await produce(groupId, msgId)
  for (const member of [ann, bob]) await member.message(msgId)
  return true
}
const groups = groupOf(KNOWN_GROUP)
const registered = ({ node }: World): string[] => node.store.range('/registry/users/', { prefix: true }).entries.map(({ key }) => key)

const gaugeOf = async ({ node }: World, dependency: Dependency): Promise<number> => await node.metric(`im_gateway_degraded{dependency="${dependency}"}`) ?? NaN

const ROWS: { readonly [D in Dependency]: Row<D> } = {
  etcd: {
    works: {
      messages,
      groups,
      pushes: async ({ im, ann }) => {
        const report = await im.push({ msgId: 'p1' })
        return report.deliveredCount === 1 && ann.count('p1') === 1 && report.routesIncomplete
      }
    },
    refused: {
      upgrades: async (world) => {
        // Who leaves now cannot be deleted yet.
        await world.bob.close()
        return await refusedUpgrade(world, fresh())
      },
      unknown: async (world) => await refusedPush(world, 'nobody')
    },
    back: {
      upgrades,
      sessions: async (world) => {
        await eventually(() => registered(world).join() === '/registry/users/ann/phone', PATIENCE_MS)
        return true
      }
    }
  },
  redis: {
    works: { upgrades, messages, groups: groupOf('fresh') },
    refused: {
      handshakes: async (world) => {
        for (let i = 0; i < HANDSHAKES; i++) if (await refusedUpgrade(world, 'max') !== undefined) return undefined
        return await refusedUpgrade(world, 'max')
      }
    },
    back: {
      counts: async (world) => {
        const user = fresh()
        return await refusedUpgrade(world, user) === undefined && [...world.redis.counts].some(([key, count]) => key.endsWith(`user:${user}`) && count === 1)
      }
    }
  },
  kafka: {
    works: { upgrades, messages, pushes },
    refused: {},
    back: {
      records: async (world) => world.kafka.consumer.position('group_msg', 0) === String(world.end()) && await groups(world)
    }
  },
  auth: {
    works: {
      messages,
      known: async (world) => await refusedUpgrade(world, 'known', KNOWN_TOKEN) === undefined
    },
    refused: {
      upgrades: async (world) => {
        // The first is tried twice; together they open the breaker.
        await refusedUpgrade(world, fresh())
        return (await times(CALLS, async () => await refusedUpgrade(world, fresh()))).at(-1)
      },
      renewals: async ({ ann }) => {
        ann.write({ type: 'auth', token: tokenFor('ann', { ttlS: 7_200 }) })
        const { error_code: code, retryable } = await ann.next('error')
        return { by: 'frame', code: String(code), retryable: retryable === true && ann.isOpen }
      }
    },
    back: { upgrades }
  },
  im: {
    works: { upgrades, groups, pushes },
    refused: {
      unanswered: async (world) => {
        const { outside, node, ann } = world
        node.services.im.behave = () => ({ silent: true })
        await outside.im.start()
        await eventually(async () => await gaugeOf(world, 'im') === 0, PATIENCE_MS)
        const answer = await refusedMessage(ann, 'bob')
        outside.im.stop()
        node.services.im.behave = () => undefined
        await eventually(async () => await gaugeOf(world, 'im') === 1, PATIENCE_MS)
        return answer
      },
      messages: async ({ ann }) => {
        await refusedMessage(ann, 'user-0', 'm-0')
        return (await times(CALLS, async (i) => await refusedMessage(ann, `user-${i}`, `m-${i}`))).at(-1)
      }
    },
    back: { messages: async ({ ann }) => await refusedMessage(ann, 'user-0', 'm-0') === undefined }
  },
  user: {
    works: {
      upgrades,
      messages,
      groups: async (world) => {
        void world.produce('fresh', 'waits')
        return await groups(world) && world.ann.count('waits') === 0
      }
    },
    refused: {},
    back: { records: async ({ ann }) => Boolean(await ann.message('waits', PATIENCE_MS)) }
  }
}

for (const dependency of Object.keys(DEGRADED) as Dependency[]) {
  const row: DegradedRow = DEGRADED[dependency]
  t.test(`${row.name} away: what works, what is refused, who says so, and how it ends [GW-OBS-4]`, async (t) => {
    const world = await startDegradedWorld(t)
    const checks: { readonly works: Readonly<Record<string, Check>>, readonly refused: Readonly<Record<string, (world: World) => Promise<Answer | undefined>>>, readonly back: Readonly<Record<string, Check>> } = ROWS[dependency]
    const metric = async (name: string): Promise<number> => await world.node.metric(`im_gateway_${name}`) ?? 0
    const gauge = async (name: Dependency): Promise<number> => await gaugeOf(world, name)
    const others = (Object.keys(DEGRADED) as Dependency[]).filter((name) => name !== dependency)
    const states = async () => Object.fromEntries(Object.entries((await world.report()).report.dependencies).map(([name, { state }]) => [name, state]))
    const allUp = Object.fromEntries([...others, dependency].map((name) => [name, 'up']))

    await groups(world)
    t.equal(await refusedUpgrade(world, 'known', KNOWN_TOKEN), undefined)
    await eventually(async () => JSON.stringify(Object.entries(await states()).sort()) === JSON.stringify(Object.entries(allUp).sort()), PATIENCE_MS)
    for (const name of [...others, dependency]) t.equal(await gauge(name), 0, `${name} is there`)
    const before = new Map(await Promise.all(row.metrics.map(async (name) => [name, await metric(name)] as const)))

    world.outside[dependency].stop()
    await eventually(async () => await gauge(dependency) === 1, PATIENCE_MS)
    for (const [key, sentence] of Object.entries(row.works)) t.ok(await checks.works[key]?.(world), sentence)
    for (const [key, { what, by, code }] of Object.entries(row.refused)) {
      const answer = await checks.refused[key]?.(world)
      t.match(answer, { by, code }, what)
      if (by === 'http') t.match(answer, { status: ERRORS[code].httpStatus, retryAfterS: ERRORS[code].httpStatus === 503 ? /^[1-5]$/ : /^[1-9]\d*$/ }, `${what}, with a time to wait`)
      if (by === 'frame') t.match(answer, { retryable: ERRORS[code].retryable }, what)
    }
    for (const [name, value] of before) await eventually(async () => await metric(name) !== value, PATIENCE_MS).catch(() => t.fail(`${name} has not moved`))

    const { status, report } = await world.report()
    t.equal(status, 200)
    t.equal((await fetch(`http://127.0.0.1:${world.node.port}/healthz`)).status, 200)
    t.match(report, { ready: true, dependencies: { [dependency]: { state: 'down', since: /^20/, detail: /./ } } })
    t.notMatch(report.dependencies[dependency]?.detail, /\d\.\d|:\d/, 'whoever asks learns no address')
    t.same(await states(), { ...allUp, [dependency]: 'down' })
    for (const name of others) t.equal(await gauge(name), 0, `${name} is still there`)

    await world.outside[dependency].start()
    await eventually(async () => await gauge(dependency) === 0, PATIENCE_MS)
    for (const [key, sentence] of Object.entries(row.back)) t.ok(await within(checks.back[key], world), sentence)
    t.same(await states(), allUp)
    t.ok(world.ann.isOpen, 'the socket has seen it all')
  })
}

/** Tries until it is so: a breaker lets its next call pass a second after the last that failed. */
async function within (check: Check | undefined, world: World): Promise<boolean> {
  await eventually(async () => await check?.(world) === true, PATIENCE_MS)
  return true
}

/** Takes calls and answers none; and what is asked of the node meanwhile, again and again. */
interface Silence { silence (world: World): void, end (world: World): void, ask (world: World): Promise<unknown> }

const SILENCES: Readonly<Partial<Record<Dependency, Silence>>> = {
  etcd: {
    silence: ({ etcd }) => { etcd.freeze() },
    end: ({ etcd }) => { etcd.thaw() },
    ask: async (world) => await refusedUpgrade(world, fresh())
  },
  redis: {
    silence: ({ redis }) => { redis.freeze() },
    end: ({ redis }) => { redis.thaw() },
    ask: async (world) => {
      const group = `group-${++nth}`
      world.users.users.groups.set(group, ['ann', 'bob'])
      return await groupOf(group)(world)
    }
  },
  auth: {
    silence: ({ auth }) => { auth.auth.behave = () => ({ silent: true }) },
    end: ({ auth }) => { auth.auth.behave = () => ({}) },
    ask: async (world) => await times(CALLS, async () => await refusedUpgrade(world, fresh()))
  },
  im: {
    silence: ({ node }) => { node.services.im.behave = () => ({ silent: true }) },
    end: ({ node }) => { node.services.im.behave = () => undefined },
    ask: async ({ ann }) => await times(CALLS, async (i) => await refusedMessage(ann, `user-${i}`))
  }
}

for (const [name, { silence, end, ask }] of Object.entries(SILENCES)) {
  const dependency = name as Dependency
  t.test(`${DEGRADED[dependency].name} takes calls and answers none: it is away as well, until it answers again [GW-OBS-4]`, async (t) => {
    const world = await startDegradedWorld(t)
    await eventually(async () => await gaugeOf(world, dependency) === 0, PATIENCE_MS)
    const asked = async (gauge: number) => await eventually(async () => {
      await ask(world)
      return await gaugeOf(world, dependency) === gauge
    }, PATIENCE_MS)
    silence(world)
    await asked(1)
    t.match(await world.report(), { status: 200, report: { ready: true, dependencies: { [dependency]: { state: 'down' } } } })
    end(world)
    await asked(0)
    t.match(await world.report(), { status: 200, report: { ready: true, dependencies: { [dependency]: { state: 'up' } } } })
    t.ok(world.ann.isOpen && world.bob.isOpen)
  })
}
