/** Lines 7-9 of SECURITY.md: who tries to stay, or to be more than one user may be. */
import t from 'tap'
import type { DemoClient } from '../../demo/client.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { Timer } from '../../src/ports.ts'
import { revokedKey } from '../../src/registry/records.ts'
import { startApp, tokenFor, type TestApp } from '../helpers/app.ts'
import { ask, upgrade } from '../helpers/attacker.ts'
import { eventually } from '../helpers/bus-conformance.ts'

const HOUR_MS = 3_600_000

/** The answer to an `auth` frame. */
async function renew (client: DemoClient, token: string): Promise<unknown> {
  const answer = client.waitFor(({ type }) => type === 'auth' || type === 'error', 'the answer to auth')
  client.write({ type: 'auth', token })
  const { type, error_code: code } = await answer
  return type === 'auth' ? 'renewed' : code
}

async function revoke (node: TestApp, key: string): Promise<void> {
  await node.kv.batch([{ when: [], then: { put: key, value: JSON.stringify({ before: Date.now() + 1_000, at: Date.now() }), leaseId: await node.kv.grantLease(60) } }])
}

t.test('security 7: a session ends with its token, and only a token of the same user and device renews it', async (t) => {
  let skippedMs = 0
  const node = await startApp(t, {}, { clock: { ...systemClock, unixMs: () => systemClock.unixMs() + skippedMs } })
  const [ann, eve, bob] = [await node.connect('ann'), await node.connect('eve'), await node.connect('bob')]
  const longS = 2 * HOUR_MS / 1_000
  t.equal(await renew(ann, tokenFor('bob', { ttlS: longS })), 'INVALID_TOKEN', 'of another user')
  t.equal(await renew(ann, tokenFor('ann', { deviceId: 'laptop', ttlS: longS })), 'INVALID_TOKEN', 'of another device')
  t.equal(await renew(ann, `${tokenFor('ann', { ttlS: longS })}x`), 'INVALID_TOKEN', 'with another signature')
  t.equal(await renew(eve, tokenFor('eve', { deviceId: 'laptop', ttlS: longS })), 'INVALID_TOKEN')
  t.equal(await renew(bob, tokenFor('bob', { ttlS: longS })), 'renewed')
  skippedMs = HOUR_MS
  for (const client of [ann, eve]) t.match(await client.closed(2_500), { code: 4401, reason: 'token_expired' })
  t.ok(bob.isOpen)
})

t.test('security 7: tokens end on a shared wheel: a session costs no timer', async (t) => {
  const timers = new Set<Timer>()
  const clock = {
    ...systemClock,
    setTimer: (call: () => void, delayMs: number) => {
      const timer = systemClock.setTimer(() => { timers.delete(timer); call() }, delayMs)
      timers.add(timer)
      return timer
    },
    clearTimer: (timer: Timer) => {
      timers.delete(timer)
      systemClock.clearTimer(timer)
    }
  }
  const node = await startApp(t, {}, { clock })
  await node.connect('first')
  const before = timers.size
  for (let i = 0; i < 20; i++) await node.connect(`user${i}`)
  // Batches and calls have timers of their own while they are under way, however many sessions there are.
  t.ok(timers.size < before + 10, `${before}, then ${timers.size}`)
})

t.test('security 8: a revocation closes the sockets and refuses the tokens, what the Auth Service said before notwithstanding', async (t) => {
  const node = await startApp(t)
  const [phone, laptop] = [await node.connect('ann'), await node.connect('ann', { deviceId: 'laptop' })]
  const [ofPhone, ofLaptop] = [tokenFor('ann'), tokenFor('ann', { deviceId: 'laptop' })]
  t.equal(await renew(phone, ofPhone), 'renewed')
  const { asked } = node.services.auth
  const before = asked.length
  await revoke(node, revokedKey('ann', 'phone'))
  t.match(await phone.closed(5_000), { code: 4403, reason: 'revoked' })
  t.match(await ask(node.port, upgrade({ token: ofPhone })), { status: 401, code: 'TOKEN_REVOKED' })
  t.equal(await renew(laptop, ofLaptop), 'renewed', 'the other device stays')
  await revoke(node, revokedKey('ann'))
  t.match(await laptop.closed(5_000), { code: 4403, reason: 'revoked' })
  t.match(await ask(node.port, upgrade({ token: ofLaptop })), { status: 401, code: 'TOKEN_REVOKED' })
  t.ok(asked.length <= before + 1, 'from the cache')
  t.equal(await node.metric('im_gateway_auth_checks_total{by="revoked",result="TOKEN_REVOKED"}'), 2, 'the check of the token said so')
  t.equal((await node.connect('bob')).isOpen, true)
})

t.test('security 9: a user has as many devices as allowed, at whatever speed they come; one device has one socket', async (t) => {
  const node = await startApp(t, { MAX_DEVICES_PER_USER: '2' })
  // All are let in by the same look at the registry.
  node.kv.freeze()
  const all = Promise.allSettled(Array.from({ length: 12 }, (_, i) => node.connect('ann', { deviceId: `d${i}` })))
  await eventually(async () => await node.metric('im_gateway_pending_handshakes') === 12, 10_000)
  node.kv.heal()
  await all
  await eventually(() => node.app.gateway.hub.connectionCount === 2, 3_000)
  t.match(await ask(node.port, upgrade({ token: tokenFor('ann', { deviceId: 'more' }) })), { status: 429, code: 'DEVICE_LIMIT_EXCEEDED' })
  const older = await node.connect('bob')
  const newer = await node.connect('bob')
  t.match(await older.closed(), { code: 4409, reason: 'replaced' })
  t.ok(newer.isOpen)
})
