import Fastify from 'fastify'
import t from 'tap'
import registry, { type RegistryOptions } from '../../plugins/registry.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../helpers/fakes.ts'

const options = (changes: Partial<RegistryOptions> = {}): RegistryOptions => ({
  endpoints: [],
  timeoutMs: 1_000,
  nodeId: 'node-1',
  startId: 'start-1',
  version: '1.0.0',
  maxDevicesPerUser: 5,
  ttlMs: 90_000,
  renewIntervalMs: 30_000,
  admissionTimeoutMs: 1_500,
  registrationTimeoutMs: 5_000,
  cacheTtlMs: 300_000,
  routeCacheEntries: 100,
  clock: systemClock,
  meter: new FakeMeter(),
  logger: new FakeLogger(),
  health: new FakeHealth(),
  random: () => 0.5,
  ...changes
})

// Timers of the registry alone do not keep a process alive.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => { clearInterval(alive) })

t.test('a node with a ready store registers itself and its sessions, and leaves nothing behind [GW-END-1]', async (t) => {
  const kv = new MemoryKv({ clock: systemClock })
  const app = Fastify()
  await app.register(registry, options({ kv }))
  await app.registry.start('127.0.0.1:9093')
  const keys = async (): Promise<string[]> => (await kv.range('/registry/', { prefix: true })).entries.map(({ key }) => key)
  t.strictSame(await keys(), ['/registry/nodes/node-1'])
  const admission = await app.registry.admit('ann', 'phone')
  t.ok(admission.ok)
  const session = { connectionId: 'start-1.1', userId: 'ann', deviceId: 'phone', openedAtUnixMs: 1 }
  t.equal(await app.registry.register(session, admission.ok ? admission.revision : 0), 'registered')
  t.strictSame(await keys(), ['/registry/nodes/node-1', '/registry/users/ann/phone'])
  await app.close()
  t.strictSame(await keys(), [], 'the store is whoever opened it\'s to close')
  await kv.close()
})

t.test('options that cannot work are refused at the start', async (t) => {
  const kv = new MemoryKv({ clock: systemClock })
  t.teardown(() => kv.close())
  for (const [changes, reason] of [
    [{ maxDevicesPerUser: 0 }, /maxDevicesPerUser/],
    [{ renewIntervalMs: 50_000 }, /renewIntervalMs/],
    [{ kv: undefined }, /endpoint/]
  ] as const) {
    const app = Fastify()
    await t.rejects(Promise.resolve(app.register(registry, options({ kv, ...changes }))), { message: reason })
    await app.close()
  }
})
