/** The wheel's edges and the tracker's rules; their properties are in test/properties/delivery.test.ts. */
import t from 'tap'
import { Hub } from '../../../src/connections/hub.ts'
import type { SendResult } from '../../../src/connections/outbox.ts'
import type { Connection } from '../../../src/connections/connection.ts'
import { IDLE_ENTRY, TimerWheel, type WheelEntry } from '../../../src/delivery/timer-wheel.ts'
import { Tracker, type TrackerOptions } from '../../../src/delivery/tracker.ts'
import type { PushWaiter, WaitOutcome } from '../../../src/delivery/pending.ts'
import { connect } from '../../helpers/connections.ts'
import { FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

class Entry implements WheelEntry {
  wheelNext: WheelEntry | null = IDLE_ENTRY.wheelNext
  wheelPrevious: WheelEntry | null = IDLE_ENTRY.wheelPrevious
  wheelSlot: number = IDLE_ENTRY.wheelSlot
  wheelTick: number = IDLE_ENTRY.wheelTick
  readonly name: string
  constructor (name: string) { this.name = name }
}

function wheelWorld (onDue: (entry: Entry) => void = () => {}) {
  const clock = new ManualClock()
  const fired: string[] = []
  const wheel = new TimerWheel<Entry>({ clock, tickMs: 50, slots: 8, onDue: (entry) => { fired.push(entry.name); onDue(entry) } })
  return { clock, fired, wheel }
}

t.test('a wheel keeps one native timer while entries exist, and none when they are gone', async (t) => {
  const { clock, fired, wheel } = wheelWorld()
  t.equal(clock.pendingTimers, 0)
  const [a, b] = [new Entry('a'), new Entry('b')]
  wheel.add(a, 100)
  wheel.add(b, 200)
  t.equal(clock.pendingTimers, 1)
  t.ok(wheel.remove(a))
  t.notOk(wheel.remove(a), 'it is gone already')
  clock.advance(10_000)
  t.strictSame(fired, ['b'])
  t.equal(wheel.size, 0)
  t.equal(clock.pendingTimers, 0)
  wheel.add(a, 100)
  wheel.remove(a)
  t.equal(clock.pendingTimers, 0)
})

t.test('an entry that fires may remove its neighbours, add new ones and itself again', async (t) => {
  const entries = ['a', 'b', 'c'].map((name) => new Entry(name)) as [Entry, Entry, Entry]
  const { clock, fired, wheel } = wheelWorld((entry) => {
    if (entry.name !== 'a' || fired.length > 1) return
    wheel.remove(entries[1])
    wheel.add(entry, 0)
  })
  for (const entry of entries) wheel.add(entry, 70)
  clock.advance(100)
  t.strictSame(fired, ['a', 'c'])
  clock.advance(50)
  t.strictSame(fired, ['a', 'c', 'a'])
})

t.test('waits of many rounds, a stall of many rounds and a moved entry fire once', async (t) => {
  const { clock, fired, wheel } = wheelWorld()
  const [long, moved] = [new Entry('long'), new Entry('moved')]
  wheel.add(long, 8 * 50 * 5 + 10)
  wheel.add(moved, 100)
  wheel.add(moved, 300)
  clock.advance(299)
  t.strictSame(fired, [])
  clock.advance(51)
  t.strictSame(fired, ['moved'])
  clock.advance(1_000_000)
  t.strictSame(fired, ['moved', 'long'])
  t.throws(() => new TimerWheel<Entry>({ clock, tickMs: 1, slots: 3, onDue: () => {} }), RangeError)
})

t.test('a wheel that is cleared fires nothing', async (t) => {
  const { clock, fired, wheel } = wheelWorld()
  wheel.add(new Entry('a'), 100)
  wheel.add(new Entry('b'), 500)
  wheel.clear()
  t.equal(wheel.size, 0)
  t.equal(clock.pendingTimers, 0)
  clock.advance(1_000)
  t.strictSame(fired, [])
})

t.test('an entry whose handler throws does not stop the others', async (t) => {
  const { clock, fired, wheel } = wheelWorld((entry) => { if (entry.name === 'bad') throw new Error('bad') })
  wheel.add(new Entry('bad'), 50)
  wheel.add(new Entry('good'), 50)
  t.throws(() => { clock.advance(50) }, /bad/)
  clock.advance(50)
  t.strictSame(fired, ['bad', 'good'])
  t.equal(wheel.size, 0)
})

function world (options: Partial<TrackerOptions> = {}) {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const hub = new Hub()
  const written: string[] = []
  const state: { answer: SendResult } = { answer: 'queued' }
  const outbox = {
    send: (connection: Connection, frame: Buffer): SendResult => {
      if (state.answer === 'queued') written.push(`${connection.user.userId}/${connection.deviceId}#${frame.toString()}`)
      return state.answer
    }
  }
  const tracker = new Tracker({ clock, meter, outbox, maxPending: 100, maxPendingBytes: 10_000, ...options })
  const outcomes: string[] = []
  const waiter = (name: string): PushWaiter => ({ settled: (deviceId: string, outcome: WaitOutcome) => { outcomes.push(`${name} ${deviceId} ${outcome}`) } })
  const push = (connection: Connection, msgId: string, name = msgId, waitMs = 5_000): void => { tracker.push(connection, msgId, Buffer.from(msgId), waitMs, waiter(name)) }
  return { clock, meter, hub, written, state, tracker, outcomes, push }
}

t.test('[GW-ACK-1] an ack settles its wait, silence settles it 5.0 to 5.1 s after the push', async (t) => {
  const { clock, hub, tracker, outcomes, push, written } = world()
  const { connection } = connect(hub, 'ann')
  clock.advance(13)
  push(connection, 'm1')
  push(connection, 'm2')
  t.strictSame(written, ['ann/phone#m1', 'ann/phone#m2'])
  tracker.ack(connection, 'm1')
  t.strictSame(outcomes, ['m1 phone ACKED'])
  clock.advance(4_999)
  t.equal(outcomes.length, 1)
  clock.advance(101)
  t.strictSame(outcomes, ['m1 phone ACKED', 'm2 phone ACK_TIMEOUT'])
  t.equal(tracker.size, 0)
  t.equal(tracker.bytes, 0)
  t.equal(connection.pending, null)
  t.equal(clock.pendingTimers, 0)
})

t.test('[GW-ACK-2] late, repeated, foreign and unknown acks have no effect and are counted by name', async (t) => {
  const { clock, hub, meter, tracker, outcomes, push } = world()
  const ann = connect(hub, 'ann').connection
  const bob = connect(hub, 'bob').connection
  push(ann, 'm1')
  tracker.ack(bob, 'm1')
  t.equal(meter.counted('acks_ignored_total foreign'), 1)
  t.strictSame(outcomes, [], 'another user cannot settle it')
  tracker.ack(ann, 'm1')
  tracker.ack(ann, 'm1')
  t.equal(meter.counted('acks_ignored_total repeated'), 1)
  push(ann, 'm2')
  clock.advance(6_000)
  tracker.ack(ann, 'm2')
  t.equal(meter.counted('acks_ignored_total late'), 1)
  tracker.ack(ann, 'm3')
  tracker.ack(bob, 'm1')
  t.equal(meter.counted('acks_ignored_total unknown'), 2)
  t.strictSame(outcomes, ['m1 phone ACKED', 'm2 phone ACK_TIMEOUT'])
})

t.test('[GW-ACK-3] a message pushed again while it waits is written once, both callers are answered, each by its own deadline', async (t) => {
  const { clock, hub, tracker, outcomes, push, written } = world()
  const { connection } = connect(hub, 'ann')
  push(connection, 'm1', 'first', 1_000)
  push(connection, 'm1', 'second', 3_000)
  push(connection, 'm1', 'third', 2_000)
  t.equal(written.length, 1)
  t.equal(tracker.size, 3)
  t.equal(tracker.bytes, 2, 'one frame is kept')
  clock.advance(1_100)
  t.strictSame(outcomes, ['first phone ACK_TIMEOUT'])
  push(connection, 'm1', 'fourth', 5_000)
  t.equal(written.length, 1, 'it still waits')
  clock.advance(1_000)
  tracker.ack(connection, 'm1')
  t.strictSame(outcomes.slice(1).sort(), ['fourth phone ACKED', 'second phone ACKED', 'third phone ACK_TIMEOUT'])
  t.equal(tracker.size, 0)
  push(connection, 'm1', 'later')
  t.equal(written.length, 2, 'nothing waits any more')
})

t.test('[GW-ACK-1] after a stall of the loop acks that wait in the sockets are read before their waits end', async (t) => {
  const { hub, clock, tracker, outcomes, push } = world()
  const { connection } = connect(hub, 'ann', 'phone')
  push(connection, 'm1')
  push(connection, 'm2')
  clock.stall(7_000)
  clock.setTimer(() => { tracker.ack(connection, 'm1') }, 0)
  clock.advance(0)
  t.strictSame(outcomes, ['m1 phone ACKED', 'm2 phone ACK_TIMEOUT'])
  push(connection, 'm3')
  clock.stall(7_000)
  clock.advance(0)
  t.strictSame(outcomes.slice(2), ['m3 phone ACK_TIMEOUT'], 'once for each stall')
  t.equal(clock.pendingTimers, 0)
})

t.test('[GW-ACK-4] a connection that closes settles what waits there at once, by the reason', async (t) => {
  const { hub, tracker, outcomes, push, clock } = world()
  const gone = connect(hub, 'ann', 'phone').connection
  const slow = connect(hub, 'ann', 'tablet').connection
  const elsewhere = connect(hub, 'ann', 'web').connection
  const opening = connect(hub, 'ann', 'watch').connection
  opening.held = true
  for (const connection of [gone, slow, elsewhere, opening]) push(connection, 'm1')
  push(gone, 'm2')
  elsewhere.closedFor = 'replaced'
  tracker.connectionClosed(gone, 'gone')
  tracker.connectionClosed(slow, 'slow')
  tracker.connectionClosed(elsewhere, 'gone')
  tracker.connectionClosed(elsewhere, 'gone')
  tracker.connectionClosed(opening, 'gone')
  t.strictSame(outcomes, ['m1 phone GONE', 'm2 phone GONE', 'm1 tablet SLOW', 'm1 web MOVED', 'm1 watch MOVED'], 'one that was never welcomed may be elsewhere still')
  t.equal(tracker.size, 0)
  t.equal(clock.pendingTimers, 0)
})

t.test('[GW-CON-6] what waits on a replaced connection is written once more to the new one, in order, and keeps its deadline', async (t) => {
  const { clock, hub, tracker, outcomes, push, written } = world()
  const older = connect(hub, 'ann').connection
  push(older, 'm1', 'a')
  push(older, 'm2', 'b')
  push(older, 'm2', 'c')
  push(older, 'm3', 'd')
  clock.advance(3_000)
  const newer = connect(hub, 'ann').connection
  push(newer, 'm3', 'e')
  written.length = 0
  hub.remove(older)
  tracker.connectionClosed(older, 'gone', newer)
  t.strictSame(written, ['ann/phone#m1', 'ann/phone#m2'], 'm3 was written there already')
  t.equal(older.pending, null)
  t.equal(tracker.bytes, 6)
  tracker.ack(newer, 'm2')
  tracker.ack(newer, 'm3')
  t.strictSame(outcomes.sort(), ['b phone ACKED', 'c phone ACKED', 'd phone ACKED', 'e phone ACKED'])
  clock.advance(2_000)
  t.equal(outcomes[4], 'a phone ACK_TIMEOUT')
  t.equal(tracker.size, 0)
  t.equal(tracker.bytes, 0)
})

t.test('[GW-ACK-3] a push joins what comes over from a connection that is closed to make room for it', async (t) => {
  let isFull = false
  const outbox = {
    send: (): SendResult => {
      if (isFull) {
        isFull = false
        hub.remove(older)
        tracker.connectionClosed(older, 'gone', newer)
      }
      return 'queued'
    }
  }
  const { hub, tracker, outcomes, push } = world({ outbox })
  const older = connect(hub, 'ann').connection
  push(older, 'm1', 'a')
  const newer = connect(hub, 'ann').connection
  isFull = true
  push(newer, 'm1', 'b')
  tracker.ack(newer, 'm1')
  t.strictSame(outcomes.sort(), ['a phone ACKED', 'b phone ACKED'])
  t.equal(tracker.size, 0)
  t.equal(tracker.bytes, 0)
  t.equal(newer.pending, null)
})

t.test('a successor that cannot take what waited settles it', async (t) => {
  const { hub, tracker, outcomes, push, state } = world({ maxPendingPerConnection: 1 })
  const older = connect(hub, 'ann').connection
  const newer = connect(hub, 'ann').connection
  push(older, 'm1')
  state.answer = 'slow'
  tracker.connectionClosed(older, 'gone', newer)
  t.strictSame(outcomes, ['m1 phone SLOW'])
  state.answer = 'queued'
  push(older, 'm2')
  state.answer = 'closed'
  tracker.connectionClosed(older, 'gone', newer)
  t.strictSame(outcomes.slice(1), ['m2 phone GONE'])
  state.answer = 'queued'
  push(newer, 'm3')
  push(older, 'm4')
  tracker.connectionClosed(older, 'gone', newer)
  t.strictSame(outcomes.slice(2), ['m4 phone SLOW'], 'as many wait there as may')
})

t.test('[GW-ACK-5] waits are bounded in number and bytes, in all and for one connection', async (t) => {
  const { hub, tracker, outcomes, push, meter } = world({ maxPending: 5, maxPendingBytes: 7, maxPendingPerConnection: 3 })
  const { connection } = connect(hub, 'ann')
  for (const msgId of ['m1', 'm2', 'm3', 'm4']) push(connection, msgId)
  t.strictSame(outcomes, ['m4 phone SLOW'], 'a device that answers nothing is slow')
  t.equal(meter.gauge('pending_pushes'), 3)
  t.ok(tracker.hasRoom(1, 1))
  t.notOk(tracker.hasRoom(1, 2), 'bytes')
  t.ok(tracker.hasRoom(2, 0))
  t.notOk(tracker.hasRoom(3, 0), 'number')
  push(connect(hub, 'bob').connection, 'long')
  t.equal(outcomes[1], 'long phone SLOW', 'whoever did not ask first finds no room either')
})

t.test('a connection that cannot be written to settles at once', async (t) => {
  const { hub, tracker, outcomes, push, state } = world()
  const { connection } = connect(hub, 'ann')
  state.answer = 'slow'
  push(connection, 'm1')
  state.answer = 'closed'
  push(connection, 'm2')
  t.strictSame(outcomes, ['m1 phone SLOW', 'm2 phone GONE'])
  t.equal(tracker.size, 0)
})

t.test('a flood of waits on one connection costs each ack the same', async (t) => {
  const { hub, tracker, outcomes, push } = world({ maxPending: 2_000, maxPendingBytes: 1e6 })
  const { connection } = connect(hub, 'ann')
  for (let i = 0; i < 1_000; i++) push(connection, `m${i}`)
  push(connection, 'm7', 'over')
  for (let i = 999; i >= 0; i--) tracker.ack(connection, `m${i}`)
  t.equal(outcomes.filter((line) => line.endsWith('ACKED')).length, 1_000)
  t.equal(outcomes[0], 'over phone SLOW')
  t.equal(tracker.size, 0)
  t.equal(connection.pending, null)
})
