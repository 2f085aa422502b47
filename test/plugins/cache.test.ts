import { EventEmitter } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import { ReplyError, type Redis } from 'ioredis'
import t, { type Test } from 'tap'
import cache, { type CacheOptions } from '../../plugins/cache.ts'
import { parseRedisAddress, type RedisAddress } from '../../src/config/addresses.ts'
import { FakeHealth } from '../helpers/fakes.ts'
import { ManualClock, settle } from '../helpers/manual-clock.ts'
import { MemorySharedCache } from '../helpers/memory-shared-cache.ts'
import { sharedCacheConformance } from '../helpers/shared-cache-conformance.ts'

/** A client that answers as the test says. */
class FakeClient extends EventEmitter {
  readonly calls: unknown[][] = []
  status = 'connecting'
  answer: () => Promise<unknown> = async () => []
  quits = 0
  disconnects = 0

  constructor () {
    super()
    this.on('ready', () => { this.status = 'ready' })
    this.on('close', () => { this.status = 'reconnecting' })
  }

  async smembers (...args: unknown[]): Promise<unknown> { this.calls.push(['smembers', ...args]); return this.answer() }
  async eval (...args: unknown[]): Promise<unknown> { this.calls.push(['eval', ...args]); return this.answer() }
  async del (...args: unknown[]): Promise<unknown> { this.calls.push(['del', ...args]); return this.answer() }
  async ping (): Promise<unknown> { this.calls.push(['ping']); return this.answer() }
  pipeline (commands: unknown[][]): { exec: () => Promise<unknown> } {
    this.calls.push(...commands)
    return { exec: () => this.answer() }
  }

  async quit (): Promise<void> { this.quits++ }
  disconnect (): void { this.disconnects++ }
}

interface World { readonly app: FastifyInstance, readonly client: FakeClient, readonly clock: ManualClock, readonly health: FakeHealth, readonly shared: NonNullable<FastifyInstance['sharedCache']> }

async function open (t: Test, options: Partial<CacheOptions> = {}): Promise<World> {
  const app = Fastify()
  t.teardown(() => app.close())
  const [client, clock, health] = [new FakeClient(), new ManualClock(), new FakeHealth()]
  await app.register(cache, { address: undefined, client: client as unknown as Redis, db: 0, timeoutMs: 200, nodeId: 'node-1', ttlMs: 1_000, clock, health, random: () => 0.75, ...options })
  await app.ready()
  return { app, client, clock, health, shared: app.sharedCache as World['shared'] }
}

t.test('a cache in memory does what every shared cache does', async (t) => {
  const memory = new MemorySharedCache()
  await sharedCacheConformance(t, { cache: memory, expire: async (groupId) => { memory.groups.delete(groupId) } }, 'run')
})

t.test('a node boots while Redis is away, and says that it is', async (t) => {
  const { app, client, health, shared } = await open(t)
  t.equal(health.downs.get('redis'), 'not connected yet')
  await t.rejects(shared.members('g'), { code: 'SERVICE_UNAVAILABLE' })
  t.strictSame(client.calls, [])
  t.equal(app.redisClient, client as unknown as Redis)
  await app.redis.ping()
  t.strictSame(client.calls, [['ping']], 'the decorator of @fastify/redis works')
  t.equal(app.redis.status, 'ready')
  client.emit('ready')
  t.notOk(health.downs.has('redis'))
  t.equal(await shared.members('g'), undefined)
})

t.test('a group is written to a temporary key in its own slot, then put in its place with its expiry in one transaction', async (t) => {
  const { client, shared } = await open(t)
  client.emit('ready')
  await shared.store('g', ['ann', 'bob'])
  const temporary = '{group_members:g}:node-1'
  t.strictSame(client.calls, [
    ['del', temporary], ['sadd', temporary, 'ann', 'bob'], ['pexpire', temporary, 60_000],
    ['multi'], ['rename', temporary, 'group_members:g'], ['pexpire', 'group_members:g', 1_050], ['exec']
  ])
  client.calls.length = 0
  await shared.store('g{1}', ['ann'])
  const key = 'group_members:g{1}'
  t.strictSame(client.calls, [['multi'], ['del', key], ['sadd', key, 'ann'], ['pexpire', key, 1_050], ['exec']], 'braces of its own: all in place')
})

t.test('an error of one command of a group rejects, and is no sign of Redis being away', async (t) => {
  const { client, shared, health } = await open(t)
  client.emit('ready')
  for (const results of [[[null, 1], [new ReplyError('OOM'), null]], [[null, 1], [null, [new ReplyError('no such key'), 1]]]]) {
    client.answer = async () => results
    await t.rejects(shared.store('g', ['ann']), { code: 'SERVICE_UNAVAILABLE' })
  }
  client.answer = async () => null
  await shared.store('g', ['ann'])
  t.notOk(health.downs.has('redis'))
  client.answer = async () => [[new Error('Command timed out'), null]]
  await t.rejects(shared.store('g', ['ann']), { code: 'SERVICE_UNAVAILABLE' })
  t.ok(health.downs.has('redis'), 'no answer is one')
})

t.test('a command that is not answered turns the cache off, until a ping a second later finds Redis back', async (t) => {
  const { client, clock, shared, health } = await open(t)
  client.emit('ready')
  client.answer = async () => { throw new Error('Command timed out') }
  await t.rejects(shared.apply('g', 'ann', 'join'), { code: 'SERVICE_UNAVAILABLE' })
  await t.rejects(shared.members('g'), { code: 'SERVICE_UNAVAILABLE' })
  await t.rejects(shared.store('g', []), { code: 'SERVICE_UNAVAILABLE' })
  t.strictSame(client.calls.map(([name]) => name), ['eval'])
  t.equal(health.downs.get('redis'), 'Command timed out')
  await clock.run(1_000)
  await clock.run(1_000)
  t.strictSame(client.calls.map(([name]) => name), ['eval', 'ping', 'ping'])
  client.answer = async () => ['ann']
  await clock.run(1_000)
  t.notOk(health.downs.has('redis'))
  t.strictSame(await shared.members('g'), ['ann'])
})

t.test('a Redis that does not answer any more is found out though nothing is asked of it', async (t) => {
  const { app, client, clock, health } = await open(t)
  client.emit('ready')
  await settle()
  await clock.run(5_000)
  client.answer = async () => { throw new ReplyError('NOPERM this user has no permissions to run the \'ping\' command') }
  await clock.run(5_000)
  t.strictSame(client.calls.map(([name]) => name), ['ping', 'ping'])
  t.notOk(health.downs.has('redis'), 'it does answer')
  client.answer = async () => { throw new Error('Command timed out') }
  await clock.run(5_000)
  t.equal(health.downs.get('redis'), 'Command timed out')
  client.answer = async () => 'PONG'
  await clock.run(1_000)
  t.notOk(health.downs.has('redis'))
  t.equal(clock.pendingTimers, 1)
  await app.close()
  t.equal(clock.pendingTimers, 0)
})

t.test('a connection that is lost turns the cache off at once, and `ready` turns it on', async (t) => {
  const { client, clock, shared, health } = await open(t)
  client.emit('ready')
  client.emit('error', new Error('read ECONNRESET'))
  t.equal(health.downs.get('redis'), 'read ECONNRESET')
  client.emit('close')
  await t.rejects(shared.members('g'), { code: 'SERVICE_UNAVAILABLE' })
  await clock.run(3_000)
  t.equal(health.downs.get('redis'), 'read ECONNRESET', 'what follows from it is not the reason')
  client.emit('ready')
  t.equal(await shared.members('g'), undefined)
  await clock.run(1_000)
  t.notOk(client.calls.some(([name]) => name === 'ping'), 'it need not be looked for')
})

t.test('[GW-GRP-3] lists that missed a change while Redis was away are deleted before it is used again', async (t) => {
  const { client, clock, shared, health } = await open(t)
  client.emit('ready')
  client.answer = async () => { throw new Error('Command timed out') }
  for (let i = 0; i < 1_200; i++) await t.rejects(shared.apply(`g${i}`, 'ann', 'join'))
  await clock.run(1_000)
  client.calls.length = 0
  client.answer = async () => client.calls.length > 700 ? Promise.reject(new Error('Connection is closed.')) : 1
  await clock.run(1_000)
  t.equal(health.downs.get('redis'), 'Connection is closed.', 'gone again in the middle of it')
  client.calls.length = 0
  const answers: Array<(value: unknown) => void> = []
  client.answer = async () => client.calls.at(-1)?.[0] === 'del' ? new Promise((resolve) => { answers.push(resolve) }) : []
  client.emit('ready')
  client.emit('ready')
  await settle()
  await t.rejects(shared.members('g1'), { code: 'SERVICE_UNAVAILABLE' }, 'not before they are')
  client.answer = async () => 1
  for (const answer of answers) answer(1)
  await settle()
  t.notOk(health.downs.has('redis'))
  const deleted = client.calls.filter(([name]) => name === 'del').map(([, key]) => key)
  t.equal(deleted.length, 700, '500 are done, and none twice')
  t.equal(new Set(deleted).size, 700)
  client.calls.length = 0
  client.emit('ready')
  t.strictSame(client.calls, [], 'once')
})

t.test('[GW-GRP-3] a list that missed a change which Redis refused is deleted as well, though Redis was never away', async (t) => {
  const { client, clock, shared, health } = await open(t)
  client.emit('ready')
  client.answer = async () => { throw new ReplyError('OOM command not allowed') }
  await t.rejects(shared.apply('g', 'ann', 'leave'), { code: 'SERVICE_UNAVAILABLE' })
  t.notOk(health.downs.has('redis'))
  client.answer = async () => 1
  client.calls.length = 0
  await clock.run(1_000)
  t.strictSame(client.calls, [['ping'], ['del', 'group_members:g']])
  await clock.run(5_000)
  t.strictSame(client.calls.slice(2), [['ping']], 'once')
})

t.test('more than a thousand commands without an answer are refused', async (t) => {
  const { client, shared, health } = await open(t)
  client.emit('ready')
  const answers: Array<(value: unknown) => void> = []
  client.answer = () => new Promise((resolve) => { answers.push(resolve) })
  const calls = Array.from({ length: 1_000 }, () => shared.apply('g', 'ann', 'join'))
  await t.rejects(shared.apply('g', 'ann', 'join'), { code: 'OVERLOADED' })
  for (const answer of answers) answer(1)
  await Promise.all(calls)
  client.answer = async () => 1
  await shared.apply('g', 'ann', 'join')
  t.notOk(health.downs.has('redis'))
})

t.test('what is opened is closed, whether Redis is there or not', async (t) => {
  for (const isReady of [true, false]) {
    const { app, client, clock, shared } = await open(t)
    if (isReady) client.emit('ready')
    else client.emit('close')
    client.quit = async () => { client.quits++; throw new Error('Connection is closed.') }
    await app.close()
    t.strictSame([client.quits, client.disconnects], [isReady ? 1 : 0, 1])
    client.emit('close')
    await t.rejects(shared.members('g'), { code: 'SERVICE_UNAVAILABLE' })
    await settle()
    t.equal(clock.pendingTimers, 0)
  }
})

t.test('a ready cache, or none, takes the place of Redis', async (t) => {
  const memory = new MemorySharedCache()
  for (const [given, expected] of [[memory, memory], [null, undefined]] as const) {
    const { app } = await open(t, { cache: given })
    t.equal(app.sharedCache, expected)
    t.equal(app.redisClient, undefined)
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(cache, { address: undefined, db: 0, timeoutMs: 200, nodeId: 'n', ttlMs: 1, clock: new ManualClock(), health: new FakeHealth(), random: () => 0 })
  t.equal(app.sharedCache, undefined, 'no address: no Redis')
})

t.test('options that make no sense are refused', async (t) => {
  await t.rejects(open(t, { ttlMs: 0 }), { name: 'RangeError' })
})

t.test('every form of address opens a client that fails at once while nothing answers', async (t) => {
  for (const form of ['127.0.0.1:1', 'cluster:127.0.0.1:1', 'sentinel:main@127.0.0.1:1']) {
    for (const tls of [undefined, {}]) {
      const app = Fastify()
      const health = new FakeHealth()
      await app.register(cache, {
        address: parseRedisAddress(form) as RedisAddress, username: 'u', password: 'p', sentinelPassword: 's', db: 0, tls, timeoutMs: 200, nodeId: 'n', ttlMs: 1_000, clock: new ManualClock(), health, random: () => 0
      })
      await app.ready()
      await t.rejects(app.sharedCache?.members('g') as Promise<unknown>, { code: 'SERVICE_UNAVAILABLE' }, form)
      t.ok(health.downs.has('redis'))
      await app.close()
    }
  }
})
