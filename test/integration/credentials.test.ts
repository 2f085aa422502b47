/** TLS with client certificates, users and passwords on the real services, all the way from the variables that name them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Etcd3, Range } from 'etcd3'
import Fastify from 'fastify'
import t from 'tap'
import cache from '../../plugins/cache.ts'
import { EtcdKv } from '../../plugins/lib/etcd-kv.ts'
import { loadConfig, type Config } from '../../src/config.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { startApp } from '../helpers/app.ts'
import { eventually, Sink } from '../helpers/bus-conformance.ts'
import { createAuthority } from '../helpers/certificates.ts'
import { FakeHealth } from '../helpers/fakes.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'
import { KafkaWorld } from '../helpers/kafka-world.ts'
import { freePort } from '../helpers/free-port.ts'
import { startRedis } from '../helpers/redis-servers.ts'
import { startService } from '../helpers/services.ts'

const PATIENCE_MS = 45_000
const [authority, stranger] = [createAuthority(), createAuthority()]
t.teardown(() => { authority.remove(); stranger.remove() })
const [server, client] = [authority.sign('IP:127.0.0.1'), authority.sign('DNS:gateway.test')]
const folder = t.testdir({ 'ca.pem': authority.ca, 'server.pem': server.cert, 'server.key': server.key })
const files = (name: string): string => join(folder, name)
t.setTimeout(180_000)

const configOf = (env: Record<string, string>): Config => loadConfig(env, { requireServices: false })
const tlsOf = (service: 'ETCD' | 'REDIS' | 'KAFKA'): Record<string, string> => ({
  [`${service}_TLS_CA`]: authority.ca, [`${service}_TLS_CERT`]: client.cert, [`${service}_TLS_KEY`]: client.key
})

t.test('Kafka', async (t) => {
  let securePort = 0
  const services = await startService(['kafka'], {
    kafkaProperties: (port) => {
      securePort = port + 2
      return {
        listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${port + 1},SECURE://127.0.0.1:${securePort}`,
        'advertised.listeners': `PLAINTEXT://127.0.0.1:${port},SECURE://127.0.0.1:${securePort}`,
        'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL',
        'sasl.enabled.mechanisms': 'PLAIN',
        'listener.name.secure.plain.sasl.jaas.config': 'org.apache.kafka.common.security.plain.PlainLoginModule required user_gateway="a secret";',
        'ssl.client.auth': 'required',
        'ssl.keystore.type': 'PEM',
        'ssl.keystore.certificate.chain': server.cert,
        'ssl.keystore.key': server.key,
        'ssl.truststore.type': 'PEM',
        'ssl.truststore.certificates': authority.ca
      }
    }
  })
  t.teardown(() => services.stop())
  const world = await new KafkaWorld([services.address('KAFKA_BROKERS')]).open()
  t.teardown(() => world.close())
  const nodeWith = (changes: Record<string, string> = {}) => {
    const { brokers, tls, sasl } = configOf({
      KAFKA_BROKERS: `127.0.0.1:${securePort}`, KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'gateway', KAFKA_SASL_PASSWORD: 'a secret', ...tlsOf('KAFKA'), ...changes
    }).kafka
    return world.node({ brokers, tls, sasl })
  }

  await t.test('what is right is let in', async (t) => {
    const { bus } = nodeWith()
    const sink = new Sink()
    bus.start(sink.handle)
    await bus.ready
    await world.produce('group_msg', 'g1', 'hello')
    await sink.until(({ records }) => records.length === 1, PATIENCE_MS)
    t.strictSame(sink.values, ['hello'])
  })

  const wrong: Array<[string, Record<string, string>, RegExp]> = [
    ['a wrong password', { KAFKA_SASL_PASSWORD: 'another' }, /authenticat/i],
    ['a broker that another authority signed', { KAFKA_TLS_CA: stranger.ca }, /certificate/i]
  ]
  for (const [what, changes, reason] of wrong) {
    await t.test(`${what} is named as the reason and tried again`, async (t) => {
      const { bus, health, meter } = nodeWith(changes)
      bus.start(new Sink().handle)
      await eventually(() => meter.counted('kafka_restarts_total') >= 2, PATIENCE_MS)
      t.match(health.downs.get('kafka') ?? '', reason)
    })
  }
})

t.test('Redis', async (t) => {
  const port = await freePort()
  await startRedis(t, [
    'save ""', 'user gateway on >another ~* +@all',
    `tls-port ${port}`, `tls-ca-cert-file ${files('ca.pem')}`, `tls-cert-file ${files('server.pem')}`, `tls-key-file ${files('server.key')}`, 'tls-auth-clients yes'
  ])
  const nodeWith = async (changes: Record<string, string> = {}) => {
    const { redis } = configOf({ REDIS_ADDR: `127.0.0.1:${port}`, REDIS_USERNAME: 'gateway', REDIS_PASSWORD: 'another', ...tlsOf('REDIS'), ...changes })
    const [app, health] = [Fastify(), new FakeHealth()]
    t.teardown(() => app.close())
    await app.register(cache, { ...redis, nodeId: 'node-1', ttlMs: 60_000, clock: systemClock, health, random: () => 0.5 })
    return { app, health }
  }
  const { app, health } = await nodeWith()
  await eventually(() => !health.downs.has('redis'), PATIENCE_MS)
  t.equal(await app.redisClient?.set('a', '1'), 'OK')

  const wrong: Array<[Record<string, string>, RegExp]> = [
    [{ REDIS_PASSWORD: 'wrong' }, /WRONGPASS/],
    [{ REDIS_TLS_CA: stranger.ca }, /certificate/i]
  ]
  for (const [changes, reason] of wrong) {
    const refused = await nodeWith(changes)
    await eventually(() => reason.test(refused.health.downs.get('redis') ?? ''), PATIENCE_MS)
    await t.rejects(Promise.resolve(refused.app.redisClient?.get('a')))
  }
})

t.test('etcd', async (t) => {
  const [clientPort, peerPort] = [await freePort(), await freePort()]
  const etcd = spawn('etcd', [
    '--data-dir', t.testdir(), '--listen-client-urls', `https://127.0.0.1:${clientPort}`, '--advertise-client-urls', `https://127.0.0.1:${clientPort}`,
    '--listen-peer-urls', `http://127.0.0.1:${peerPort}`, '--initial-advertise-peer-urls', `http://127.0.0.1:${peerPort}`, '--initial-cluster', `default=http://127.0.0.1:${peerPort}`,
    '--trusted-ca-file', files('ca.pem'), '--cert-file', files('server.pem'), '--key-file', files('server.key'), '--client-cert-auth'
  ], { stdio: 'ignore' })
  t.teardown(async () => {
    etcd.kill('SIGKILL')
    await once(etcd, 'exit')
  })
  const storeWith = (changes: Record<string, string> = {}) => {
    const { etcd } = configOf({ ETCD_ENDPOINTS: `https://127.0.0.1:${clientPort}`, ...tlsOf('ETCD'), ...changes })
    const health = new FakeHealth()
    const kv = new EtcdKv({ ...etcd, clock: systemClock, health })
    t.teardown(() => kv.close())
    return { kv, health }
  }
  const { kv } = storeWith()
  await eventually(() => kv.range('/registry/').then(() => true, () => false), PATIENCE_MS)
  t.ok(await kv.grantLease(60))

  const refused = storeWith({ ETCD_TLS_CA: stranger.ca })
  await t.rejects(refused.kv.range('/registry/'))
  t.ok(refused.health.downs.has('etcd'))

  await t.test('a user whose role is limited to /registry/ is enough for a node, and is refused elsewhere', async (t) => {
    const admin = new Etcd3({ hosts: `https://127.0.0.1:${clientPort}`, credentials: { rootCertificate: Buffer.from(authority.ca), certChain: Buffer.from(client.cert), privateKey: Buffer.from(client.key) } })
    t.teardown(() => { admin.close() })
    const role = await admin.role('gateway').create()
    await role.grant({ permission: 'Readwrite', range: Range.prefix('/registry/') })
    await (await admin.user('gateway').create('a secret')).addRole('gateway')
    await (await admin.user('root').create('the root of all')).addRole(await admin.role('root').create())
    await admin.auth.authEnable()

    const { kv } = storeWith({ ETCD_USERNAME: 'gateway', ETCD_PASSWORD: 'a secret' })
    const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER }, { kv })
    const device = await node.connect('ann')
    const service = imCaller(t, node)
    t.match(await service.push({}), { success: true, routesIncomplete: false })
    t.match(await service.presence(['ann']), { users: [{ devices: [{ deviceId: 'phone' }] }], incomplete: false })
    t.equal(await node.metric('im_gateway_registry_watch_live'), 1)
    await device.close()
    await eventually(async () => (await kv.range('/registry/users/', { prefix: true })).entries.length === 0, PATIENCE_MS)
    await t.rejects(kv.range('/other/'))
    await t.rejects(kv.range('/registry', { prefix: true }), 'a prefix that is wider')
    const wrong = storeWith({ ETCD_USERNAME: 'gateway', ETCD_PASSWORD: 'another' })
    await t.rejects(wrong.kv.range('/registry/'))
  })
})
