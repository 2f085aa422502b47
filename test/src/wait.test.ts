import t from 'tap'
import { pause, settledWithin, within } from '../../src/wait.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

t.test('a pause is over when its time is', async (t) => {
  const clock = new ManualClock()
  let isOver = false
  const paused = pause(clock, 100).then(() => { isOver = true })
  await clock.run(99)
  t.notOk(isOver)
  await clock.run(1)
  await paused
})

t.test('an outcome that comes in time is passed on, one that does not is SERVICE_UNAVAILABLE, and no timer stays', async (t) => {
  const clock = new ManualClock()
  t.equal(await within(Promise.resolve(1), 100, clock), 1)
  await t.rejects(within(Promise.reject(new Error('no')), 100, clock), { message: 'no' })
  await clock.run(0)
  t.equal(clock.pendingTimers, 0)
  const late = t.rejects(within(new Promise(() => {}), 100, clock), { code: 'SERVICE_UNAVAILABLE' })
  await clock.run(100)
  await late
})

t.test('whether a promise settles in time is told, its rejection is dropped, and no timer stays', async (t) => {
  const clock = new ManualClock()
  t.ok(await settledWithin(Promise.resolve(), 100, clock))
  t.ok(await settledWithin(Promise.reject(new Error('dropped')), 100, clock))
  t.equal(clock.pendingTimers, 0)
  const late = settledWithin(new Promise(() => {}), 100, clock)
  await clock.run(100)
  t.notOk(await late)
  t.equal(clock.pendingTimers, 0)
})
