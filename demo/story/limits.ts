/** Steps of those who are refused, ask too much, fall silent or are sent away. */
import { setTimeout as pause } from 'node:timers/promises'
import { RefusedError, SendError } from '../client.ts'
import { Outcome, Scope } from '../../src/generated/gateway/v1/gateway.ts'
import { check, refusal, same, type Stage } from './stage.ts'

export async function badToken (stage: Stage): Promise<void> {
  const good = stage.world.auth.mint(stage.user('alice'), 'tablet').accessToken
  const expired = stage.world.auth.mint(stage.user('alice'), 'tablet', -60_000).accessToken
  const forged = `${good.slice(0, -4)}${good.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`
  for (const [token, status, code] of [['nonsense', 401, 'INVALID_TOKEN'], [forged, 401, 'INVALID_TOKEN'], [expired, 401, 'TOKEN_EXPIRED']] as const) {
    const error = await refusal(stage.connect('alice', 'tablet', { token }), code)
    same(error instanceof RefusedError ? [error.status, error.code] : error.message, [status, code], 'the answer')
  }
  const error = await refusal(stage.connect('alice', 'tablet', { token: good, deviceId: 'phone' }), 'another device')
  same(error instanceof RefusedError ? [error.status, error.code] : error.message, [400, 'INVALID_DEVICE'], 'the answer')
}

/** Half as much again as a second allows, at once. */
export async function rateLimit (stage: Stage, messagesPerSecond: number): Promise<void> {
  const erin = await stage.connect('erin', 'phone')
  const count = Math.ceil(messagesPerSecond * 1.5)
  const answers = await Promise.allSettled(Array.from({ length: count }, (_, i) => erin.send(stage.user('carol'), `Message ${i}`)))
  const refused = answers.flatMap((answer) => answer.status === 'rejected' ? [answer.reason as unknown] : [])
  check(refused.length > 0 && refused.length <= count - messagesPerSecond, `${refused.length} of ${count} were refused`)
  for (const error of refused) {
    same(error instanceof SendError ? [error.code, error.frame['retryable']] : String(error), ['RATE_LIMIT_EXCEEDED', true], 'the error')
  }
  await pause(retryAfter(refused))
  await erin.send(stage.user('carol'), 'Now it fits')
  await erin.close()
}

function retryAfter (errors: readonly unknown[]): number {
  const waits = errors.map((error) => error instanceof SendError ? Number(error.frame['retry_after_ms']) : 0)
  check(waits.every((wait) => wait > 0 && wait <= 1_000), 'each error says when to try again')
  return Math.max(...waits)
}

/** The client's own heartbeats are answered; the gateway's pings are life enough; who answers nothing is closed. */
export async function heartbeat (stage: Stage): Promise<void> {
  const phone = stage.seated('alice', 'phone')
  const answer = phone.waitFor(({ type, client_timestamp: echo }) => type === 'heartbeat' && echo === 42, 'the heartbeat')
  phone.write({ type: 'heartbeat', timestamp: 42 })
  check(Number((await answer)['timestamp']) > 0, 'the heartbeat says when')
  const silent = await stage.connect('frank', 'phone', { answerPings: false })
  const { heartbeat_timeout_ms: timeoutMs } = silent.welcome
  const { code, reason } = await silent.closed(Number(timeoutMs) * 3 + 1_000)
  same([code, reason], [4000, 'heartbeat_timeout'], 'the close')
  check(phone.isOpen, 'whoever answers pings stays')
}

export async function kick (stage: Stage): Promise<void> {
  const [phone, laptop] = await Promise.all([stage.connect('grace', 'phone'), stage.connect('grace', 'laptop')])
  const { disconnected } = await stage.world.gatewayClient.disconnect(stage.gateway.grpc, { userId: stage.user('grace'), deviceId: 'phone', reason: 'demo', scope: Scope.CLUSTER })
  same(disconnected, 1, 'sockets that were closed')
  same(await phone.closed(), { code: 4403, reason: 'disconnected' }, 'the close')
  check(laptop.isOpen, 'the other device stays')
  await laptop.close()
}

/** A device that stops reading costs its own connection, nobody else's. */
export async function slowReader (stage: Stage): Promise<void> {
  const [slow, healthy] = await Promise.all([stage.connect('heidi', 'phone'), stage.connect('heidi', 'laptop')])
  const push = async (deviceId: string, sequenceNumber: number): Promise<Outcome | undefined> => {
    const { devices } = await stage.world.gatewayClient.pushMessage(stage.gateway.grpc, {
      ...EMPTY_PUSH, msgId: stage.msgId(), recipientId: stage.user('heidi'), deviceId, senderId: stage.user('carol'), content: 'x'.repeat(8_000), sequenceNumber: BigInt(sequenceNumber)
    }, PUSH_DEADLINE_MS)
    return devices[0]?.outcome
  }
  slow.pause()
  const waiting = Promise.all(Array.from({ length: SLOW_PUSHES }, (_, i) => push('phone', i + 1)))
  same(await push('laptop', SLOW_PUSHES + 1), Outcome.OUTCOME_ACKED, 'a push to the healthy device')
  same([...new Set(await waiting)], [Outcome.OUTCOME_SLOW], 'pushes to the slow one')
  slow.resume()
  same(await slow.closed(), { code: 4001, reason: 'slow_consumer' }, 'the close')
  same(await push('laptop', SLOW_PUSHES + 2), Outcome.OUTCOME_ACKED, 'another push to the healthy device')
  await healthy.close()
}

/** 384 KB: more than a gateway writes to a device without a sign of life from it. */
const SLOW_PUSHES = 48
const PUSH_DEADLINE_MS = 6_000
const EMPTY_PUSH = {
  messageType: 'text', timestamp: 0n, conversationId: '', metadata: {}, excludeDeviceId: '', scope: Scope.CLUSTER
}
