import t from 'tap'
import { Hub } from '../../../src/connections/hub.ts'
import { Heartbeat } from '../../../src/connections/heartbeat.ts'
import { ABUSE_AFTER_MS, RateLimits } from '../../../src/connections/rate-limits.ts'
import { connectionId, type Connection } from '../../../src/connections/connection.ts'
import type { CloseKind } from '../../../src/protocol/close-codes.ts'
import { connect } from '../../helpers/connections.ts'
import { fakeDriver } from '../../helpers/fake-socket.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

t.test('the hub finds connections by user and device, and tells who comes and goes', async (t) => {
  const hub = new Hub()
  const seen: string[] = []
  const quiet = connect(hub, 'zoe')
  hub.listen({ onUserOnline: (user) => seen.push(`+${user.userId}`), onUserOffline: (user) => seen.push(`-${user.userId}`) })
  const phone = connect(hub, 'ann')
  const laptop = connect(hub, 'ann', 'laptop')
  const newer = connect(hub, 'ann')
  hub.add(newer.connection)
  t.equal(hub.connectionCount, 4)
  t.equal(hub.userCount, 2)
  t.same([...hub.users()].map((user) => user.userId), ['zoe', 'ann'])
  t.equal(hub.device('ann', 'phone'), newer.connection, 'the newest')
  t.equal(hub.device('ann', 'tv'), undefined)
  t.equal(hub.device('bob', 'phone'), undefined)
  hub.remove(phone.connection)
  hub.remove(phone.connection)
  hub.remove(newer.connection)
  t.equal(hub.device('ann', 'laptop'), laptop.connection)
  hub.remove(laptop.connection)
  t.equal(hub.user('ann'), undefined)
  t.same(hub.all, [quiet.connection])
  hub.remove(quiet.connection)
  t.same(seen, ['+ann', '-ann', '-zoe'])
})

t.test('whoever walks the connections of a user may close each of them', async (t) => {
  const hub = new Hub()
  for (const device of ['phone', 'laptop', 'tv']) connect(hub, 'ann', device)
  const closed: string[] = []
  for (const connection of hub.user('ann')?.connections ?? []) {
    hub.remove(connection)
    closed.push(connection.deviceId)
  }
  t.strictSame(closed, ['phone', 'laptop', 'tv'])
  t.equal(hub.userCount, 0)
})

t.test('a hub without a listener works as well', async (t) => {
  const hub = new Hub()
  const { connection } = connect(hub, 'ann')
  hub.remove(connection)
  t.equal(hub.connectionCount, 0)
})

t.test('a connection id begins with the start id', async (t) => {
  t.equal(connectionId('start', 36), 'start.10')
})

function beating (options: { random?: () => number } = {}) {
  const clock = new ManualClock()
  const hub = new Hub()
  const closed: Array<[Connection, CloseKind]> = []
  const heartbeat = new Heartbeat({
    hub,
    driver: fakeDriver,
    clock,
    intervalMs: 30_000,
    timeoutMs: 90_000,
    random: options.random ?? (() => 0),
    close: (connection, kind) => {
      closed.push([connection, kind])
      hub.remove(connection)
    }
  })
  heartbeat.start()
  return { clock, hub, closed, heartbeat }
}

t.test('a ping every interval, a silent client is closed with 4000 after the time-out [GW-CON-9]', async (t) => {
  const { clock, hub, closed, heartbeat } = beating()
  const silent = connect(hub, 'ann')
  const alive = connect(hub, 'bob')
  heartbeat.welcome(silent.connection)
  heartbeat.welcome(alive.connection)
  clock.advance(29_000)
  t.equal(silent.socket.pings, 0)
  clock.advance(2_100)
  t.equal(silent.socket.pings, 1)
  clock.advance(57_000)
  alive.connection.lastSeenMs = heartbeat.nowMs
  t.same(closed, [], 'not before its time')
  clock.advance(4_000)
  t.strictSame(closed.map(([connection, kind]) => [connection === silent.connection, kind]), [[true, 'heartbeatTimeout']])
  heartbeat.stop()
  t.equal(clock.pendingTimers, 0)
  heartbeat.stop()
})

t.test('the first pings of many connections are spread over the interval [GW-CON-9]', async (t) => {
  let n = 0
  const { clock, hub, heartbeat } = beating({ random: () => (n++ % 30) / 30 })
  const all = Array.from({ length: 300 }, (_, i) => connect(hub, `user${i}`))
  for (const { connection } of all) heartbeat.welcome(connection)
  let before = 0
  for (let second = 0; second < 30; second++) {
    clock.advance(1_000)
    const pings = all.reduce((sum, { socket }) => sum + socket.pings, 0)
    t.ok(pings - before <= 40, `${pings - before} pings in second ${second}`)
    before = pings
  }
  t.ok(before >= 290, 'all were pinged once an interval')
})

t.test('with more connections a second has more ticks, each with its share of the pings [GW-CON-9]', async (t) => {
  let n = 0
  const { clock, hub, heartbeat } = beating({ random: () => (n++ % 9_000) / 9_000 })
  const all = Array.from({ length: 9_000 }, (_, i) => connect(hub, `user${i}`))
  for (const { connection } of all) heartbeat.welcome(connection)
  const pinged = (): number => all.reduce((sum, { socket }) => sum + socket.pings, 0)
  clock.advance(1_000)
  for (let tick = 0; tick < 87; tick++) {
    const before = pinged()
    clock.advance(333)
    t.ok(pinged() - before <= 101, `${pinged() - before} pings in tick ${tick}`)
  }
  clock.advance(1_030)
  t.equal(pinged(), 9_000, 'all were pinged once an interval')
  heartbeat.stop()
})

t.test('a stall of our own loop is not held against clients [GW-CON-9]', async (t) => {
  const { hub, closed } = beating()
  t.ok(hub)
  class StallingClock extends ManualClock {
    extra = 0
    override monotonicMs (): number { return super.monotonicMs() + this.extra }
  }
  const clock = new StallingClock()
  const heartbeat = new Heartbeat({
    hub, driver: fakeDriver, clock, intervalMs: 30_000, timeoutMs: 90_000, random: () => 0, close: (connection, kind) => closed.push([connection, kind])
  })
  const { connection } = connect(hub, 'ann')
  heartbeat.start()
  heartbeat.welcome(connection)
  clock.advance(60_000)
  clock.extra = 600_000
  clock.advance(20_000)
  t.same(closed, [])
  clock.advance(12_000)
  t.equal(closed[0]?.[1], 'heartbeatTimeout', 'its own silence counts as ever')
})

t.test('the token ends the session at its expiry, by the wall clock [GW-CON-8]', async (t) => {
  const { clock, hub, closed, heartbeat } = beating()
  const { connection } = connect(hub, 'ann')
  heartbeat.welcome(connection)
  connection.tokenExpiresAtMs = clock.unixMs() + 20_000
  heartbeat.look(connection)
  clock.advance(9_000)
  connection.tokenExpiresAtMs = clock.unixMs() + 10_000
  heartbeat.look(connection)
  clock.advance(9_900)
  t.same(closed, [])
  clock.advance(1_200)
  t.equal(closed[0]?.[1], 'tokenExpired', 'a token may be renewed to an earlier end')
})

t.test('a paused connection\'s clock stands still, and one that is not open is left alone [GW-SND-3]', async (t) => {
  const { clock, hub, closed, heartbeat } = beating()
  const { connection } = connect(hub, 'ann')
  const opening = connect(hub, 'bob', 'phone', { held: true })
  heartbeat.welcome(connection)
  clock.advance(80_000)
  heartbeat.pause(connection)
  heartbeat.pause(opening.connection)
  clock.advance(300_000)
  t.same(closed, [])
  heartbeat.resume(connection)
  clock.advance(8_000)
  t.same(closed, [], 'what was left of its time is still left')
  clock.advance(5_000)
  t.equal(closed.length, 1)
  t.equal(opening.socket.pings, 0)
})

function limited (messagesPerSecond = 100) {
  const clock = new ManualClock()
  const hub = new Hub()
  return { clock, hub, limits: new RateLimits({ clock, messagesPerSecond }) }
}

t.test('the message rate is one bucket for all devices of a user [GW-SND-2]', async (t) => {
  const { clock, hub, limits } = limited()
  const { connection } = connect(hub, 'ann')
  const laptop = connect(hub, 'ann', 'laptop')
  let passed = 0
  for (let i = 0; i < 150; i++) if (limits.takeMessage((i % 2 === 0 ? connection : laptop.connection).user).pass) passed++
  t.equal(passed, 100)
  const verdict = limits.takeMessage(connection.user)
  t.match(verdict, { pass: false, abuse: false, retryAfterMs: 10 })
  t.equal(limits.takeMessage(connect(hub, 'bob').connection.user).pass, true, 'others have their own')
  clock.advance(10)
  t.equal(limits.takeMessage(laptop.connection.user).pass, true)
})

t.test('over the message rate for 10 s without falling under it is abuse, with a pause it is not [GW-SND-2]', async (t) => {
  const run = (pauseAtMs: number | undefined): boolean => {
    const { clock, hub, limits } = limited()
    const { user } = connect(hub, 'ann').connection
    for (let ms = 0; ms < ABUSE_AFTER_MS + 2_000; ms += 5) {
      clock.advance(ms === pauseAtMs ? 200 : 5)
      const verdict = limits.takeMessage(user)
      if (!verdict.pass && verdict.abuse) return true
    }
    return false
  }
  t.equal(run(undefined), true)
  t.equal(run(6_000), false)
})

t.test('frames past ten times the rate are dropped, a whole burst of debt is abuse [GW-SND-1]', async (t) => {
  const { clock, hub, limits } = limited(10)
  const { connection } = connect(hub, 'ann')
  const verdicts = Array.from({ length: 200 }, () => limits.takeFrame(connection))
  t.same(verdicts.indexOf('drop'), 100)
  t.same(verdicts.indexOf('abuse'), 199)
  const other = connect(hub, 'bob').connection
  for (let i = 0; i < 101; i++) limits.takeFrame(other)
  t.ok(other.overLimitSinceMs > 0)
  clock.advance(500)
  t.equal(limits.takeFrame(other), 'pass')
  t.equal(other.overLimitSinceMs, 0, 'it fell under its limit')
})

t.test('over the frame rate for 10 s is abuse as well', async (t) => {
  const { clock, hub, limits } = limited(10)
  const { connection } = connect(hub, 'ann')
  let verdict = 'pass'
  for (let i = 0; i < 101; i++) limits.takeFrame(connection)
  for (let ms = 0; ms < ABUSE_AFTER_MS + 1_000 && verdict !== 'abuse'; ms += 10) {
    clock.advance(10)
    verdict = limits.takeFrame(connection)
    if (ms % 100 === 0) verdict = limits.takeFrame(connection)
  }
  t.equal(verdict, 'abuse')
})

t.test('auth frames have a bucket of their own: three, then one in 10 s [GW-CON-8]', async (t) => {
  const { clock, hub, limits } = limited()
  const { connection } = connect(hub, 'ann')
  t.same([1, 2, 3, 4].map(() => limits.takeAuth(connection).pass), [true, true, true, false])
  t.match(limits.takeAuth(connection), { pass: false, abuse: false, retryAfterMs: 10_000 })
  clock.advance(10_000)
  t.equal(limits.takeAuth(connection).pass, true)
})
