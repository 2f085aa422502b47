/** Steps of tokens and sessions: renewal, revocation, takeover, the end of a node. */
import { RefusedError } from '../client.ts'
import { conversationOf } from '../stores/message-store.ts'
import { check, onAll, refusal, same, type Stage } from './stage.ts'

const SHORT_LIFE_MS = 2_000

/** Of two tokens of a short life one is renewed on the live socket. */
export async function tokenRenewal (stage: Stage): Promise<void> {
  const { auth } = stage.world
  const [first, second] = [auth.mint(stage.user('ivan'), 'phone', SHORT_LIFE_MS), auth.mint(stage.user('ivan'), 'laptop', SHORT_LIFE_MS)]
  const [renewed, expiring] = await Promise.all([
    stage.connect('ivan', 'phone', { token: first.accessToken }), stage.connect('ivan', 'laptop', { token: second.accessToken })
  ])
  same(renewed.welcome['token_expires_at'], first.expiresAtMs, 'the expiry in welcome')
  const fresh = auth.refresh(first.refreshToken)
  renewed.write({ type: 'auth', token: fresh?.accessToken })
  same((await renewed.next('auth'))['token_expires_at'], fresh?.expiresAtMs, 'the new expiry')
  same(await expiring.closed(SHORT_LIFE_MS + 5_000), { code: 4401, reason: 'token_expired' }, 'the close of the other')
  const { msgId } = await renewed.send(stage.user('carol'), 'Still here')
  await onAll([stage.seated('carol', 'phone')], msgId)
  await renewed.close()
}

export async function revocation (stage: Stage): Promise<void> {
  const { auth } = stage.world
  const token = auth.mint(stage.user('judy'), 'phone').accessToken
  const judy = await stage.connect('judy', 'phone', { token })
  const other = auth.mint(stage.user('judy'), 'laptop').accessToken
  await auth.revoke(stage.user('judy'))
  same(await judy.closed(), { code: 4403, reason: 'revoked' }, 'the close')
  for (const [device, old] of [['phone', token], ['laptop', other]] as const) {
    const error = await refusal(stage.connect('judy', device, { token: old }), 'a revoked token')
    check(error instanceof RefusedError && error.status === 401 && ['TOKEN_REVOKED', 'INVALID_TOKEN'].includes(error.code), `it was answered: ${error.message}`)
  }
  await (await stage.connect('judy', 'phone')).close()
}

export async function takeover (stage: Stage): Promise<void> {
  const older = await stage.connect('mallory', 'phone')
  const newer = await stage.connect('mallory', 'phone')
  same(await older.closed(), { code: 4409, reason: 'replaced' }, 'the close')
  await onAll([newer], (await stage.seated('carol', 'phone').send(stage.user('mallory'), 'Which one are you?')).msgId)
  await newer.close()
}

/** The node is stopped; its people come back to another one and miss nothing. */
export async function shutdown (stage: Stage): Promise<void> {
  const next = await stage.world.startGateway(`${stage.gateway.nodeId}-next`)
  const carol = await stage.seat('carol', 'phone', { url: next.url })
  const bob = stage.seated('bob', 'phone')
  const stopped = stage.world.stop(stage.gateway)
  const [{ reconnect_after_ms: reconnectAfterMs }, { code, reason }] = await Promise.all([bob.next('shutdown', 10_000), bob.closed(10_000)])
  same([code, reason], [1012, 'shutdown'], 'the close')
  check(Number(reconnectAfterMs) >= 0 && Number(reconnectAfterMs) <= 1_000, 'when to come back')
  await stopped
  await refusal(stage.connect('bob', 'phone'), 'a connection to the stopped node')
  const nodes = await Promise.all(['alice', 'bob', 'carol', 'dave'].map((name) => stage.world.directory.nodesOf(stage.user(name))))
  same(nodes.flatMap((held) => [...held]), [next.nodeId], 'registrations that are left')

  const missed = await carol.send(stage.user('bob'), 'Where did you go?')
  const back = await stage.connect('bob', 'phone', { url: next.url })
  const [first] = await stage.history('bob', conversationOf(stage.user('bob'), stage.user('carol'), false), missed.sequenceNumber - 1)
  same(first?.content, 'Where did you go?', 'what was missed')
  await onAll([back], (await carol.send(stage.user('bob'), 'Welcome back')).msgId)
  await onAll([back, carol], (await back.send(stage.group('trio'), 'Here we are')).msgId)
}
