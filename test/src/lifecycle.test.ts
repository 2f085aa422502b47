import t from 'tap'
import { ERROR_DRAIN_MS, Lifecycle, START_GRACE_MS, type Running } from '../../src/lifecycle.ts'
import { SharedSecret } from '../../src/secrets.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

interface Fakes { drainMs?: number, closeMs?: number, drainFails?: boolean, closeFails?: boolean }

function world (fakes: Fakes = {}) {
  const clock = new ManualClock()
  const logger = new FakeLogger()
  const steps: string[] = []
  const lifecycle = new Lifecycle({ clock, logger, drainDelayMs: 2000, drainTimeoutMs: 30_000 })
  const wait = (ms: number) => new Promise<void>((resolve) => { clock.setTimer(resolve, ms) })
  const running: Running = {
    drain: {
      start: async (times) => {
        steps.push(`drain ${times.delayMs} ${times.timeoutMs}`)
        if (fakes.drainFails === true) throw new Error('broken')
        await wait(fakes.drainMs ?? 1000)
        steps.push('empty')
      }
    },
    close: async () => {
      await wait(fakes.closeMs ?? 100)
      if (fakes.closeFails === true) throw new Error('cannot close')
      steps.push('closed')
    }
  }
  const watch = (work: Promise<void>) => {
    const state: { outcome: string } = { outcome: 'pending' }
    work.then(() => { state.outcome = 'resolved' }, (error: Error) => { state.outcome = error.message })
    return state
  }
  return { clock, logger, steps, lifecycle, running, watch, wait }
}

t.test('[GW-END-1] a signal drains first and closes when no client is left', async (t) => {
  const { lifecycle, running, clock, steps, watch, logger } = world()
  await lifecycle.start(async () => running)
  const state = watch(lifecycle.end({ signal: 'SIGTERM' }))
  await clock.run(1050)
  t.same(steps, ['drain 2000 30000', 'empty'])
  await clock.run(100)
  t.same(steps, ['drain 2000 30000', 'empty', 'closed'])
  t.equal(state.outcome, 'resolved')
  t.equal(clock.pendingTimers, 0)
  t.match(logger.lines[0], { level: 'info', facts: { signal: 'SIGTERM' } })
})

t.test('[GW-END-1] the deadline holds for drain and close together, and a second call joins the first', async (t) => {
  const { lifecycle, running, clock, watch, steps } = world({ drainMs: 29_000, closeMs: 5000 })
  await lifecycle.start(async () => running)
  const first = watch(lifecycle.end({ signal: 'SIGTERM' }))
  const second = watch(lifecycle.end({ signal: 'SIGINT' }))
  await clock.run(29_999)
  t.equal(first.outcome, 'pending')
  await clock.run(1)
  t.match(first.outcome, /not done in 30000 ms/)
  t.equal(second.outcome, first.outcome)
  t.equal(steps.filter((step) => step.startsWith('drain')).length, 1)
})

t.test('[GW-END-3] an uncaught error is logged and drains for at most 5 s', async (t) => {
  const { lifecycle, running, clock, watch, steps, logger } = world({ drainMs: 60_000 })
  await lifecycle.start(async () => running)
  const error = new TypeError('unexpected')
  const state = watch(lifecycle.end({ error }))
  await clock.run(0)
  t.match(logger.lines[0], { level: 'error', facts: { err: error } })
  t.same(steps, [`drain 0 ${ERROR_DRAIN_MS}`])
  await clock.run(ERROR_DRAIN_MS)
  t.match(state.outcome, /not done in 5000 ms/)
})

t.test('[GW-END-3] times that are given count instead of its own', async (t) => {
  const { lifecycle, running, clock, watch, steps } = world({ drainMs: 60_000 })
  await lifecycle.start(async () => running)
  const state = watch(lifecycle.end({ times: { delayMs: 0, timeoutMs: 3_000, final: true } }))
  await clock.run(3_000)
  t.same(steps, ['drain 0 3000'])
  t.match(state.outcome, /not done in 3000 ms/)
})

t.test('[GW-END-1] a drain that fails does not keep the rest from being closed; a close that fails is told', async (t) => {
  const broken = world({ drainFails: true })
  await broken.lifecycle.start(async () => broken.running)
  const state = broken.watch(broken.lifecycle.end({ signal: 'SIGTERM' }))
  await broken.clock.run(200)
  t.equal(broken.steps.at(-1), 'closed')
  t.equal(state.outcome, 'resolved')
  const failing = world({ closeFails: true })
  await failing.lifecycle.start(async () => failing.running)
  const failed = failing.watch(failing.lifecycle.end({ signal: 'SIGTERM' }))
  await failing.clock.run(2000)
  t.equal(failed.outcome, 'cannot close')
  t.equal(failing.clock.pendingTimers, 0)
})

t.test('[GW-END-1] a signal during the start waits a moment for it, then ends', async (t) => {
  const soon = world()
  const start = soon.watch(soon.lifecycle.start(async () => {
    await soon.wait(START_GRACE_MS / 2)
    return soon.running
  }))
  const ended = soon.watch(soon.lifecycle.end({ signal: 'SIGTERM' }))
  await soon.clock.run(2000)
  t.equal(start.outcome, 'resolved')
  t.equal(soon.steps.at(-1), 'closed', 'what came up is closed')
  t.equal(ended.outcome, 'resolved')

  const never = world()
  const stuck = never.watch(never.lifecycle.start(() => new Promise(() => {})))
  const gone = never.watch(never.lifecycle.end({ signal: 'SIGTERM' }))
  await never.clock.run(START_GRACE_MS)
  t.equal(gone.outcome, 'resolved')
  t.equal(stuck.outcome, 'pending')
  t.same(never.steps, [])

  const failing = world()
  const failed = failing.watch(failing.lifecycle.start(async () => { throw new Error('port taken') }))
  const over = failing.watch(failing.lifecycle.end({ signal: 'SIGTERM' }))
  await failing.clock.run(0)
  t.equal(failed.outcome, 'port taken')
  t.equal(over.outcome, 'resolved')
})

t.test('[GW-OBS-5] a shared secret matches itself alone', async (t) => {
  const secret = new SharedSecret('s'.repeat(20))
  t.ok(secret.matches('s'.repeat(20)))
  for (const shown of [undefined, '', 's', 's'.repeat(21)]) t.notOk(secret.matches(shown))
  t.ok(secret.matchesBearer(`bearer ${'s'.repeat(20)}`))
  for (const header of [undefined, 's'.repeat(20), `Basic ${'s'.repeat(20)}`, 'Bearer ', `Bearer ${'s'.repeat(20)} x`]) t.notOk(secret.matchesBearer(header))
  t.notOk(new SharedSecret('').matches(undefined))
})
