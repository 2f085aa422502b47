import t from 'tap'
import { checkClaims, peekClaims } from '../../../src/auth/claims.ts'

const NOW = 1_700_000_000_000
const RULES = { clockToleranceMs: 5_000 }
const GOOD = { sub: 'alice', exp: NOW / 1000 + 60 }

function codeOf (claims: unknown, rules = {}): string {
  const result = checkClaims(claims, { ...RULES, ...rules }, NOW)
  return result.ok ? 'ok' : result.code
}

t.test('user, device and times are read from the claims; user_id goes before sub', async (t) => {
  t.same(checkClaims({ ...GOOD, user_id: 'bob', device_id: 'phone', iat: NOW / 1000, extra: 1 }, RULES, NOW), {
    ok: true, claims: { userId: 'bob', deviceId: 'phone', expiresAtMs: NOW + 60_000, issuedAtMs: NOW }
  })
})

t.test('a claim of a wrong type or form is INVALID_TOKEN, one that is missing too [GW-CON-2]', async (t) => {
  for (const [name, values] of Object.entries({
    sub: [undefined, null, 1, '', 'a'.repeat(129), 'a\nb', ['alice'], { a: 1 }, '\ud800'],
    device_id: [1, '', 'a b', 'a/b', null, 'x'.repeat(65)],
    exp: [undefined, null, '1800000000', NaN, Infinity, -1, 1e300],
    iat: [null, '1', -1, Infinity],
    nbf: [null, 'soon', NaN]
  })) {
    for (const value of values) t.equal(codeOf({ ...GOOD, [name]: value }), 'INVALID_TOKEN', `${name}: ${String(JSON.stringify(value))}`)
  }
  for (const payload of [undefined, null, 'text', 1, [GOOD]]) t.equal(codeOf(payload), 'INVALID_TOKEN')
})

t.test('expiry is exact, the start forgives the clock tolerance', async (t) => {
  t.equal(codeOf({ ...GOOD, exp: NOW / 1000 }), 'TOKEN_EXPIRED')
  t.equal(codeOf({ ...GOOD, exp: NOW / 1000 + 0.001 }), 'ok')
  t.equal(codeOf({ ...GOOD, nbf: NOW / 1000 + 5 }), 'ok')
  t.equal(codeOf({ ...GOOD, nbf: NOW / 1000 + 6 }), 'INVALID_TOKEN')
})

t.test('issuer and audience are required once they are configured', async (t) => {
  t.equal(codeOf({ ...GOOD, iss: 'x', aud: 'y' }), 'ok', 'not configured: not compared')
  t.equal(codeOf(GOOD, { issuer: 'us' }), 'INVALID_TOKEN')
  t.equal(codeOf({ ...GOOD, iss: 'them' }, { issuer: 'us' }), 'INVALID_TOKEN')
  t.equal(codeOf({ ...GOOD, iss: ['us'] }, { issuer: 'us' }), 'INVALID_TOKEN')
  t.equal(codeOf({ ...GOOD, iss: 'us' }, { issuer: 'us' }), 'ok')
  t.equal(codeOf(GOOD, { audience: 'im' }), 'INVALID_TOKEN')
  t.equal(codeOf({ ...GOOD, aud: 'other' }, { audience: 'im' }), 'INVALID_TOKEN')
  t.equal(codeOf({ ...GOOD, aud: 'im' }, { audience: 'im' }), 'ok')
  t.equal(codeOf({ ...GOOD, aud: ['other', 'im'] }, { audience: 'im' }), 'ok')
})

t.test('peeking never throws and leaves out what is no good', async (t) => {
  const peek = (payload: unknown) => peekClaims(`h.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.s`)
  t.same(peek({ ...GOOD, device_id: 'phone', iat: 1 }), { userId: 'alice', deviceId: 'phone', expiresAtMs: NOW + 60_000, issuedAtMs: 1_000 })
  t.same(peek({ sub: 1, device_id: '/', exp: 'x', iat: -1 }), {})
  for (const token of ['', 'opaque', 'a.b.c', 'a.!!!.c', `a.${Buffer.from('[1]').toString('base64url')}.c`]) t.same(peekClaims(token), {})
})
