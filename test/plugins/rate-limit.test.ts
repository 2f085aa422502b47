import fastify, { type FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import t from 'tap'
import rateLimit from '../../plugins/rate-limit.ts'

type Reply = (error: Error | null, result?: readonly [current: number, ttlMs: number]) => void

/** What the library asks of a Redis client: counts, or is away. */
class FakeRedis {
  readonly counts = new Map<string, number>()
  isAway = false

  rateLimit (key: string, windowMs: number, _max: number, _continue: boolean, _backoff: boolean, reply: Reply): void {
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
  const start = async () => {
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(rateLimit, { windowMs: 60_000, perAddress: 2, perUser: 1, redis: redis as unknown as Redis })
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
  t.equal(await one.address(from('10.0.0.1')), 60, 'and together again')
})
