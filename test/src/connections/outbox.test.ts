import t from 'tap'
import { Hub } from '../../../src/connections/hub.ts'
import { Outbox } from '../../../src/connections/outbox.ts'
import type { SlowLimit } from '../../../src/connections/slow-readers.ts'
import { FrameJoiner } from '../../../src/connections/frame-joiner.ts'
import type { Socket } from '../../../src/ports.ts'
import type { Connection } from '../../../src/connections/connection.ts'
import { encodeHeartbeat, textFrame } from '../../../src/protocol/encode.ts'
import { connect } from '../../helpers/connections.ts'
import { fakeDriver } from '../../helpers/fake-socket.ts'
import { FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

function world (options: { outboxBytes?: number, outboxTotalBytes?: number, probeBytes?: number } = {}) {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const hub = new Hub()
  const slow: Array<{ connection: Connection, limit: SlowLimit }> = []
  const outbox = new Outbox({
    driver: fakeDriver,
    clock,
    meter,
    outboxBytes: options.outboxBytes ?? 1000,
    outboxTotalBytes: options.outboxTotalBytes ?? 5000,
    writeBufferBytes: 256,
    writeWaitMs: 10_000,
    ...(options.probeBytes === undefined ? {} : { probeBytes: options.probeBytes }),
    onSlow: (connection, limit) => {
      slow.push({ connection, limit })
      connection.state = 'closing'
    }
  })
  return { clock, meter, hub, slow, outbox }
}

const frame = (n: number, size = 20): Buffer => textFrame(JSON.stringify({ n, pad: 'x'.repeat(size) }))
const numbers = (frames: Array<Record<string, unknown>>): unknown[] => frames.map((each) => each.n)

t.test('frames of one turn leave in one write, in order [GW-OUT-2]', async (t) => {
  const { outbox, hub, meter } = world()
  const { connection, socket } = connect(hub, 'ann')
  for (let n = 0; n < 5; n++) t.equal(outbox.send(connection, frame(n), 'message'), 'queued')
  t.equal(socket.writes.length, 0)
  await settle()
  t.equal(socket.writes.length, 1)
  t.same(numbers(socket.frames), [0, 1, 2, 3, 4])
  outbox.send(connection, frame(5), 'ack')
  await settle()
  t.equal(socket.writes.length, 2)
  t.equal(outbox.waitingBytes, 0)
  t.equal(meter.counted('frames_out_total message'), 5)
  t.equal(meter.counted('frames_out_total ack'), 1)
  t.equal(meter.counted('bytes_written_total'), Buffer.concat(socket.writes).length)
})

t.test('writes hold whole frames up to the buffer size, a larger frame leaves alone [GW-OUT-2]', async (t) => {
  const { outbox, hub } = world()
  const { connection, socket } = connect(hub, 'ann')
  const sizes = [80, 80, 80, 300, 20, 20]
  sizes.forEach((size, n) => outbox.send(connection, frame(n, size), 'message'))
  await settle()
  t.same(socket.writes.map((write) => write.length <= 256 ? 'joined' : 'alone'), ['joined', 'joined', 'alone', 'joined'])
  t.same(numbers(socket.frames), [0, 1, 2, 3, 4, 5])
})

t.test('one shared frame is written to its receivers without a copy, a burst is joined once for all of them', async (t) => {
  const { outbox, hub } = world()
  const shared = frame(1)
  const receivers = ['a', 'b', 'c'].map((user) => connect(hub, user))
  for (const { connection } of receivers) outbox.send(connection, shared, 'message')
  await settle()
  for (const { socket } of receivers) t.equal(socket.writes[0], shared, 'the very buffer')
  const burst = [frame(2), frame(3)]
  for (const { connection } of receivers) for (const each of burst) outbox.send(connection, each, 'message')
  await settle()
  const joined = receivers[0]?.socket.writes[1]
  for (const { socket } of receivers) t.equal(socket.writes[1], joined, 'joined once')
})

t.test('the joiner keeps nothing from one flush to the next', async (t) => {
  const joiner = new FrameJoiner(256)
  const queue = [frame(1), frame(2)]
  const first = joiner.join(queue)
  t.equal(joiner.join([...queue]), first)
  t.not(joiner.join([queue[1] as Buffer, queue[0] as Buffer]), first)
  joiner.reset()
  t.not(joiner.join(queue), first)
})

t.test('a held outbox keeps frames, and the welcome leaves before them [GW-CON-5]', async (t) => {
  const { outbox, hub } = world()
  const { connection, socket } = connect(hub, 'ann', 'phone', { held: true })
  outbox.send(connection, frame(1), 'message')
  await settle()
  t.equal(socket.writes.length, 0)
  connection.state = 'open'
  outbox.release(connection, encodeHeartbeat(1, undefined))
  outbox.release(connection, encodeHeartbeat(2, undefined))
  await settle()
  t.same(socket.types, ['heartbeat', undefined])
  const { connection: empty, socket: other } = connect(hub, 'bob', 'phone', { held: true })
  outbox.release(empty, encodeHeartbeat(1, undefined))
  await settle()
  t.same(other.types, ['heartbeat'])
})

t.test('past OUTBOX_BYTES the reader is slow and gets no more [GW-OUT-1]', async (t) => {
  const { outbox, hub, slow, meter } = world({ outboxBytes: 200 })
  const { connection, socket } = connect(hub, 'ann')
  socket.stalled = true
  outbox.send(connection, frame(0, 100), 'message')
  await settle()
  t.ok(connection.blocked, 'the socket did not take it')
  t.equal(outbox.send(connection, frame(1, 100), 'message'), 'slow')
  t.match(slow, [{ limit: 'bytes' }])
  t.equal(outbox.send(connection, frame(2), 'message'), 'closed')
  t.equal(outbox.waitingBytes, 0)
  t.equal(outbox.watchedCount, 0)
  t.equal(meter.counted('evictions_total bytes'), 1)
})

t.test('bytes that wait longer than WRITE_WAIT make the reader slow; a drain in time does not [GW-OUT-1]', async (t) => {
  const { outbox, hub, slow, clock } = world()
  const stuck = connect(hub, 'ann')
  const late = connect(hub, 'bob')
  for (const { connection, socket } of [stuck, late]) {
    socket.stalled = true
    outbox.send(connection, frame(0), 'message')
  }
  await settle()
  clock.advance(5_000)
  outbox.send(late.connection, frame(1), 'message')
  await settle()
  t.equal(late.socket.writes.length, 1, 'held until the drain')
  late.socket.stalled = false
  late.socket.buffered = 0
  outbox.drained(late.connection)
  await settle()
  t.same(numbers(late.socket.frames), [0, 1])
  clock.advance(4_900)
  t.equal(slow.length, 0, 'not before its time')
  clock.advance(1_200)
  t.match(slow, [{ connection: stuck.connection, limit: 'age' }])
  t.equal(outbox.waitingBytes, 0)
  t.equal(clock.pendingTimers, 0, 'nobody is watched, no timer runs')
})

t.test('a little that the kernel left is not a stall once it has gone', async (t) => {
  const { outbox, hub, slow, clock } = world()
  const { connection, socket } = connect(hub, 'ann')
  socket.stalled = true
  outbox.send(connection, frame(0), 'message')
  await settle()
  connection.blocked = false // less than the high-water mark: no drain will be told
  socket.stalled = false
  outbox.send(connection, frame(1), 'message')
  await settle()
  t.equal(socket.writes.length, 2, 'written all the same')
  socket.buffered = 0
  clock.advance(60_000)
  t.equal(slow.length, 0)
  t.equal(outbox.waitingBytes, 0)
  socket.stalled = true
  outbox.send(connection, frame(2), 'message')
  await settle()
  connection.blocked = false
  socket.stalled = false
  socket.buffered = 0
  outbox.send(connection, frame(3), 'message')
  await settle()
  t.equal(connection.stalledSinceMs, 0, 'a write that was taken whole ends it')
})

t.test('what the kernel may hide is probed with a ping, and silence is slowness [GW-OUT-1]', async (t) => {
  const { outbox, hub, slow, clock } = world({ probeBytes: 100 })
  const silent = connect(hub, 'ann')
  const alive = connect(hub, 'bob')
  for (const { connection } of [silent, alive]) outbox.send(connection, frame(0, 200), 'message')
  await settle()
  t.equal(silent.socket.pings, 1)
  outbox.send(silent.connection, frame(1, 200), 'message')
  await settle()
  t.equal(silent.socket.pings, 1, 'one ping at a time')
  clock.advance(1_000)
  outbox.alive(alive.connection)
  clock.advance(9_500)
  t.match(slow, [{ connection: silent.connection, limit: 'silent' }])
  outbox.alive(alive.connection)
  t.equal(outbox.watchedCount, 0)
})

t.test('a socket that we do not read cannot answer a probe: its time begins when it is read again [GW-OUT-1]', async (t) => {
  const { outbox, hub, slow, clock } = world({ probeBytes: 100 })
  const { connection } = connect(hub, 'ann')
  outbox.send(connection, frame(0, 200), 'message')
  await settle()
  connection.pausedAtMs = 0
  clock.advance(30_000)
  t.strictSame(slow, [])
  connection.pausedAtMs = -1
  clock.advance(9_000)
  t.strictSame(slow, [])
  clock.advance(2_000)
  t.match(slow, [{ connection, limit: 'silent' }])
})

t.test('a probed reader that is stalled as well stays watched until it drains', async (t) => {
  const { outbox, hub } = world({ probeBytes: 10 })
  const { connection, socket } = connect(hub, 'ann')
  socket.stalled = true
  outbox.send(connection, frame(0), 'message')
  await settle()
  outbox.alive(connection)
  t.equal(outbox.watchedCount, 1)
  socket.buffered = 0
  connection.probedAtMs = 1
  outbox.drained(connection)
  t.equal(outbox.watchedCount, 1, 'still probed')
  outbox.alive(connection)
  t.equal(outbox.watchedCount, 0)
})

t.test('past OUTBOX_TOTAL_BYTES the largest backlog goes first [GW-OUT-1]', async (t) => {
  const { outbox, hub, slow } = world({ outboxTotalBytes: 800 })
  const small = connect(hub, 'ann')
  const large = connect(hub, 'bob')
  const held = connect(hub, 'eve', 'phone', { held: true })
  for (const { socket } of [small, large]) socket.stalled = true
  outbox.send(small.connection, frame(0, 100), 'message')
  outbox.send(large.connection, frame(0, 350), 'message')
  await settle()
  outbox.send(held.connection, frame(0, 200), 'message')
  t.equal(slow.length, 0)
  t.equal(outbox.send(small.connection, frame(1, 200), 'message'), 'queued')
  t.match(slow, [{ connection: large.connection, limit: 'total' }])
  t.equal(outbox.send(held.connection, frame(1, 600), 'message'), 'slow', 'a held queue counts as well')
  t.equal(slow.length, 2)
})

t.test('frames that may leave do so before anybody is evicted for the total', async (t) => {
  const { outbox, hub, slow } = world({ outboxTotalBytes: 300 })
  const { connection, socket } = connect(hub, 'ann')
  for (let n = 0; n < 5; n++) outbox.send(connection, frame(n, 80), 'message')
  await settle()
  t.equal(slow.length, 0)
  t.same(numbers(socket.frames), [0, 1, 2, 3, 4])
})

t.test('a connection that ends gets what waits, unless it is held or blocked', async (t) => {
  const { outbox, hub } = world()
  const ready = connect(hub, 'ann')
  const blocked = connect(hub, 'bob')
  const held = connect(hub, 'eve', 'phone', { held: true })
  blocked.socket.stalled = true
  outbox.send(blocked.connection, frame(0), 'message')
  await settle()
  for (const { connection } of [ready, blocked, held]) {
    outbox.send(connection, frame(1), 'error')
    connection.state = 'closing'
    outbox.finish(connection)
  }
  t.same([ready, blocked, held].map(({ socket }) => socket.writes.length), [1, 1, 0])
  await settle()
  t.same([ready, blocked, held].map(({ socket }) => socket.writes.length), [1, 1, 0], 'nothing after the close')
  outbox.release(held.connection, frame(2))
  await settle()
  t.equal(held.socket.writes.length, 0)
  t.equal(outbox.waitingBytes, 0)
})

t.test('a thousand stalled readers cost a healthy one nothing: serving it touches none of them [GW-OUT-3]', async (t) => {
  const calls = new Map<unknown, number>()
  const counted = <A extends unknown[], R>(call: (socket: Socket, ...args: A) => R) => (socket: Socket, ...args: A): R => {
    calls.set(socket, (calls.get(socket) ?? 0) + 1)
    return call(socket, ...args)
  }
  const clock = new ManualClock()
  const hub = new Hub()
  const outbox = new Outbox({
    driver: { ...fakeDriver, write: counted(fakeDriver.write), bufferedBytes: counted(fakeDriver.bufferedBytes) },
    clock,
    meter: new FakeMeter(),
    outboxBytes: 100_000,
    outboxTotalBytes: 100_000_000,
    writeBufferBytes: 256,
    writeWaitMs: 10_000,
    onSlow: () => {}
  })
  const stalled = Array.from({ length: 1000 }, (_, n) => connect(hub, `stalled${n}`))
  const healthy = connect(hub, 'ann')
  for (const { connection, socket } of stalled) {
    socket.stalled = true
    outbox.send(connection, frame(0), 'message')
  }
  await settle()
  calls.clear()
  for (let n = 0; n < 50; n++) {
    for (const { connection } of stalled) outbox.send(connection, frame(n), 'message')
    outbox.send(healthy.connection, frame(n), 'message')
    await settle()
  }
  t.equal(healthy.socket.writes.length, 50)
  t.equal([...calls.keys()].filter((socket) => socket !== healthy.socket.socket && socket !== healthy.connection.socket).length, 0)
})
