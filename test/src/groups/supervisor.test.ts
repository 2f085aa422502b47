import t from 'tap'
import { Supervisor, type Run, type SupervisorOptions } from '../../../src/groups/supervisor.ts'
import { TimerSet } from '../../../src/groups/timer-set.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

function rig (run: SupervisorOptions['run'], random = 1): { clock: ManualClock, pauses: number[], errors: unknown[], supervisor: Supervisor } {
  const clock = new ManualClock()
  const pauses: number[] = []
  const errors: unknown[] = []
  const onEnd = (error: unknown, pauseMs: number): void => {
    errors.push(error)
    pauses.push(pauseMs)
  }
  return { clock, pauses, errors, supervisor: new Supervisor({ clock, run, minPauseMs: 100, maxPauseMs: 1_000, onEnd, random: () => random }) }
}

t.test('a run that ends, by an error or without one, is followed by another, after pauses that double to their limit', async (t) => {
  let runs = 0
  const { clock, pauses, errors, supervisor } = rig(async () => {
    if (++runs % 2 === 0) throw new Error(`run ${runs}`)
  })
  supervisor.start()
  supervisor.start()
  await clock.run(2_600)
  t.same(pauses, [100, 200, 400, 800, 1_000, 1_000])
  t.equal(runs, 6)
  t.match(errors, [undefined, { message: 'run 2' }, undefined])
  await supervisor.stop(1_000)
  t.equal(clock.pendingTimers, 0)
})

t.test('chance halves a pause at most, and health makes the next one short', async (t) => {
  let healthy = false
  const { clock, pauses, supervisor } = rig(async (run) => { if (healthy) run.healthy() }, 0)
  supervisor.start()
  await clock.run(400)
  t.same(pauses, [50, 100, 200, 400])
  healthy = true
  await clock.run(400)
  t.equal(pauses.at(-1), 50)
  await supervisor.stop(1_000)
})

t.test('stop ends a run by its signal, waits for it, and no other follows', async (t) => {
  let current: Run | undefined
  let runs = 0
  const { clock, pauses, supervisor } = rig((run) => {
    current = run
    runs++
    return new Promise((resolve) => { run.signal.addEventListener('abort', () => { resolve() }) })
  })
  supervisor.start()
  await settle()
  t.equal(current?.signal.aborted, false)
  await supervisor.stop(1_000)
  t.equal(runs, 1)
  t.same(pauses, [])
  t.equal(clock.pendingTimers, 0)
})

t.test('stop gives up on a run that does not end, at its deadline', async (t) => {
  const { clock, supervisor } = rig(() => new Promise(() => {}))
  supervisor.start()
  let stopped = false
  const done = supervisor.stop(1_000).then(() => { stopped = true })
  await clock.run(999)
  t.notOk(stopped)
  await clock.run(1)
  await done
})

t.test('a set of timers ends all of them, calls again and again until then, and takes no more after it', async (t) => {
  const clock = new ManualClock()
  const timers = new TimerSet(clock)
  const calls: string[] = []
  timers.after(10, () => { calls.push('once') })
  timers.every(25, () => { calls.push('every') })
  clock.advance(60)
  t.same(calls, ['once', 'every', 'every'])
  timers.end()
  timers.after(1, () => { calls.push('late') })
  clock.advance(100)
  t.equal(calls.length, 3)
  t.equal(clock.pendingTimers, 0)
})
