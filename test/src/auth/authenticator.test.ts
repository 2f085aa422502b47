import t from 'tap'
import { TokenAuthenticator, type AuthenticatorOptions, type VerifyLocal } from '../../../src/auth/authenticator.ts'
import { GatewayError } from '../../../src/errors.ts'
import type { AuthService } from '../../../src/ports.ts'
import { FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

type Answer = Awaited<ReturnType<AuthService['validateToken']>>
const HOUR_MS = 3_600_000

function setUp (overrides: Partial<AuthenticatorOptions> = {}) {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const logger = new FakeLogger()
  const asked: string[] = []
  const world: { answer: (token: string) => Promise<Answer>, revoked: (userId: string, deviceId: string | undefined, issuedAtMs: number | undefined) => boolean } = {
    answer: async () => ({ valid: true, userId: 'alice', deviceId: undefined, expiresAtMs: clock.unixMs() + HOUR_MS }),
    revoked: () => false
  }
  const options: AuthenticatorOptions = {
    verifyLocal: undefined,
    service: { validateToken: (token) => { asked.push(token); return world.answer(token) } },
    rules: { clockToleranceMs: 5_000 },
    isRevoked: (...facts) => world.revoked(...facts),
    cacheTtlMs: 60_000,
    cacheEntries: 100,
    maxPendingCalls: 10,
    clock,
    meter,
    logger,
    ...overrides
  }
  return { clock, meter, logger, asked, world, authenticator: new TokenAuthenticator(options) }
}

/** A token that says these claims; who signed it is the local check's matter. */
function tokenOf (claims: object, tail = 'x'): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${tail}`
}

const trusting: VerifyLocal = async (token) => ({ ok: true, payload: JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as unknown })
const seconds = (ms: number) => Math.floor(ms / 1000)

t.test('the local check comes first and spares the Auth Service what it refuses [GW-CON-2]', async (t) => {
  for (const code of ['INVALID_TOKEN', 'TOKEN_EXPIRED', 'SERVICE_UNAVAILABLE'] as const) {
    const { authenticator, asked, meter } = setUp({ verifyLocal: async () => ({ ok: false, code }) })
    t.same(await authenticator.authenticate('t'), { ok: false, code })
    t.same(asked, [])
    t.equal(meter.counted(`auth_checks_total local ${code}`), 1)
  }
  const { authenticator, asked, clock } = setUp({ verifyLocal: trusting })
  t.match(await authenticator.authenticate(tokenOf({ sub: 'alice', exp: seconds(clock.unixMs()) })), { code: 'TOKEN_EXPIRED' })
  t.match(await authenticator.authenticate(tokenOf({ sub: 'alice' })), { code: 'INVALID_TOKEN' })
  t.same(asked, [])
})

t.test('the Auth Service has the last word, and its answer wins over the claims [GW-CON-2]', async (t) => {
  const { authenticator, world, clock } = setUp({ verifyLocal: trusting })
  const exp = seconds(clock.unixMs()) + 600
  const iat = seconds(clock.unixMs()) - 5
  world.answer = async () => ({ valid: false, code: 'TOKEN_REVOKED' })
  t.match(await authenticator.authenticate(tokenOf({ sub: 'alice', exp })), { ok: false, code: 'TOKEN_REVOKED' })
  world.answer = async () => ({ valid: true, userId: 'alice', deviceId: 'tablet', expiresAtMs: undefined })
  t.same(await authenticator.authenticate(tokenOf({ sub: 'alice', device_id: 'phone', exp, iat })), {
    ok: true, identity: { userId: 'alice', deviceId: 'tablet', expiresAtMs: exp * 1000, issuedAtMs: iat * 1000 }
  })
})

t.test('a session ends at the earlier of exp and expires_at', async (t) => {
  const { authenticator, world, clock } = setUp({ verifyLocal: trusting })
  const now = seconds(clock.unixMs())
  for (const [at, [exp, expiresAt, expected]] of [[600, 300, 300], [300, 600, 300]].entries()) {
    world.answer = async () => ({ valid: true, userId: 'alice', deviceId: undefined, expiresAtMs: (now + Number(expiresAt)) * 1000 })
    const result = await authenticator.authenticate(tokenOf({ sub: 'alice', exp: now + Number(exp) }, `t${at}`))
    t.equal(result.ok && result.identity.expiresAtMs, (now + Number(expected)) * 1000)
  }
})

t.test('a token in which claims and Auth Service name different users is refused, signed or not [GW-CON-2]', async (t) => {
  for (const verifyLocal of [trusting, undefined]) {
    const { authenticator, clock } = setUp({ verifyLocal })
    const exp = seconds(clock.unixMs()) + 600
    t.match(await authenticator.authenticate(tokenOf({ sub: 'mallory', exp })), { code: 'INVALID_TOKEN' })
    t.match(await authenticator.authenticate(tokenOf({ sub: 'alice', exp })), { ok: true })
  }
})

t.test('without a key the Auth Service alone decides; what the token says fills the gaps of a valid answer', async (t) => {
  const { authenticator, world, clock } = setUp()
  const now = seconds(clock.unixMs())
  world.answer = async () => ({ valid: true, userId: 'alice', deviceId: undefined, expiresAtMs: undefined })
  t.same(await authenticator.authenticate(tokenOf({ device_id: 'phone', exp: now + 600, iat: now })), {
    ok: true, identity: { userId: 'alice', deviceId: 'phone', expiresAtMs: (now + 600) * 1000, issuedAtMs: now * 1000 }
  })
  t.match(await authenticator.authenticate('opaque'), { code: 'INVALID_TOKEN' }, 'a session without an end is none')
  world.answer = async () => ({ valid: true, userId: '', deviceId: undefined, expiresAtMs: clock.unixMs() + 1_000 })
  t.match(await authenticator.authenticate(tokenOf({ sub: 'alice' })), { code: 'INVALID_TOKEN' }, 'an unsigned name is no name')
  world.answer = async () => ({ valid: true, userId: 'alice', deviceId: 'a/b', expiresAtMs: clock.unixMs() + 1_000 })
  t.match(await authenticator.authenticate('bad-device'), { code: 'INVALID_TOKEN' })
  world.answer = async () => ({ valid: true, userId: 'alice', deviceId: undefined, expiresAtMs: clock.unixMs() })
  t.match(await authenticator.authenticate('late'), { code: 'TOKEN_EXPIRED' })
})

t.test('a valid answer is kept for 60 s at most and never past the expiry of the token [GW-CON-2]', async (t) => {
  const { authenticator, asked, clock, world, meter } = setUp({ cacheTtlMs: 3_600_000 })
  await authenticator.authenticate('long')
  clock.advance(59_999)
  t.match(await authenticator.authenticate('long'), { ok: true })
  t.equal(asked.length, 1)
  t.equal(meter.counted('auth_checks_total cache ok'), 1)
  clock.advance(1)
  await authenticator.authenticate('long')
  t.equal(asked.length, 2)

  world.answer = async () => ({ valid: true, userId: 'alice', deviceId: undefined, expiresAtMs: clock.unixMs() + 10_000 })
  await authenticator.authenticate('short')
  world.answer = async () => ({ valid: false, code: 'TOKEN_EXPIRED' })
  clock.advance(9_999)
  t.match(await authenticator.authenticate('short'), { ok: true })
  clock.advance(1)
  t.match(await authenticator.authenticate('short'), { code: 'TOKEN_EXPIRED' })
})

t.test('a wall clock that is set back keeps no answer alive for longer [GW-CON-2]', async (t) => {
  const { authenticator, asked, clock, world } = setUp()
  await authenticator.authenticate('good')
  world.answer = async () => ({ valid: false, code: 'INVALID_TOKEN' })
  await authenticator.authenticate('bad')
  clock.jumpUnix(-HOUR_MS)
  clock.advance(59_999)
  t.match(await authenticator.authenticate('good'), { ok: true })
  t.match(await authenticator.authenticate('bad'), { code: 'INVALID_TOKEN' })
  t.equal(asked.length, 2)
  clock.advance(1)
  t.match(await authenticator.authenticate('good'), { code: 'INVALID_TOKEN' })
  await authenticator.authenticate('bad')
  t.equal(asked.length, 4)
})

t.test('a definite refusal is kept, no answer never is [GW-CON-2]', async (t) => {
  const { authenticator, asked, world } = setUp()
  world.answer = async () => ({ valid: false, code: 'INVALID_TOKEN' })
  for (let at = 0; at < 3; at++) t.match(await authenticator.authenticate('bad'), { code: 'INVALID_TOKEN' })
  t.equal(asked.length, 1)
  for (const error of [new GatewayError('SERVICE_UNAVAILABLE'), new GatewayError('DEADLINE_EXCEEDED'), new TypeError('a bug')]) {
    world.answer = async () => { throw error }
    t.match(await authenticator.authenticate('unlucky'), { code: 'SERVICE_UNAVAILABLE' })
  }
  t.equal(asked.length, 4)
  world.answer = async () => ({ valid: true, userId: 'alice', deviceId: undefined, expiresAtMs: Number.MAX_SAFE_INTEGER })
  t.match(await authenticator.authenticate('unlucky'), { ok: true })
})

t.test('a fault of our own is logged, without the token', async (t) => {
  const { authenticator, world, logger } = setUp()
  world.answer = async () => { throw new TypeError('a bug') }
  await authenticator.authenticate('s3cret')
  t.equal(logger.lines.length, 1)
  t.notMatch(JSON.stringify(logger.lines), 's3cret')
})

t.test('with the cache off every check asks', async (t) => {
  const { authenticator, asked } = setUp({ cacheTtlMs: 0 })
  await authenticator.authenticate('t')
  await authenticator.authenticate('t')
  t.equal(asked.length, 2)
})

t.test('a flood of bad tokens does not drive the good ones out of the cache', async (t) => {
  const { authenticator, asked, world } = setUp({ cacheEntries: 5 })
  await authenticator.authenticate('good')
  world.answer = async () => ({ valid: false, code: 'INVALID_TOKEN' })
  for (let at = 0; at < 50; at++) await authenticator.authenticate(`bad-${at}`)
  t.match(await authenticator.authenticate('good'), { ok: true })
  t.equal(asked.filter((token) => token === 'good').length, 1)
})

t.test('a revocation is asked for first: before the Auth Service, and before a kept answer counts [GW-CON-2]', async (t) => {
  const { authenticator, asked, world, clock, meter } = setUp({ verifyLocal: trusting })
  const exp = seconds(clock.unixMs()) + 600
  const iat = seconds(clock.unixMs())
  const token = tokenOf({ sub: 'alice', device_id: 'phone', exp, iat })
  t.match(await authenticator.authenticate(token), { ok: true })
  const seen: unknown[] = []
  world.revoked = (...facts) => { seen.push(facts); return true }
  t.match(await authenticator.authenticate(token), { code: 'TOKEN_REVOKED' })
  t.same(seen, [['alice', 'phone', iat * 1000]])
  t.match(await authenticator.authenticate(tokenOf({ sub: 'alice', exp }, 'other')), { code: 'TOKEN_REVOKED' })
  t.equal(asked.length, 1)
  t.equal(meter.counted('auth_checks_total revoked TOKEN_REVOKED'), 2)
  world.revoked = () => false
  t.match(await authenticator.authenticate(token), { ok: true }, 'a revocation that was taken back leaves no trace')
})

t.test('the device that only the Auth Service names can be revoked as well', async (t) => {
  const { authenticator, world, clock } = setUp()
  world.answer = async () => ({ valid: true, userId: 'alice', deviceId: 'phone', expiresAtMs: clock.unixMs() + 1_000 })
  world.revoked = (_, deviceId) => deviceId === 'phone'
  t.match(await authenticator.authenticate('t'), { code: 'TOKEN_REVOKED' })
})

t.test('the same token is asked for once at a time, and past the bound of pending checks: SERVICE_UNAVAILABLE [GW-CON-3]', async (t) => {
  const { authenticator, asked, world, meter } = setUp({ maxPendingCalls: 2 })
  let answer: (value: Answer) => void = () => {}
  const pending = new Promise<Answer>((resolve) => { answer = resolve })
  world.answer = () => pending
  const all = Promise.all(['a', 'a', 'b', 'c', 'a'].map((token) => authenticator.authenticate(token)))
  await new Promise((resolve) => setImmediate(resolve))
  t.same(asked, ['a', 'b'])
  answer({ valid: true, userId: 'alice', deviceId: undefined, expiresAtMs: Number.MAX_SAFE_INTEGER })
  t.same((await all).map((result) => result.ok ? 'ok' : result.code), ['ok', 'ok', 'ok', 'SERVICE_UNAVAILABLE', 'ok'])
  t.equal(meter.counted('auth_checks_total limit SERVICE_UNAVAILABLE'), 1)
  t.match(await authenticator.authenticate('c'), { ok: true }, 'nothing stays taken')
})

t.test('AUTH_MODE=local trusts the local check alone [GW-CON-3]', async (t) => {
  const { authenticator, asked, clock, world } = setUp({ verifyLocal: trusting, service: undefined })
  const exp = seconds(clock.unixMs()) + 600
  const token = tokenOf({ user_id: 'alice', device_id: 'phone', exp })
  t.same(await authenticator.authenticate(token), { ok: true, identity: { userId: 'alice', deviceId: 'phone', expiresAtMs: exp * 1000, issuedAtMs: undefined } })
  t.same(asked, [])
  world.revoked = () => true
  t.match(await authenticator.authenticate(token), { code: 'TOKEN_REVOKED' })
})

t.test('an empty or overlong token is refused before anything looks into it', async (t) => {
  let looked = 0
  const { authenticator, asked } = setUp({ verifyLocal: async () => { looked++; return { ok: false, code: 'INVALID_TOKEN' } } })
  t.match(await authenticator.authenticate(''), { code: 'INVALID_TOKEN' })
  t.match(await authenticator.authenticate('x'.repeat(4_097)), { code: 'INVALID_TOKEN' })
  t.equal(looked + asked.length, 0)
  await authenticator.authenticate('x'.repeat(4_096))
  t.equal(looked, 1)
})

t.test('with neither key nor service nobody could check: refused at start', async (t) => {
  t.throws(() => setUp({ service: undefined }), RangeError)
})
