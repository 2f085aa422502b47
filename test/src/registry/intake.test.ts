import t from 'tap'
import { Intake } from '../../../src/registry/intake.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

function world () {
  const clock = new ManualClock()
  const loop = { active: 0, idle: 0 }
  const announced: number[] = []
  let handshakes = 0
  const intake = new Intake({ clock, loop: () => ({ ...loop }), handshakes: () => handshakes, announce: (count) => { announced.push(count) } })
  intake.start()
  t.teardown(() => { intake.stop() })
  return {
    intake,
    clock,
    announced,
    /** Seconds in which the loop was busy for that share, and took so many handshakes. */
    async seconds (count: number, busyShare: number, perSecond: number) {
      for (let i = 0; i < count; i++) {
        loop.active += busyShare * 1000
        loop.idle += (1 - busyShare) * 1000
        handshakes += perSecond
        await clock.run(1000)
      }
    }
  }
}

t.test('[GW-END-1] a node takes what its spare time allows, by what handshakes have cost it', async (t) => {
  const { intake, seconds, announced } = world()
  t.equal(intake.connectsPerSecond, 50, 'nothing is known yet')
  await seconds(30, 0.3, 19)
  t.equal(intake.connectsPerSecond, 50, 'a few handshakes say nothing')
  // 0.4 of a second for 400 handshakes: a millisecond each; 0.8 - 0.4 is to spare.
  await seconds(60, 0.4, 400)
  t.ok(Math.abs(intake.connectsPerSecond - 400) <= 2, `${intake.connectsPerSecond}`)
  await seconds(60, 0, 0)
  t.ok(Math.abs(intake.connectsPerSecond - 800) <= 2, 'all of it, and the cost is remembered')
  await seconds(60, 1, 0)
  t.equal(intake.connectsPerSecond, 50, 'whoever is busy takes some still')
  t.equal(announced.length, 21, 'once in ten seconds')
})

t.test('[GW-END-1] a node that drains takes nobody, which is said at once', async (t) => {
  const { intake, announced, clock } = world()
  intake.setClosed(true)
  intake.setClosed(true)
  t.same(announced, [0])
  t.equal(intake.connectsPerSecond, 0)
  intake.setClosed(false)
  t.same(announced, [0, 50])
  intake.stop()
  t.equal(clock.pendingTimers, 0)
})
