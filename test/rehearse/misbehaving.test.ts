import t from 'tap'
import { rehearse } from '../../rehearse/rehearsal.ts'
import { FrameProxy } from '../helpers/frame-proxy.ts'
import { broken, rehearsalOptions, startRehearsalWorld } from '../helpers/rehearsal-world.ts'

t.test('clients that nobody pings, and that stay although they are dead or do not read, are found; so is a restart that does not come', async (t) => {
  const world = await startRehearsalWorld(t)
  const { url } = await world.startGateway('n1')
  // What stands between reads and answers pings in their place.
  const proxy = await FrameProxy.to(url, (frame, pass) => { pass(JSON.stringify(frame)) }, false)
  t.teardown(() => { proxy.close() })
  const report = await rehearse(rehearsalOptions(world, [proxy.url], { faults: ['slow-readers', 'restart'], restartWithinMs: 300, slowForMs: 300 }))
  t.strictSame(broken(report), ['pings', 'halfOpen', 'slowReader', 'restart'])
  t.equal(report.checks.find(({ check }) => check === 'slowReader')?.broken, 3)
  t.strictSame(report.capacity, { connections: 8, messagesPerSecond: 40 }, 'the first step was too short to tell')
})

t.test('clients that are not let in again after a storm are found', async (t) => {
  const world = await startRehearsalWorld(t)
  const { url } = await world.startGateway('n1')
  let isStorm = false
  const options = rehearsalOptions(world, [url])
  const report = await rehearse({
    ...options,
    connections: 2,
    faults: ['storm'],
    limits: { ...options.limits, backWithinMs: 1_000, settleWithinMs: 100 },
    token: (user, device) => {
      if (isStorm) throw new Error('no token')
      return options.token(user, device)
    },
    say: () => { isStorm = true }
  })
  t.strictSame(broken(report), ['back'])
})
