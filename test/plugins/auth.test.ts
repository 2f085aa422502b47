import { createServer } from 'node:http'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { status } from '@grpc/grpc-js'
import auth, { type AuthOptions } from '../../plugins/auth.ts'
import { KeySet, KeySetUnavailable } from '../../plugins/lib/key-set.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { AuthService } from '../../src/ports.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../helpers/fakes.ts'
import { FakeServices } from '../helpers/fake-services.ts'
import { ManualClock } from '../helpers/manual-clock.ts'
import { signToken } from '../helpers/tokens.ts'

const SECRET = 'a secret of more than thirty-two bytes'
const PREVIOUS = 'the secret before it, as long as that one'
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed25519 = generateKeyPairSync('ed25519')

type JwtOptions = AuthOptions['jwt']

async function setUp (t: Test, jwt: Partial<JwtOptions>, overrides: Partial<AuthOptions> = {}) {
  const app = Fastify()
  const meter = new FakeMeter()
  const health = new FakeHealth()
  app.register(auth, {
    mode: 'local',
    timeoutMs: 500,
    cacheTtlMs: 60_000,
    cacheEntries: 100,
    maxPendingCalls: 100,
    jwt: { jwksTimeoutMs: 300, clockToleranceMs: 5_000, ...jwt },
    isRevoked: () => false,
    clock: systemClock,
    meter,
    health,
    logger: new FakeLogger(),
    ...overrides
  })
  const alive = setInterval(() => {}, 1_000)
  t.teardown(async () => {
    clearInterval(alive)
    await app.close()
  })
  await app.ready()
  const check = async (token: string) => {
    const result = await app.authenticator.authenticate(token)
    return result.ok ? 'ok' : result.code
  }
  return { app, check, meter, health }
}

function claims (overrides: object = {}): object {
  return { sub: 'alice', exp: Math.floor(Date.now() / 1000) + 600, ...overrides }
}

function pemOf (key: KeyObject): string {
  return key.export({ type: 'spki', format: 'pem' }).toString()
}

t.test('HS256: signature, expiry and algorithm are checked with the secret or the one before it [GW-CON-2]', async (t) => {
  const { check } = await setUp(t, { secret: SECRET, previousSecret: PREVIOUS })
  const good = signToken(claims(), SECRET)
  t.equal(await check(good), 'ok')
  t.equal(await check(signToken(claims(), PREVIOUS)), 'ok')
  t.equal(await check(signToken(claims(), 'another secret, just as long as those')), 'INVALID_TOKEN')
  t.equal(await check(signToken(claims({ exp: 1 }), SECRET)), 'TOKEN_EXPIRED')
  t.equal(await check(signToken(claims({ exp: 1 }), PREVIOUS)), 'TOKEN_EXPIRED')
  t.equal(await check(signToken({ sub: 'alice' }, SECRET)), 'INVALID_TOKEN', 'no exp')
  t.equal(await check(signToken(claims(), SECRET, { alg: 'HS512' })), 'INVALID_TOKEN')
  t.equal(await check(signToken(claims(), undefined, { alg: 'none' })), 'INVALID_TOKEN')
  t.equal(await check(signToken(claims(), SECRET, { alg: 'HS256', crit: ['x'], x: 1 })), 'INVALID_TOKEN')
  const [head = '', body = '', signature = ''] = good.split('.')
  for (const token of [`${head}.${body}.`, `${head}.${body}`, `${body}.${head}.${signature}`, `${good}.`, `${good}x`, 'a.b.c', '...', '😀']) t.equal(await check(token), 'INVALID_TOKEN', token)
})

for (const [algorithm, { publicKey, privateKey }] of [['RS256', rsa], ['ES256', p256], ['EdDSA', ed25519]] as const) {
  t.test(`${algorithm}: the algorithm follows from the key, whatever the token says [GW-CON-2]`, async (t) => {
    const pem = pemOf(publicKey)
    const { check } = await setUp(t, { publicKey: pem })
    t.equal(await check(signToken(claims(), privateKey, { alg: algorithm })), 'ok')
    t.equal(await check(signToken(claims(), pem, { alg: 'HS256' })), 'INVALID_TOKEN', 'the public key as an HMAC secret')
    t.equal(await check(signToken(claims(), privateKey, { alg: algorithm === 'RS256' ? 'ES256' : 'RS256' })), 'INVALID_TOKEN')
    t.equal(await check(signToken(claims(), undefined, { alg: 'none' })), 'INVALID_TOKEN')
  })
}

t.test('a key set serves several keys at once, each with its own algorithm', async (t) => {
  const jwks = await keyServer(t, () => ({
    keys: [
      { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'r' },
      { ...p256.publicKey.export({ format: 'jwk' }), kid: 'e', alg: 'ES256', use: 'sig' },
      { ...ed25519.publicKey.export({ format: 'jwk' }), kid: 'd' },
      { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'enc', use: 'enc' },
      { ...rsa.publicKey.export({ format: 'jwk' }), kid: 'ps', alg: 'PS256' },
      { kty: 'oct', k: 'c2VjcmV0', kid: 'oct' }, { kty: 'RSA', kid: 'broken' }, null, 'text'
    ]
  }))
  const { check } = await setUp(t, { jwksUrl: jwks.url })
  t.equal(await check(signToken(claims(), rsa.privateKey, { alg: 'RS256', kid: 'r' })), 'ok')
  t.equal(await check(signToken(claims(), p256.privateKey, { alg: 'ES256', kid: 'e' })), 'ok')
  t.equal(await check(signToken(claims(), ed25519.privateKey, { alg: 'EdDSA', kid: 'd' })), 'ok')
  t.equal(await check(signToken(claims(), rsa.privateKey, { alg: 'ES256', kid: 'r' })), 'INVALID_TOKEN')
  t.equal(await check(signToken(claims(), rsa.privateKey, { alg: 'RS256' })), 'INVALID_TOKEN', 'no kid, several keys')
  for (const kid of ['enc', 'ps', 'oct', 'broken', 'unknown']) t.equal(await check(signToken(claims(), rsa.privateKey, { alg: 'RS256', kid })), 'INVALID_TOKEN', kid)
  t.equal(jwks.fetches, 1, 'invented key ids fetch nothing')
})

t.test('a key set that cannot be fetched is SERVICE_UNAVAILABLE, in bounded time', async (t) => {
  const silent = await keyServer(t, () => undefined)
  const { check } = await setUp(t, { jwksUrl: silent.url })
  const from = performance.now()
  t.equal(await check(signToken(claims(), rsa.privateKey, { alg: 'RS256', kid: 'r' })), 'SERVICE_UNAVAILABLE')
  t.ok(performance.now() - from < 1_000)
  const broken = await setUp(t, { jwksUrl: (await keyServer(t, () => ({ no: 'keys' }))).url })
  t.equal(await broken.check(signToken(claims(), rsa.privateKey, { alg: 'RS256', kid: 'r' })), 'SERVICE_UNAVAILABLE')
})

t.test('a key set follows a change of keys, fetches at most once in 10 s for an unknown id, and outlives an issuer that is away', async (t) => {
  const clock = new ManualClock()
  const jwk = rsa.publicKey.export({ format: 'jwk' })
  let keys: object[] = [{ ...jwk, kid: 'old' }]
  let fetches = 0
  let isDown = false
  const get = async () => {
    fetches++
    return isDown ? new Response('', { status: 500 }) : Response.json({ keys })
  }
  const set = new KeySet({ url: 'http://127.0.0.1/', timeoutMs: 100, clock, fetch: get })
  await Promise.all([set.keyFor('old', 'RS256'), set.keyFor('old', 'RS256')])
  t.equal(fetches, 1, 'one flight')
  for (const algorithm of ['ES256', 'HS256', 'none', undefined]) await t.rejects(set.keyFor('old', algorithm), { message: 'the token does not name the algorithm of its key' })
  await set.keyFor(undefined, 'RS256')
  keys = [{ ...jwk, kid: 'new' }]
  await t.rejects(set.keyFor('new', 'RS256'), { message: 'the key set has no such key' })
  clock.advance(10_000)
  await set.keyFor('new', 'RS256')
  t.equal(fetches, 2)
  await t.rejects(set.keyFor('old', 'RS256'), { message: 'the key set has no such key' }, 'a key that was taken out')
  isDown = true
  clock.advance(300_000)
  await set.keyFor('new', 'RS256')
  await set.keyFor('new', 'RS256')
  t.equal(fetches, 3, 'not at every token')
  clock.advance(3_600_000)
  await t.rejects(set.keyFor('new', 'RS256'), KeySetUnavailable)
  isDown = false
  clock.advance(1_000)
  await set.keyFor('new', 'RS256')
})

t.test('a key that is not known while the key set cannot be fetched is KeySetUnavailable, and asked for again a second later', async (t) => {
  const clock = new ManualClock()
  const jwk = rsa.publicKey.export({ format: 'jwk' })
  let kids = ['old']
  let fetches = 0
  let isDown = false
  const get = async () => {
    fetches++
    return isDown ? new Response('', { status: 500 }) : Response.json({ keys: kids.map((kid) => ({ ...jwk, kid })) })
  }
  const set = new KeySet({ url: 'http://127.0.0.1/', timeoutMs: 100, clock, fetch: get })
  await set.keyFor('old', 'RS256')
  kids = ['old', 'new']
  isDown = true
  clock.advance(10_000)
  await t.rejects(set.keyFor('new', 'RS256'), KeySetUnavailable)
  await set.keyFor('old', 'RS256')
  clock.advance(999)
  await t.rejects(set.keyFor('new', 'RS256'), KeySetUnavailable)
  t.equal(fetches, 2, 'not at every token')
  isDown = false
  clock.advance(1)
  await set.keyFor('new', 'RS256')
  clock.advance(1_000)
  await t.rejects(set.keyFor('invented', 'RS256'), { message: 'the key set has no such key' }, 'it could be fetched')
  t.equal(fetches, 3, 'and the long pause counts again')
})

t.test('the Auth Service is asked over gRPC; its codes become ours, its words stay inside [GW-CON-2]', async (t) => {
  const services = await new FakeServices().start()
  t.teardown(() => { services.stop() })
  const { check, app } = await setUp(t, {}, { mode: 'service', service: services.address })
  t.match(await app.authenticator.authenticate(signToken(claims({ device_id: 'phone' }), SECRET)), { ok: true, identity: { userId: 'alice', deviceId: 'phone' } })
  const expected = { 0: 'INVALID_TOKEN', 1: 'TOKEN_EXPIRED', 2: 'INVALID_TOKEN', 3: 'INVALID_TOKEN', 4: 'INVALID_TOKEN', 5: 'INVALID_TOKEN', 6: 'SERVICE_UNAVAILABLE', 7: 'INVALID_TOKEN', 99: 'INVALID_TOKEN' }
  for (const [errorCode, code] of Object.entries(expected)) {
    services.auth.behave = () => ({ valid: false, errorCode: Number(errorCode) as 0 })
    t.equal(await check(`token-${errorCode}`), code, `Auth error ${errorCode}`)
  }
  services.auth.behave = () => ({ valid: true, userId: 'alice', errorCode: 6 })
  t.equal(await check('contradiction'), 'SERVICE_UNAVAILABLE')
  services.auth.behave = () => ({ valid: true, userId: 'alice' })
  t.equal(await check('no end'), 'INVALID_TOKEN')
})

t.test('with the Auth Service away tokens are answered SERVICE_UNAVAILABLE, at once when the breaker is open, and again when it is back [GW-CON-3]', async (t) => {
  const services = await new FakeServices().start()
  t.teardown(() => { services.stop() })
  const { check, meter, health } = await setUp(t, {}, { mode: 'service', service: services.address })
  const known = signToken(claims(), SECRET)
  t.equal(await check(known), 'ok')
  services.auth.behave = () => ({ silent: true })
  const from = performance.now()
  t.equal(await check('slow'), 'SERVICE_UNAVAILABLE')
  t.ok(performance.now() - from < 1_000, 'within the deadline')
  services.stop()
  for (let at = 0; meter.gauge('breaker_state auth') === 0 && at < 50; at++) t.equal(await check(`down-${at}`), 'SERVICE_UNAVAILABLE')
  t.ok(health.downs.has('auth'))
  const openedAt = performance.now()
  t.equal(await check('open'), 'SERVICE_UNAVAILABLE')
  t.ok(performance.now() - openedAt < 20)
  t.equal(await check(known), 'ok', 'what was kept serves on')
  services.auth.behave = () => ({})
  await services.start()
  const end = Date.now() + 10_000
  let at = 0
  while (await check(signToken(claims({ jti: at++ }), SECRET)) !== 'ok' && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 50))
  t.notOk(health.downs.has('auth'))
})

t.test('a transport error is an answer to nobody: the same token is asked for again [GW-CON-2]', async (t) => {
  const services = await new FakeServices().start()
  t.teardown(() => { services.stop() })
  const { check } = await setUp(t, { secret: SECRET }, { mode: 'service', service: services.address })
  const token = signToken(claims(), SECRET)
  for (const code of [status.UNAVAILABLE, status.INTERNAL, status.UNAUTHENTICATED, status.RESOURCE_EXHAUSTED]) {
    services.auth.behave = () => ({ status: code })
    t.equal(await check(token), 'SERVICE_UNAVAILABLE')
  }
  services.auth.behave = () => ({})
  t.equal(await check(token), 'ok')
})

t.test('bad options are refused at start', async (t) => {
  const service: AuthService = { validateToken: async () => ({ valid: false, code: 'INVALID_TOKEN' }) }
  const { check } = await setUp(t, {}, { mode: 'service', service })
  t.equal(await check('t'), 'INVALID_TOKEN', 'a ready service is taken as it is')
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
  const other = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey
  for (const [jwt, overrides] of [
    [{ secret: 'short' }, {}],
    [{ secret: SECRET, publicKey: pemOf(rsa.publicKey) }, {}],
    [{ publicKey: 'no key' }, {}],
    [{ publicKey: pemOf(weak) }, {}],
    [{ publicKey: pemOf(other) }, {}],
    [{}, { mode: 'local' }],
    [{}, { mode: 'service' }]
  ] as Array<[Partial<JwtOptions>, Partial<AuthOptions>]>) {
    await t.rejects(setUp(t, jwt, overrides))
  }
})

/** Serves a key set; undefined: never answers. */
async function keyServer (t: Test, content: () => object | undefined): Promise<{ readonly url: string, readonly fetches: number }> {
  let fetches = 0
  const server = createServer((_, response) => {
    fetches++
    const body = content()
    if (body !== undefined) response.end(JSON.stringify(body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`, get fetches () { return fetches } }
}
