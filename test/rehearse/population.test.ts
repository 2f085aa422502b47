import t from 'tap'
import { RefusedError, rehearse } from '../../rehearse/rehearsal.ts'
import { broken, rehearsalOptions, startRehearsalWorld } from '../helpers/rehearsal-world.ts'

t.test('the ramp stops at what was held, and lateness beyond it breaks no promise', async (t) => {
  const world = await startRehearsalWorld(t)
  const { url } = await world.startGateway('n1')
  const report = await rehearse(rehearsalOptions(world, [url], {
    connections: 8,
    steps: 4,
    // The fifth client is never let in: it gets no token.
    token: (user, device) => {
      if (user === 'u-4') throw new Error('no token')
      world.users.addUser(user)
      return world.auth.mint(user, device).accessToken
    },
    limits: { welcomeWithinMs: 2_000, acceptWithinMs: 3_000, latencyWithinMs: 2_000, backWithinMs: 500, settleWithinMs: 500 }
  }))
  t.strictSame(report.capacity, { connections: 4, messagesPerSecond: 20 })
  t.strictSame(report.steps.map(({ connections, isKept }) => [connections, isKept]), [[2, true], [4, true], [6, false]])
  t.strictSame(broken(report), [])
  t.ok(report.isKept)
})

t.test('where nobody is let in the rehearsal is refused; one that is called off says so', async (t) => {
  const world = await startRehearsalWorld(t)
  const { url } = await world.startGateway('n1')
  await t.rejects(rehearse(rehearsalOptions(world, [url], { token: () => 'no.token' })), new RefusedError('the first client, u-0, was not welcomed: INVALID_TOKEN'))
  await t.rejects(rehearse(rehearsalOptions(world, [url], { token: () => { throw new Error('nobody here') } })), new RefusedError('no token for u-0: nobody here'))
  const end = new AbortController()
  const options = rehearsalOptions(world, [url], {
    steps: 2,
    signal: end.signal,
    say: () => { end.abort() }
  })
  const { isFinished, steps } = await rehearse(options)
  t.notOk(isFinished)
  t.equal(steps.length, 1)
})
