import t from 'tap'
import { rehearse } from '../../rehearse/rehearsal.ts'
import { broken, rehearsalOptions, startRehearsalWorld } from '../helpers/rehearsal-world.ts'

t.test('a healthy gateway keeps its promises through a ramp, a storm, slow readers and a restart', async (t) => {
  const world = await startRehearsalWorld(t)
  const [first, second] = [await world.startGateway('n1'), await world.startGateway('n2')]
  const report = await rehearse(rehearsalOptions(world, [first.url, second.url], {
    connections: 24, steps: 2, stepMs: 1_500, faults: ['storm', 'slow-readers', 'restart'], restart: () => world.stop(first)
  }))
  t.strictSame(broken(report), [], { checks: report.checks })
  t.ok(report.isFinished && report.isKept)
  t.strictSame(report.capacity, { connections: 24, messagesPerSecond: 40 })
  t.strictSame(report.steps.map(({ name, isKept }) => [name, isKept]), [['step 1', true], ['step 2', true], ['storm', true], ['slow-readers', true], ['restart', true]])
  for (const check of ['delivered', 'once', 'order', 'intact', 'accepted', 'latency', 'welcome', 'pings', 'frames', 'closes', 'stays', 'halfOpen', 'slowReader', 'shutdown', 'spread', 'delay', 'back', 'restart'] as const) {
    t.equal(report.checks.find((each) => each.check === check)?.state, 'kept', check)
  }
})
