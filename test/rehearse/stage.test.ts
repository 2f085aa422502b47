import t from 'tap'
import { Stage } from '../../rehearse/stage.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

function world () {
  const [clock, end] = [new ManualClock(), new AbortController()]
  const stage = new Stage({
    urls: ['ws://a/', 'ws://b/'],
    token: (user, device) => `${user}/${device}`,
    clock,
    random: () => 0,
    limits: { welcomeWithinMs: 1, acceptWithinMs: 1, latencyWithinMs: 1, backWithinMs: 1, settleWithinMs: 1 },
    users: 'u-',
    signal: end.signal
  })
  return { clock, end, stage }
}

t.test('each client takes the addresses by turns, and users have their prefix', async (t) => {
  const { stage } = world()
  t.strictSame(['ann', 'bob', 'ann', 'bob', 'cid', 'bob'].map((user) => stage.url(user)), ['ws://a/', 'ws://b/', 'ws://b/', 'ws://a/', 'ws://a/', 'ws://b/'])
  t.equal(await stage.token(stage.user(7)), 'u-7/rehearse')
})

t.test('whoever was told to wait is judged by the next attempt alone', async (t) => {
  const { clock, stage } = world()
  const delay = () => stage.verdict.results().find(({ check }) => check === 'delay')
  stage.drained({ user: 'ann', closedAtMs: clock.monotonicMs(), toldMs: 500 })
  stage.drained({ user: 'bob', closedAtMs: clock.monotonicMs(), toldMs: 800 })
  stage.connecting('cid')
  t.match(delay(), { tried: 0 })
  clock.advance(500)
  stage.connecting('ann')
  t.match(delay(), { tried: 1, broken: 0 })
  stage.connecting('bob')
  stage.connecting('bob')
  t.match(delay(), { tried: 2, broken: 1, examples: ['bob came back 300 ms early'] })
})

t.test('a wait ends when it is so, when its time is over, or when all is called off', async (t) => {
  const { clock, end, stage } = world()
  let isSo = false
  const [short, long] = [stage.until(() => isSo, 50), stage.until(() => isSo, 500)]
  await clock.run(100)
  isSo = true
  await clock.run(100)
  t.strictSame([await short, await long], [false, true])
  const pause = stage.pause(1_000)
  end.abort()
  await t.rejects(pause, /called off/)
  await t.rejects(stage.pause(1), { name: 'AbortError' })
  t.equal(clock.pendingTimers, 0)
})

t.test('each settlement begins a verdict of its own', async (t) => {
  const { stage } = world()
  const { verdict } = stage
  verdict.broken('order', 'one')
  t.equal(stage.settle().verdict, verdict)
  t.ok(stage.verdict.isKept)
})
