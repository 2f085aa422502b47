/** Lines 16 and 17 of SECURITY.md: ids that try to be another's key, and what the node asks of etcd. */
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js'
import t from 'tap'
import { EtcdKv } from '../../plugins/lib/etcd-kv.ts'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { KvOperation, RangeOptions, WatchHandlers } from '../../src/ports.ts'
import { startApp, startNode, startWorld, tokenFor } from '../helpers/app.ts'
import { ask, upgrade } from '../helpers/attacker.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { createAuthority } from '../helpers/certificates.ts'
import { FakeHealth } from '../helpers/fakes.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'

t.test('security 16: no id makes the key of another, and a user is never found by the beginning of a name', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER })
  const service = imCaller(t, node)
  // `bob/web` with `x` would be `bob` with `web/x`, were ids not escaped.
  const users = ['bob', 'bobby', 'bob/x', 'bob%2Fx', '..', 'é\u{1F600}', 'b'.repeat(128)]
  for (const user of users) await node.connect(user, { deviceId: 'x' })
  const keys = node.store.range('/registry/users/', { prefix: true }).entries.map(({ key }) => key)
  t.equal(new Set(keys).size, users.length)
  for (const key of keys) t.match(key, /^\/registry\/users\/[\w.~%-]+\/[\w.~%-]+$/)
  const { users: found } = await service.presence(users)
  t.same(found.map(({ userId, devices }) => [userId, devices.map(({ deviceId }) => deviceId)]), users.map((user) => [user, ['x']]))
  t.match(await service.disconnect('bob'), { disconnected: 1 })
  const other = await startNode(node, { GATEWAY_NODE_ID: 'node-2' })
  t.teardown(() => other.close())
  t.same((await other.app.registry.locate('bob', { fresh: true })).devices, [], 'bobby is not bob')

  for (const user of ['', 'b'.repeat(129), 'bob\n', '\u0000', '\u0085', '\ud800']) t.equal((await ask(node.port, upgrade({ token: tokenFor(user) }))).status, 401, JSON.stringify(user))
  for (const device of ['web/x', '*', '', 'x'.repeat(65), 'ü', '%2F']) {
    t.equal((await ask(node.port, upgrade({ token: tokenFor('bob', { deviceId: device }) }))).status, 401, device)
    t.equal((await ask(node.port, upgrade({ token: tokenFor('bob', { deviceId: null }), path: `/ws?device_id=${encodeURIComponent(device)}` }))).status, 400, device)
  }
})

/** Remembers what it is asked for. */
class SpiedKv extends MemoryKv {
  readonly asked = new Set<string>()

  override range (key: string, options?: RangeOptions) {
    this.asked.add(key)
    return super.range(key, options)
  }

  override batch (operations: readonly KvOperation[]) {
    for (const text of JSON.stringify(operations).matchAll(/"(?:key|prefix|put|read|remove)":"([^"]*)"/g)) this.asked.add(text[1] as string)
    return super.batch(operations)
  }

  override watch (prefix: string, fromRevision: number, handlers: WatchHandlers) {
    this.asked.add(prefix)
    return super.watch(prefix, fromRevision, handlers)
  }
}

t.test('security 17: a role that is limited to /registry/ is enough, and no value there can grow the node', async (t) => {
  const world = await startWorld()
  const kv = new SpiedKv({ clock: systemClock, store: world.store })
  const node = await startNode(world, { GRPC_AUTH_TOKEN: BEARER }, { kv })
  t.teardown(async () => {
    await node.close()
    world.services.stop()
  })
  const service = imCaller(t, node)
  await node.connect('ann')
  await service.push({})
  await service.presence(['ann', 'bob'])
  await service.disconnect('ann')
  t.ok(kv.asked.size > 3)
  t.same([...kv.asked].filter((key) => !key.startsWith('/registry/')), [])

  const leaseId = await kv.grantLease(60)
  const forged = JSON.stringify({ node: 'node-9', conn: 'c', at: 1, more: 'x'.repeat(3_000) })
  await kv.batch([{ when: [], then: { put: '/registry/users/eve/phone', value: forged, leaseId } }, { when: [], then: { put: '/registry/revoked/eve/*', value: `{"before":9e15,"more":"${'x'.repeat(3_000)}"}`, leaseId } }])
  await eventually(async () => await node.metric('im_gateway_registry_bad_values_total{kind="revoked"}') === 1, 2_000)
  t.same((await service.presence(['eve'])).users.map(({ devices }) => devices), [[]])
  t.ok((await node.connect('eve')).isOpen)
})

t.test('security 17: an etcd with a certificate of a stranger gets neither a key nor a password', async (t) => {
  const [authority, stranger] = [createAuthority(), createAuthority()]
  t.teardown(() => { authority.remove(); stranger.remove() })
  const pair = stranger.sign('IP:127.0.0.1')
  const calls: string[] = []
  const server = new Server()
  const method = (path: string) => ({ path, requestStream: false, responseStream: false, requestSerialize: Buffer.from, requestDeserialize: Buffer.from, responseSerialize: Buffer.from, responseDeserialize: Buffer.from })
  const service = { authenticate: method('/etcdserverpb.Auth/Authenticate'), range: method('/etcdserverpb.KV/Range') } as unknown as ServiceDefinition
  server.addService(service, Object.fromEntries(['authenticate', 'range'].map((name) => [name, (_call: unknown, done: (error: null, reply: Buffer) => void) => { calls.push(name); done(null, Buffer.alloc(0)) }])))
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(pair.cert), private_key: Buffer.from(pair.key) }]), (error, bound) => { if (error === null) resolve(bound); else reject(error) })
  })
  t.teardown(() => { server.forceShutdown() })
  const env = { ETCD_ENDPOINTS: `https://127.0.0.1:${port}`, ETCD_USERNAME: 'gateway', ETCD_PASSWORD: 'a secret' }
  const rangeWith = async (ca: string): Promise<unknown> => {
    const kv = new EtcdKv({ ...loadConfig({ ...env, ETCD_TLS_CA: ca }, { requireServices: false }).etcd, timeoutMs: 1_000, clock: systemClock, health: new FakeHealth() })
    try {
      return await kv.range('/registry/').catch((error: unknown) => error)
    } finally {
      await kv.close()
    }
  }
  t.ok(await rangeWith(authority.ca) instanceof Error)
  t.same(calls, [])
  await rangeWith(stranger.ca)
  t.ok(calls.includes('authenticate'), 'the one that is asked for is told the password first')
  t.throws(() => loadConfig({ ETCD_ENDPOINTS: 'http://etcd:2379', ETCD_TLS_CA: authority.ca }, { requireServices: false }), ConfigError, 'a CA is never set for nothing')
})
