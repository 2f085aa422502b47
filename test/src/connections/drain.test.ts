import fc from 'fast-check'
import t from 'tap'
import type { Connection } from '../../../src/connections/connection.ts'
import { Drain, type DrainTimes } from '../../../src/connections/drain.ts'
import { MIN_CLOSES_PER_SECOND } from '../../../src/connections/drain-pace.ts'
import { Hub } from '../../../src/connections/hub.ts'
import { connect } from '../../helpers/connections.ts'
import type { Room } from '../../../src/ports.ts'
import { FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

function world (random: () => number = Math.random) {
  const clock = new ManualClock()
  const hub = new Hub()
  const busy = new Set<Connection>()
  /** Busy with a push that waits. */
  const awaiting = new Set<Connection>()
  const stopped = new Set<Connection>()
  const told = new Map<Connection, { at: number, waitMs: number, frame: Buffer }>()
  const closes: Array<{ at: number, connection: Connection }> = []
  const phases: string[] = []
  const meter = new FakeMeter()
  const logger = new FakeLogger()
  /** What the other nodes take. */
  const others: { room: Room } = { room: { connectsPerSecond: 0, draining: 0 } }
  /** How much later than asked timers fire: a loop that stalls. */
  const stall = { ms: 0 }
  const drain = new Drain({
    hub,
    clock: {
      monotonicMs: () => clock.monotonicMs(),
      unixMs: () => clock.unixMs(),
      setTimer: (call, delayMs) => clock.setTimer(call, delayMs + stall.ms),
      clearTimer: (timer) => { clock.clearTimer(timer) }
    },
    random,
    logger,
    meter,
    room: () => others.room,
    health: { draining: () => { phases.push('draining') }, serving: () => { phases.push('serving') } },
    outbox: {
      send: (connection, frame, type) => {
        if (type !== 'shutdown' || told.has(connection)) throw new Error('told twice')
        const { reconnect_after_ms: waitMs } = JSON.parse(frame.subarray(2).toString())
        told.set(connection, { at: clock.monotonicMs(), waitMs, frame })
        return 'queued'
      }
    },
    target: {
      stopReading: (connection) => { stopped.add(connection) },
      isBusy: (connection) => busy.has(connection),
      hasPushes: (connection) => awaiting.has(connection),
      close: (connection) => {
        if (!told.has(connection) || !stopped.has(connection)) throw new Error('closed without its turn')
        connection.state = 'closing'
        hub.remove(connection)
        closes.push({ at: clock.monotonicMs(), connection })
      }
    }
  })
  const startedAt = clock.monotonicMs()
  const start = (times: DrainTimes) => {
    const state = { done: false }
    drain.start(times).then(() => { state.done = true }, t.threw)
    return state
  }
  return { clock, meter, logger, others, stall, hub, busy, awaiting, stopped, told, closes, phases, drain, start, add: (count: number, prefix = 'user') => Array.from({ length: count }, (_, at) => connect(hub, `${prefix}-${at}`).connection), startedAt }
}

/** The most closes in any window of a second. */
function peakPerSecond (closes: ReadonlyArray<{ at: number }>): number {
  let peak = 0
  for (let from = 0, to = 0; to < closes.length; to++) {
    while ((closes[to]?.at ?? 0) - (closes[from]?.at ?? 0) >= 1000) from++
    peak = Math.max(peak, to - from + 1)
  }
  return peak
}

t.test('[GW-END-1] readiness fails at once, upgrades are refused after the delay, then all are told and closed', async (t) => {
  const { drain, start, add, clock, phases, told, closes } = world()
  add(3)
  t.same(drain.progress, { phase: 'off', total: 0, closed: 0, remaining: 3 })
  const state = start({ delayMs: 2000, timeoutMs: 30_000 })
  t.same(phases, ['draining'])
  t.match(drain.progress, { phase: 'delay', total: 3, closed: 0, remaining: 3, startedAt: 1_700_000_000_000, deadlineAt: 1_700_000_030_000 })
  await clock.run(1999)
  t.notOk(drain.refusesUpgrades)
  t.equal(told.size, 0)
  await clock.run(1)
  t.ok(drain.refusesUpgrades)
  t.equal(told.size, 3)
  await clock.run(200)
  t.equal(closes.length, 3)
  t.ok(state.done, 'a node with few clients is done in a moment')
  t.match(drain.progress, { phase: 'held', total: 3, closed: 3, remaining: 0 })
  t.ok(drain.refusesUpgrades, 'the empty node stays closed')
  t.equal(clock.pendingTimers, 0)
})

t.test('[GW-END-1] closes are spread over the window and their rate never passes it', async (t) => {
  for (const [count, timeoutMs, windowS] of [[20_000, 90_000, 70], [10_000, 30_000, 20]] as const) {
    const { start, add, clock, closes, startedAt, told } = world()
    add(count)
    const state = start({ delayMs: 0, timeoutMs })
    await clock.run(windowS * 1000 + 500)
    t.ok(state.done)
    t.equal(closes.length, count)
    t.ok((closes.at(-1)?.at ?? 0) - startedAt <= windowS * 1000 + 200, 'inside the window')
    t.ok((closes.at(-1)?.at ?? 0) - startedAt >= (windowS - 2) * 1000, 'and over all of it')
    t.ok(peakPerSecond(closes) <= count / windowS * 1.1 + 2, `${peakPerSecond(closes)} closes in a second`)
    t.ok([...told.values()].every(({ at }) => at - startedAt <= count / 2000 * 50), 'all are told in the beginning')
  }
})

t.test('[GW-END-1] the others get as many as they said they can take, from each that drains its share', async (t) => {
  const { start, add, clock, closes, others, drain, meter, logger } = world()
  others.room = { connectsPerSecond: 900, draining: 2 }
  add(3000)
  const state = start({ delayMs: 0, timeoutMs: 90_000 })
  await clock.run(5_000)
  t.match(drain.progress, { phase: 'closing', closesPerSecond: 300, offeredPerSecond: 300, remaining: 3000 - closes.length })
  t.match([...meter.gauges].filter(([name]) => name.startsWith('drain_')).map(([name, read]) => [name, read()]), [['drain_remaining', 3000 - closes.length], ['drain_closes_per_second', 300]])
  t.equal(peakPerSecond(closes), 300)
  // One of the two has ended: what it takes no more is ours. Then another is back with all it can take.
  others.room = { connectsPerSecond: 900, draining: 1 }
  await clock.run(1_000)
  t.equal(drain.progress.closesPerSecond, 450)
  await clock.run(10_000)
  t.ok(state.done, 'sooner than the deadline: they have room')
  t.ok(peakPerSecond(closes) <= 450)
  t.same([...meter.gauges].filter(([name]) => name.startsWith('drain_')).map(([, read]) => read()), [0, 0])
  t.notOk(logger.lines.some(({ level }) => level === 'warn'))
})

t.test('[GW-END-1] where the others take less than the deadline asks for, the deadline holds, evenly, and it is said once', async (t) => {
  const { start, add, clock, closes, others, logger } = world()
  others.room = { connectsPerSecond: 50, draining: 0 }
  add(10_000)
  const state = start({ delayMs: 0, timeoutMs: 30_000 })
  await clock.run(20_500)
  t.ok(state.done)
  t.ok(peakPerSecond(closes) <= 10_000 / 20 * 1.1 + 2, 'no faster than needed')
  t.match(logger.lines.filter(({ level }) => level === 'warn'), [{ facts: { closesPerSecond: 500, offered: 50 } }])
})

t.test('[GW-END-1] many that settle at the same moment are not closed at once', async (t) => {
  const { start, add, clock, closes, busy, others } = world()
  others.room = { connectsPerSecond: 200, draining: 0 }
  for (const connection of add(1500)) busy.add(connection)
  const state = start({ delayMs: 0, timeoutMs: 60_000 })
  await clock.run(4_500)
  t.equal(closes.length, 0)
  busy.clear()
  await clock.run(10_000)
  t.ok(state.done)
  t.equal(closes.length, 1500)
  t.ok(peakPerSecond(closes) <= 220, `${peakPerSecond(closes)} closes in a second`)
})

t.test('[GW-END-1] a stall of the loop is not made up for by a burst', async (t) => {
  const { start, add, clock, closes, stall } = world()
  add(4000)
  const state = start({ delayMs: 0, timeoutMs: 60_000 })
  await clock.run(5000)
  stall.ms = 3000
  await clock.run(100)
  const before = closes.length
  stall.ms = 0
  await clock.run(3000)
  t.ok(closes.length - before <= 20, `${closes.length - before} closes at the end of the stall`)
  await clock.run(60_000)
  t.ok(state.done)
  t.ok(peakPerSecond(closes) <= 4000 / 40 * 1.2 + 2)
})

t.test('[GW-END-1] idle users go first, and a busy connection settles before it is closed, for a bounded time', async (t) => {
  const { start, add, clock, closes, busy, stopped, hub } = world()
  const [first, second, third] = add(3) as [Connection, Connection, Connection]
  const tablet = connect(hub, first.user.userId, 'tablet').connection
  busy.add(first)
  busy.add(third)
  const state = start({ delayMs: 0, timeoutMs: 30_000 })
  await clock.run(100)
  t.equal(closes[0]?.connection, second, 'a user with something under way waits on all devices')
  t.ok(closes.some(({ connection }) => connection === tablet))
  t.ok(stopped.has(first))
  t.notOk(closes.some(({ connection }) => busy.has(connection)))
  busy.delete(first)
  await clock.run(100)
  t.equal(closes.at(-1)?.connection, first)
  await clock.run(4600)
  t.notOk(state.done)
  await clock.run(300)
  t.equal(closes.at(-1)?.connection, third, 'it had 5 s')
  t.ok(state.done)
})

t.test('[GW-END-1] users with pushes waiting have their turn last, on all devices', async (t) => {
  const { start, add, clock, stopped, busy, awaiting, hub, others } = world()
  others.room = { connectsPerSecond: 20, draining: 0 }
  const [first, second, third, fourth] = add(4) as [Connection, Connection, Connection, Connection]
  const tablet = connect(hub, first.user.userId, 'tablet').connection
  for (const connection of [first, second, fourth]) busy.add(connection)
  for (const connection of [first, second]) awaiting.add(connection)
  start({ delayMs: 0, timeoutMs: 30_000 })
  await clock.run(1_000)
  t.same([...stopped].map((connection) => [third, fourth, first, second, tablet].indexOf(connection)), [0, 1, 2, 3, 4])
})

t.test('[GW-END-1] whoever had passed the door before it closed is told and closed as well', async (t) => {
  const { start, add, clock, closes, told } = world()
  add(50)
  const state = start({ delayMs: 0, timeoutMs: 30_000 })
  await clock.run(200)
  const [late] = add(1, 'late') as [Connection]
  await clock.run(2000)
  t.ok(told.has(late))
  t.equal(closes.at(-1)?.connection, late)
  t.equal(closes.length, 51)
  t.ok(state.done)
})

t.test('[GW-END-1] clients that leave by themselves cost no turn, and an empty node is done at once', async (t) => {
  const { start, add, clock, closes, hub } = world()
  const all = add(1000)
  const state = start({ delayMs: 0, timeoutMs: 30_000 })
  await clock.run(100)
  for (const connection of all.slice(200)) {
    connection.state = 'closed'
    hub.remove(connection)
  }
  await clock.run(2500)
  t.ok(state.done)
  t.ok(closes.length <= 200)
  const empty = world()
  const done = empty.start({ delayMs: 0, timeoutMs: 1000 })
  await empty.clock.run(0)
  t.ok(done.done)
})

t.test('[GW-END-1] reconnects are spread over a second, with few frames for all', async (t) => {
  const { start, add, clock, told } = world()
  add(3000)
  start({ delayMs: 0, timeoutMs: 30_000 })
  await clock.run(100)
  const waits = [...told.values()].map(({ waitMs }) => waitMs)
  t.ok(Math.min(...waits) >= 0 && Math.max(...waits) < 1000)
  t.ok(new Set(waits).size > 40)
  t.ok(new Set([...told.values()].map(({ frame }) => frame)).size <= 50)
})

t.test('[GW-OBS-5] a drain that is cancelled takes clients again; those at their turn are still closed', async (t) => {
  const { drain, start, add, clock, closes, busy, phases, hub } = world()
  const all = add(500)
  for (const connection of all.slice(0, 2)) busy.add(connection)
  const state = start({ delayMs: 0, timeoutMs: 30_000 })
  await clock.run(1000)
  const before = closes.length
  drain.cancel()
  await clock.run(10_000)
  t.ok(state.done)
  t.equal(closes.length, before)
  t.notOk(drain.refusesUpgrades)
  t.same(phases, ['draining', 'serving'])
  t.same(drain.progress, { phase: 'off', total: 0, closed: 0, remaining: hub.connectionCount })
  t.equal(clock.pendingTimers, 0)
  drain.cancel()
  t.same(phases, ['draining', 'serving'], 'nothing to cancel')

  const busyOnly = world()
  const [one] = busyOnly.add(1) as [Connection]
  busyOnly.busy.add(one)
  busyOnly.start({ delayMs: 0, timeoutMs: 30_000 })
  await busyOnly.clock.run(200)
  busyOnly.drain.cancel()
  t.equal(busyOnly.closes.length, 1)
})

t.test('a shutdown frame says when it was sent, also where an earlier drain was cancelled', async (t) => {
  const { drain, start, add, clock, told } = world(() => 0)
  const timestampOf = ([connection]: Connection[]) => JSON.parse(told.get(connection as Connection)?.frame.subarray(2).toString() ?? '{}').timestamp
  for (const round of ['first', 'second']) {
    const startedAt = clock.unixMs()
    const connections = add(1, round)
    start({ delayMs: 0, timeoutMs: 30_000 })
    await clock.run(100)
    t.equal(timestampOf(connections), startedAt, round)
    drain.cancel()
    await clock.run(3_600_000)
  }
})

t.test('[GW-END-1] a signal joins a drain under way and hastens it', async (t) => {
  const { drain, start, add, clock, closes, startedAt } = world()
  add(2000)
  const slow = start({ delayMs: 60_000, timeoutMs: 600_000 })
  await clock.run(1000)
  const fast = start({ delayMs: 500, timeoutMs: 15_000 })
  start({ delayMs: 90_000, timeoutMs: 900_000 })
  await clock.run(500)
  t.ok(drain.refusesUpgrades, 'the shorter delay holds')
  await clock.run(15_000)
  t.ok(slow.done && fast.done)
  t.ok((closes.at(-1)?.at ?? 0) - startedAt <= 16_000)
  const held = start({ delayMs: 0, timeoutMs: 1000 })
  await clock.run(0)
  t.ok(held.done, 'an empty node has nothing to wait for')
})

t.test('[GW-END-1] whatever settles, comes and goes, everybody is told before it is closed and all are closed in time', async (t) => {
  const step = fc.record({ run: fc.integer({ min: 1, max: 3000 }), join: fc.integer({ min: 0, max: 40 }), leave: fc.integer({ min: 0, max: 20 }), settle: fc.integer({ min: 0, max: 50 }) })
  await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: 400 }), fc.array(step, { maxLength: 8 }), fc.double({ min: 0, max: 1, noNaN: true }), async (count, steps, share) => {
    const { start, add, clock, closes, busy, hub } = world(() => 0.5)
    for (const [at, connection] of add(count).entries()) if (at < count * share) busy.add(connection)
    const state = start({ delayMs: 1000, timeoutMs: 30_000 })
    let joined = 0
    for (const { run, join, leave, settle } of steps) {
      await clock.run(run)
      if (!state.done) joined += add(join, `late-${joined}`).length
      for (const connection of hub.all.slice(0, leave)) {
        connection.state = 'closed'
        hub.remove(connection)
      }
      for (const connection of [...busy].slice(0, settle)) busy.delete(connection)
    }
    await clock.run(30_000)
    return state.done && hub.connectionCount === 0 && peakPerSecond(closes) <= Math.max(MIN_CLOSES_PER_SECOND, 40) * 6
  }), { numRuns: 60, ...(process.env.FC_SEED !== undefined && { seed: Number(process.env.FC_SEED) }) })
})
