/** Properties of waiting: the wheel against a list of deadlines, the tracker against a map. FC_SEED repeats a run. */
import fc from 'fast-check'
import t from 'tap'
import { Hub } from '../../src/connections/hub.ts'
import type { Connection } from '../../src/connections/connection.ts'
import { IDLE_ENTRY, TimerWheel, type WheelEntry } from '../../src/delivery/timer-wheel.ts'
import { Tracker } from '../../src/delivery/tracker.ts'
import type { WaitOutcome } from '../../src/delivery/pending.ts'
import { connect } from '../helpers/connections.ts'
import { FakeMeter } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

const seed = process.env.FC_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.FC_SEED)
const runs = { seed, numRuns: 500 }
t.comment(`seed ${seed}`)

class Entry implements WheelEntry {
  wheelNext: WheelEntry | null = IDLE_ENTRY.wheelNext
  wheelPrevious: WheelEntry | null = IDLE_ENTRY.wheelPrevious
  wheelSlot: number = IDLE_ENTRY.wheelSlot
  wheelTick: number = IDLE_ENTRY.wheelTick
  dueMs: number | undefined
}

t.test('a wheel fires each entry once, never early, at most one tick late', async (t) => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('add' as const), which: fc.nat(9), ms: fc.oneof(fc.nat(200), fc.nat(5_000)) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), which: fc.nat(9), ms: fc.constant(0) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('advance' as const), which: fc.constant(0), ms: fc.nat(700) }) }
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(1, 10, 50), fc.constantFrom(1, 4, 16), (steps, tickMs, slots) => {
    const clock = new ManualClock()
    const entries = Array.from({ length: 10 }, () => new Entry())
    const wheel = new TimerWheel<Entry>({
      clock,
      tickMs,
      slots,
      onDue: (entry) => {
        const due = entry.dueMs
        if (due === undefined) throw new Error('fired an entry that is not in the wheel')
        const lateMs = clock.monotonicMs() - due
        if (lateMs < 0 || lateMs > tickMs) throw new Error(`${lateMs} ms late`)
        entry.dueMs = undefined
      }
    })
    for (const { do: what, which, ms } of steps) {
      const entry = entries[which] as Entry
      if (what === 'add') {
        entry.dueMs = clock.monotonicMs() + ms
        wheel.add(entry, ms)
      } else if (what === 'remove') {
        if (wheel.remove(entry) !== (entry.dueMs !== undefined)) return false
        entry.dueMs = undefined
      } else {
        clock.advance(ms)
      }
      if (wheel.size !== entries.filter(({ dueMs }) => dueMs !== undefined).length) return false
      if (clock.pendingTimers !== (wheel.size > 0 ? 1 : 0)) return false
    }
    clock.advance(10_000)
    return wheel.size === 0 && entries.every(({ dueMs }) => dueMs === undefined)
  }), runs)
  t.pass()
})

/** One caller's wait in the model. */
interface Wait { readonly msgId: string, connection: Connection, readonly dueMs: number, outcome: WaitOutcome | undefined }

t.test('[GW-ACK-3] [GW-ACK-4] the tracker settles each wait once, as a model does, under any mix of pushes, acks, time and closes', async (t) => {
  const step = fc.record({
    do: fc.constantFrom('push', 'push', 'push', 'ack', 'ack', 'advance', 'close', 'replace', 'slow'),
    device: fc.constantFrom('phone', 'web'),
    msgId: fc.nat(25).map((n) => `m${n}`),
    ms: fc.nat(3_000)
  })
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const clock = new ManualClock()
    const hub = new Hub()
    const meter = new FakeMeter()
    let written = 0
    let expectedWrites = 0
    const tracker = new Tracker({ clock, meter, maxPending: 1e6, maxPendingBytes: 1e9, outbox: { send: () => { written++; return 'queued' } } })
    const devices = new Map([['phone', connect(hub, 'ann', 'phone').connection], ['web', connect(hub, 'ann', 'web').connection]])
    const waits: Wait[] = []
    const open = (connection: Connection, msgId?: string): Wait[] => waits.filter((wait) => wait.outcome === undefined && wait.connection === connection && (msgId === undefined || wait.msgId === msgId))
    /** Outcomes that the model says must have come by now. */
    const expected = new Map<Wait, WaitOutcome>()
    const expect = (list: Wait[], outcome: WaitOutcome): void => { for (const wait of list) expected.set(wait, outcome) }
    for (const { do: what, device, msgId, ms } of steps) {
      const connection = devices.get(device) as Connection
      switch (what) {
        case 'push': {
          if (open(connection, msgId).length === 0) expectedWrites++
          const wait: Wait = { msgId, connection, dueMs: clock.monotonicMs() + 2_000 + ms, outcome: undefined }
          waits.push(wait)
          tracker.push(connection, msgId, Buffer.alloc(ms % 100), 2_000 + ms, {
            settled: (deviceId, outcome) => {
              if (wait.outcome !== undefined || deviceId !== device) throw new Error('settled twice, or for another device')
              if (outcome === 'ACK_TIMEOUT') {
                const lateMs = clock.monotonicMs() - wait.dueMs
                if (lateMs < 0 || lateMs > 50) throw new Error(`${lateMs} ms late`)
                expected.set(wait, 'ACK_TIMEOUT')
              }
              wait.outcome = outcome
            }
          })
          break
        }
        case 'ack':
          expect(open(connection, msgId), 'ACKED')
          tracker.ack(connection, msgId)
          break
        case 'advance':
          clock.advance(ms)
          if (waits.some((wait) => wait.outcome === undefined && clock.monotonicMs() - wait.dueMs > 50)) return false
          break
        default: {
          const next = connect(hub, 'ann', device).connection
          devices.set(device, next)
          hub.remove(connection)
          const left = open(connection)
          if (what === 'replace') {
            expectedWrites += new Set(left.map((wait) => wait.msgId)).size
            for (const wait of left) wait.connection = next
            tracker.connectionClosed(connection, 'gone', next)
          } else {
            expect(left, what === 'slow' ? 'SLOW' : 'GONE')
            tracker.connectionClosed(connection, what === 'slow' ? 'slow' : 'gone')
          }
          if (connection.pending !== null) return false
        }
      }
      if (written !== expectedWrites) return false
      if (waits.some((wait) => wait.outcome !== expected.get(wait))) return false
      if (tracker.size !== waits.filter(({ outcome }) => outcome === undefined).length) return false
    }
    clock.advance(10_000)
    return waits.every(({ outcome }) => outcome !== undefined) && tracker.size === 0 && tracker.bytes === 0 && clock.pendingTimers === 0 &&
      hub.all.every(({ pending }) => pending === null)
  }), runs)
  t.pass()
})
