import fastify, { type FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import t from 'tap'
import rateLimit from '../../plugins/rate-limit.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

type Reply = (error: Error | null, result?: readonly [current: number, ttlMs: number]) => void

/** What the library asks of a Redis client: counts, or is away. */
class FakeRedis {
  readonly counts = new Map<string, number>()
  isAway = false
  asked = 0

  rateLimit (key: string, windowMs: number, _max: number, _continue: boolean, _backoff: boolean, reply: Reply): void {
    this.asked++
    if (this.isAway) {
      reply(new Error('connection is closed'))
      return
    }
    const count = (this.counts.get(key) ?? 0) + 1
    this.counts.set(key, count)
    reply(null, [count, windowMs])
  }

  rateLimitRead (): void {}
}

t.test('with Redis the cluster counts together, with Redis away each node counts alone', async (t) => {
  const redis = new FakeRedis()
  const clock = new ManualClock()
  const start = async () => {
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(rateLimit, { windowMs: 60_000, perAddress: 2, perUser: 1, redis: redis as unknown as Redis, clock })
    await app.ready()
    return app.handshakeLimits
  }
  const [one, other] = [await start(), await start()]
  const from = (ip: string): FastifyRequest => ({ ip, routeOptions: {} }) as unknown as FastifyRequest
  t.equal(await one.address(from('10.0.0.1')), undefined)
  t.equal(await other.address(from('10.0.0.1')), undefined)
  t.equal(await one.address(from('10.0.0.1')), 60)
  t.equal(await other.user(from('10.0.0.2'), 'ann'), undefined)
  t.equal(await one.user(from('10.0.0.2'), 'ann'), 60)

  redis.isAway = true
  const passed = [await one.address(from('10.0.0.1')), await one.address(from('10.0.0.1')), await one.address(from('10.0.0.1'))]
  t.same(passed, [undefined, undefined, 60], 'a node that counts alone starts afresh')
  t.equal(await other.address(from('10.0.0.1')), undefined, 'the other counts for itself')
  t.equal(await one.user(from('10.0.0.2'), 'bob'), undefined)
  t.equal(await one.user(from('10.0.0.2'), 'bob'), 60)

  redis.isAway = false
  t.equal(await one.address(from('10.0.0.3')), undefined, 'nobody knows yet')
  clock.advance(2_000)
  t.equal(await one.address(from('10.0.0.1')), 60, 'and together again')
})

t.test('while Redis is away one handshake now and then asks it, and no other waits for its time-out', async (t) => {
  const redis = new FakeRedis()
  const clock = new ManualClock()
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(rateLimit, { windowMs: 60_000, perAddress: 100, perUser: 100, redis: redis as unknown as Redis, clock })
  await app.ready()
  const { address, user } = app.handshakeLimits
  const request = { ip: '10.0.0.1', routeOptions: {} } as unknown as FastifyRequest
  const handshake = async (): Promise<void> => { t.same([await address(request), await user(request, 'ann')], [undefined, undefined]) }
  redis.isAway = true
  for (let i = 0; i < 5; i++) await handshake()
  t.equal(redis.asked, 1)
  clock.advance(2_000)
  await Promise.all([handshake(), handshake(), handshake()])
  t.equal(redis.asked, 2)
  redis.isAway = false
  clock.advance(2_000)
  for (let i = 0; i < 5; i++) await handshake()
  t.equal(redis.asked, 12)
})
