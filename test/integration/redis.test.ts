import Fastify, { type FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import cache from '../../plugins/cache.ts'
import { parseRedisAddress } from '../../src/config/addresses.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { FakeHealth } from '../helpers/fakes.ts'
import { GroupWorld, idsOf, TTL_MS } from '../helpers/group-world.ts'
import { startCluster, startSentinel } from '../helpers/redis-servers.ts'
import { startService } from '../helpers/services.ts'
import { sharedCacheConformance } from '../helpers/shared-cache-conformance.ts'

const PATIENCE_MS = 15_000
const run = `run-${process.pid}-${Date.now()}`
const address = process.env.REDIS_ADDR ?? ''
if (address === '') throw new Error('REDIS_ADDR is missing')

interface Node { readonly app: FastifyInstance, readonly health: FakeHealth, readonly client: Redis }

async function open (t: Test, redisAddress: string, { ttlMs = 300_000, timeoutMs = 1_000, random = () => 0.5 } = {}): Promise<Node> {
  const app = Fastify()
  const health = new FakeHealth()
  t.teardown(() => app.close())
  await app.register(cache, { address: parseRedisAddress(redisAddress), db: 0, timeoutMs, nodeId: 'node-1', ttlMs, clock: systemClock, health, random })
  await app.ready()
  return { app, health, client: app.redisClient as Redis }
}

async function openUp (t: Test, redisAddress: string, options = {}): Promise<Node> {
  const node = await open(t, redisAddress, options)
  await eventually(() => !node.health.downs.has('redis'), PATIENCE_MS)
  return node
}

const cacheOf = (node: Node) => node.app.sharedCache as NonNullable<FastifyInstance['sharedCache']>
const forms: Array<[string, (t: Test) => Promise<string>]> = [
  ['one server', async () => address],
  ['a cluster', async (t) => `cluster:127.0.0.1:${await startCluster(t)}`],
  ['a server behind a sentinel', async (t) => `sentinel:main@127.0.0.1:${await startSentinel(t)}`]
]

for (const [name, start] of forms) {
  t.test(`${name} keeps groups for all nodes`, async (t) => {
    const node = await openUp(t, await start(t))
    const expire = async (groupId: string) => { await node.client.pexpire(`group_members:${groupId}`, 0) }
    await sharedCacheConformance(t, { cache: cacheOf(node), expire }, run)
  })
}

t.test('a group is one SET under the agreed name that expires after CACHE_TTL, give or take a tenth, and no temporary key stays', async (t) => {
  for (const [random, least, most] of [[() => 0, 267_000, 270_000], [() => 1, 327_000, 330_000]] as const) {
    const node = await openUp(t, address, { random })
    await cacheOf(node).store(`${run}-ttl`, ['ann', 'bob'])
    t.equal(await node.client.type(`group_members:${run}-ttl`), 'set')
    const left = await node.client.pttl(`group_members:${run}-ttl`)
    t.ok(left > least && left <= most, `${left} ms are left`)
    await cacheOf(node).apply(`${run}-ttl`, 'carl', 'join')
    t.ok(await node.client.pttl(`group_members:${run}-ttl`) > 0, 'a change lets it expire as before')
    t.strictSame(await node.client.keys(`{group_members:${run}*`), [])
  }
})

t.test('a key of another kind is an error of that group alone', async (t) => {
  const node = await openUp(t, address)
  await node.client.set(`group_members:${run}-string`, 'not a set')
  await t.rejects(cacheOf(node).members(`${run}-string`), { code: 'SERVICE_UNAVAILABLE' })
  await t.rejects(cacheOf(node).apply(`${run}-string`, 'ann', 'join'), { code: 'SERVICE_UNAVAILABLE' })
  t.notOk(node.health.downs.has('redis'))
  await cacheOf(node).store(`${run}-string`, ['ann'])
  t.strictSame(await cacheOf(node).members(`${run}-string`), ['ann'], 'and is put right by the next list')
})

t.test('a node starts without Redis, and finds it when it comes', async (t) => {
  const services = await startService(['redis'])
  t.teardown(() => services.stop())
  const own = services.address('REDIS_ADDR')
  await services.kill('redis1')
  const startedMs = performance.now()
  const node = await open(t, own)
  t.ok(performance.now() - startedMs < 2_000, 'the boot does not wait')
  t.ok(node.health.downs.has('redis'))
  await t.rejects(cacheOf(node).members('g'), { code: 'SERVICE_UNAVAILABLE' })
  await services.restart('redis')
  await eventually(() => !node.health.downs.has('redis'), PATIENCE_MS)
  t.equal(await cacheOf(node).members('g'), undefined)
})

t.test('Redis that is killed or frozen costs one deadline, then nothing, and is used again once it is back', async (t) => {
  const services = await startService(['redis'])
  t.teardown(() => services.stop())
  const node = await openUp(t, services.address('REDIS_ADDR'), { timeoutMs: 200 })
  const faults: Array<[string, () => Promise<void>, () => Promise<void>]> = [
    ['killed', () => services.kill('redis1'), () => services.restart('redis')],
    ['frozen', () => services.freeze('redis1'), () => services.thaw('redis1')]
  ]
  for (const [name, fault, heal] of faults) {
    await cacheOf(node).store(`before it is ${name}`, ['ann'])
    await fault()
    const startedMs = performance.now()
    await t.rejects(cacheOf(node).members('g'), { code: 'SERVICE_UNAVAILABLE' }, `${name}: the call that finds out`)
    t.ok(performance.now() - startedMs < 1_000, 'in time')
    t.ok(node.health.downs.has('redis'), `${name}: health says so`)
    const laterMs = performance.now()
    for (let i = 0; i < 100; i++) await t.rejects(cacheOf(node).members('g'), { code: 'SERVICE_UNAVAILABLE' })
    t.ok(performance.now() - laterMs < 5_000, `${name}: a hundred more cost no deadline each`)
    await heal()
    await eventually(() => !node.health.downs.has('redis'), PATIENCE_MS)
    await cacheOf(node).store('after', ['bob'])
    t.strictSame(await cacheOf(node).members('after'), ['bob'], `${name}: used again`)
  }
})

t.test('[GW-GRP-3] Redis is killed and comes back during traffic: no group message is lost, and what changed meanwhile is right', async (t) => {
  const services = await startService(['redis'])
  t.teardown(() => services.stop())
  const node = await openUp(t, services.address('REDIS_ADDR'), { timeoutMs: 200 })
  const world = new GroupWorld({ shared: cacheOf(node) })
  const [ann, carl] = [world.connect('ann'), world.connect('carl')]
  const groups = Array.from({ length: 5 }, (_, i) => `group_${i}`)
  for (const group of groups) world.users.group(group, 'ann', 'bob')
  const expected: string[] = []
  const traffic = async (): Promise<void> => {
    for (const group of groups) {
      const id = `m${expected.length}`
      expected.push(id)
      await world.take(world.message(group, id))
      await eventually(() => idsOf(ann).length === expected.length, PATIENCE_MS)
    }
  }
  await traffic()
  await services.kill('redis1')
  await traffic()
  // The User Service is behind: only the events say who joined and who left.
  for (const group of groups) await world.take(world.change(group, 'carl', 'join'), world.change(group, 'bob', 'leave'))
  world.clock.advance(TTL_MS) // all groups are read again, without Redis
  await traffic()
  await services.restart('redis')
  await eventually(() => !node.health.downs.has('redis'), PATIENCE_MS)
  for (const group of groups) world.users.group(group, 'ann', 'carl')
  world.clock.advance(TTL_MS / 2)
  for (const group of groups) await world.take(world.change(group, 'dan', 'join'))
  world.clock.advance(TTL_MS / 2) // and once more, into Redis
  await traffic()
  t.strictSame(idsOf(ann), expected)
  t.strictSame(idsOf(carl), expected.slice(10), 'from the join on')
  await eventually(async () => (await cacheOf(node).members('group_4')) !== undefined, PATIENCE_MS)
  t.strictSame((await cacheOf(node).members('group_4'))?.sort(), ['ann', 'carl', 'dan'], 'the User Service with what it has not heard of yet')
})

t.test('whoever closes the node while Redis is frozen does not wait for it', async (t) => {
  const services = await startService(['redis'])
  t.teardown(() => services.stop())
  const node = await openUp(t, services.address('REDIS_ADDR'), { timeoutMs: 200 })
  await services.freeze('redis1')
  const startedMs = performance.now()
  await node.app.close()
  t.ok(performance.now() - startedMs < 1_000)
  await services.thaw('redis1')
})
