import t from 'tap'
import { CircuitState } from 'cockatiel'
import { GatewayError, type ErrorCode } from '../../../src/errors.ts'
import { FailureRate } from '../../../src/upstream/failure-rate.ts'
import { CallPolicy, type CallPolicyOptions } from '../../../src/upstream/policy.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

function setUp (overrides: Partial<CallPolicyOptions> = {}) {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const health = new FakeHealth()
  const logger = new FakeLogger()
  const policy = new CallPolicy({ service: 'im', timeoutMs: 5_000, attemptTimeoutMs: 2_000, clock, meter, health, logger, ...overrides })
  /** Runs a call whose attempts take `takesMs` and end as `outcomes` say, the last one again and again. */
  const attempts: number[] = []
  const run = async (outcomes: Array<'ok' | ErrorCode | Error>, takesMs = 0): Promise<string> => {
    let at = 0
    const running = policy.run('Route', (attemptMs) => {
      attempts.push(attemptMs)
      const outcome = outcomes[Math.min(at++, outcomes.length - 1)]
      return new Promise((resolve, reject) => {
        const end = () => {
          if (outcome === 'ok') resolve('ok')
          else reject(typeof outcome === 'string' ? new GatewayError(outcome) : outcome)
        }
        if (takesMs === 0) end()
        else clock.setTimer(end, Math.min(takesMs, attemptMs))
      })
    }).then(() => 'ok', (error: unknown) => error instanceof GatewayError ? error.code : String(error))
    const progress = { isDone: false }
    void running.then(() => { progress.isDone = true })
    await settle()
    while (!progress.isDone) await clock.run(10)
    return running
  }
  /** Fails calls until the breaker opens. */
  const trip = async () => { for (let at = 0; at < 10 && !policy.isOpen; at++) await run(['SERVICE_UNAVAILABLE']) }
  return { clock, meter, health, logger, policy, run, trip, attempts }
}

t.test('a call whose outcome is unknown is made once more, with what is left of the deadline [GW-SND-4]', async (t) => {
  for (const code of ['SERVICE_UNAVAILABLE', 'DEADLINE_EXCEEDED'] as const) {
    const { run, attempts, meter } = setUp()
    t.equal(await run([code, 'ok']), 'ok')
    t.equal(attempts.length, 2)
    t.equal(meter.counted('upstream_retries_total im'), 1)
    t.equal(meter.observations.get('upstream_seconds im Route')?.length, 2)
  }
  const { run, attempts } = setUp({ timeoutMs: 3_000 })
  t.equal(await run(['DEADLINE_EXCEEDED'], 10_000), 'DEADLINE_EXCEEDED')
  t.same(attempts, [2_000, 1_000], 'never a third time')
})

t.test('there is no second attempt without time for it', async (t) => {
  const { run, attempts, clock } = setUp({ timeoutMs: 2_000 })
  const startedAtMs = clock.monotonicMs()
  t.equal(await run(['DEADLINE_EXCEEDED'], 10_000), 'DEADLINE_EXCEEDED')
  t.equal(attempts.length, 1)
  t.ok(clock.monotonicMs() - startedAtMs <= 2_020)
})

t.test('an answer is not repeated, whatever it says', async (t) => {
  for (const code of ['SENSITIVE_CONTENT', 'ROUTING_ERROR', 'INTERNAL_ERROR', 'OVERLOADED'] as const) {
    const { run, attempts } = setUp()
    t.equal(await run([code]), code)
    t.equal(attempts.length, 1)
  }
  const { run } = setUp()
  t.equal(await run([new TypeError('a bug')]), 'TypeError: a bug')
})

t.test('the breaker opens in less than 3 s of failures, then answers without a call; a probe closes it [GW-SND-4]', async (t) => {
  const { run, trip, clock, meter, health, logger, attempts, policy } = setUp()
  const startedAtMs = clock.monotonicMs()
  await trip()
  t.ok(policy.isOpen)
  t.ok(clock.monotonicMs() - startedAtMs < 3_000)
  t.equal(meter.gauge('breaker_state im'), 2)
  t.ok(health.downs.has('im'))
  const before = attempts.length
  t.equal(await run(['ok']), 'SERVICE_UNAVAILABLE')
  t.equal(attempts.length, before, 'no call')
  await clock.run(1_000)
  t.equal(await run(['ok']), 'ok')
  t.equal(meter.gauge('breaker_state im'), 0)
  t.notOk(health.downs.has('im'))
  t.same(logger.lines.map(({ text }) => text), ['breaker opened', 'breaker closed'])
})

t.test('a connection that comes back says that the service is up, the next failed call that it is not [GW-SND-4] [GW-OBS-4]', async (t) => {
  const { run, trip, clock, health, logger, policy } = setUp()
  await trip()
  health.up('im')
  await clock.run(1_000)
  t.equal(await run(['SERVICE_UNAVAILABLE']), 'SERVICE_UNAVAILABLE')
  t.ok(policy.isOpen)
  t.equal(health.downs.get('im'), 'calls fail, the breaker is open')
  t.equal(logger.lines.length, 1, 'logged once')
})

t.test('one call probes a half-open breaker; the others are answered at once, they do not wait for it', async (t) => {
  const { run, trip, clock, meter, attempts, policy, logger } = setUp()
  await trip()
  await clock.run(1_000)
  const before = attempts.length
  let fail: (error: Error) => void = () => {}
  const probe = policy.run('Route', () => new Promise((_resolve, reject) => { fail = reject }))
  await settle()
  t.equal(meter.gauge('breaker_state im'), 1)
  t.equal(await run(['ok']), 'SERVICE_UNAVAILABLE')
  t.equal(attempts.length, before)
  fail(new GatewayError('DEADLINE_EXCEEDED'))
  await t.rejects(probe, { code: 'DEADLINE_EXCEEDED' })
  t.equal(meter.gauge('breaker_state im'), 2)
  t.equal(logger.lines.length, 1, 'a long outage is logged once')
  await clock.run(999)
  t.equal(await run(['ok']), 'SERVICE_UNAVAILABLE')
  await clock.run(1)
  t.equal(await run(['SENSITIVE_CONTENT']), 'SENSITIVE_CONTENT', 'a refusal is an answer: the service lives')
  t.equal(meter.gauge('breaker_state im'), 0)
})

t.test('a breaker that opens while a call waits for its second attempt leaves the call its own error', async (t) => {
  const { policy, clock, meter } = setUp()
  let attempts = 0
  const run = (text: string) => policy.run('Route', () => {
    attempts++
    return Promise.reject(new GatewayError('SERVICE_UNAVAILABLE', { detail: text }))
  }).then(() => '', (error: Error) => error.message)
  const first = run('mine')
  await settle()
  t.notOk(policy.isOpen)
  const others = Array.from({ length: 9 }, () => run('theirs'))
  await settle()
  t.ok(policy.isOpen)
  await clock.run(200)
  t.equal(await first, 'mine')
  t.same(new Set(await Promise.all(others)), new Set(['theirs']))
  t.equal(attempts, 10)
  t.equal(meter.counted('upstream_retries_total im'), 0)
})

t.test('the pause of an open breaker is measured by the monotonic clock: a jump of the wall clock does not stretch it', async (t) => {
  const { run, trip, clock } = setUp()
  await trip()
  const realNow = Date.now
  t.teardown(() => { Date.now = realNow })
  Date.now = () => realNow() - 3_600_000
  clock.jumpUnix(-3_600_000)
  await clock.run(1_000)
  t.equal(await run(['ok']), 'ok')
})

t.test('application errors are no failures of the breaker', async (t) => {
  const { run, policy } = setUp()
  for (let at = 0; at < 50; at++) await run(['ROUTING_ERROR'])
  t.notOk(policy.isOpen)
})

t.test('the failure rate needs enough calls, and more failures than the threshold', async (t) => {
  const clock = new ManualClock()
  const rate = new FailureRate({ clock, bucketMs: 1_000, threshold: 0.6, minimumCalls: 8 })
  const { Closed, HalfOpen } = CircuitState
  for (let at = 0; at < 7; at++) t.equal(rate.failure(Closed), false)
  t.equal(rate.failure(Closed), true)
  rate.success(HalfOpen)
  t.equal(rate.failure(HalfOpen), true, 'a failed probe opens again')
  rate.success(HalfOpen)
  for (let at = 0; at < 40; at++) rate.success(Closed)
  for (let at = 0; at < 60; at++) t.equal(rate.failure(Closed), false, 'a dead replica of two stays below it')
})

t.test('failures are forgotten after two buckets', async (t) => {
  const clock = new ManualClock()
  const rate = new FailureRate({ clock, bucketMs: 1_000, threshold: 0.6, minimumCalls: 8 })
  for (let at = 0; at < 7; at++) rate.failure(CircuitState.Closed)
  clock.advance(1_000)
  t.equal(rate.failure(CircuitState.Closed), true, 'the older bucket counts')
  clock.advance(2_000)
  t.equal(rate.failure(CircuitState.Closed), false)
})
