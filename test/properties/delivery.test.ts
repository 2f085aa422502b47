/** Properties of waiting: the wheel against a list of deadlines, the tracker against a map. FC_SEED repeats a run. */
import fc from 'fast-check'
import t from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { Outcome, Scope, type PushMessageRequest, type PushMessageResponse } from '../../src/generated/gateway/v1/gateway.ts'
import { Hub } from '../../src/connections/hub.ts'
import type { Connection } from '../../src/connections/connection.ts'
import { IDLE_ENTRY, TimerWheel, type WheelEntry } from '../../src/delivery/timer-wheel.ts'
import { Push } from '../../src/delivery/push.ts'
import { Tracker } from '../../src/delivery/tracker.ts'
import type { WaitOutcome } from '../../src/delivery/pending.ts'
import { connect } from '../helpers/connections.ts'
import { FakeLogger, FakeMeter } from '../helpers/fakes.ts'
import { ManualClock, settle } from '../helpers/manual-clock.ts'

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

const DEVICES = ['phone', 'web', 'tv']

t.test('[GW-ACK-1] each push is answered once and in time, each device in it has one outcome, whatever devices, registry and nodes do', async (t) => {
  const step = fc.record({
    do: fc.constantFrom('push', 'push', 'push', 'ack', 'ack', 'ack', 'answer', 'answer', 'fail', 'connect', 'close', 'replace', 'move', 'route', 'registry', 'advance'),
    device: fc.constantFrom(...DEVICES),
    named: fc.boolean(),
    local: fc.boolean(),
    nth: fc.nat(5),
    ms: fc.nat(2_500)
  })
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
    const clock = new ManualClock()
    const hub = new Hub()
    const shared = { clock, meter: new FakeMeter() }
    const outbox = { send: (connection: Connection) => connection.state === 'open' ? 'queued' as const : 'closed' as const }
    const tracker = new Tracker({ ...shared, outbox, maxPending: 1e6, maxPendingBytes: 1e9 })
    /** Where the registry believes a device to be. */
    const routes = new Map<string, string>()
    let registryIs: 'up' | 'old' | 'down' = 'up'
    const calls: Array<{ request: PushMessageRequest, resolve (response: PushMessageResponse): void, reject (error: Error): void }> = []
    const push = new Push({
      ...shared,
      nodeId: 'n1',
      hub,
      outbox,
      tracker,
      logger: new FakeLogger(),
      registry: {
        locate: async () => {
          if (registryIs === 'down') throw new GatewayError('SERVICE_UNAVAILABLE')
          return { devices: [...routes].map(([deviceId, nodeId]) => ({ deviceId, nodeId, connectionId: 'c', since: 1 })), complete: registryIs === 'up' }
        },
        nodeAddress: async (nodeId) => nodeId
      },
      peers: {
        push: (_address, request) => new Promise((resolve, reject) => { calls.push({ request, resolve, reject }) }),
        pushReadReceipt: () => Promise.reject(new Error('not asked')),
        disconnect: () => Promise.reject(new Error('not asked')),
        explain: () => Promise.reject(new Error('not asked'))
      },
      ackTimeoutMs: 5_000,
      maxPending: 1e6,
      maxPendingBytes: 1e9
    })
    const faults: string[] = []
    const pushes: Array<{ request: PushMessageRequest, dueMs: number, answers: number }> = []
    const newest = (device: string): Connection | undefined => hub.device('bob', device)
    const end = (device: string, closedFor: Connection['closedFor'], successor?: Connection): void => {
      const connection = hub.user('bob')?.connections.find((each) => each.deviceId === device && each !== successor)
      if (connection === undefined) return
      connection.state = 'closing'
      connection.closedFor = closedFor
      hub.remove(connection)
      tracker.connectionClosed(connection, 'gone', successor ?? newest(device))
    }
    for (const { do: what, device, named, local, nth, ms } of steps) {
      switch (what) {
        case 'push': {
          const request: PushMessageRequest = {
            msgId: `m${nth}`, recipientId: 'bob', deviceId: named ? device : '', senderId: 'ann', content: '', messageType: 'text', sequenceNumber: 1n, timestamp: 1n, conversationId: '', metadata: {}, excludeDeviceId: '', scope: local ? Scope.LOCAL : Scope.CLUSTER
          }
          const deadlineMs = 1_000 + 3 * ms
          const entry = { request, dueMs: clock.monotonicMs() + Math.min(deadlineMs, 6_000), answers: 0 }
          pushes.push(entry)
          push.deliver(request, deadlineMs, {
            settled: (_correlation, response) => {
              entry.answers++
              if (clock.monotonicMs() > entry.dueMs) faults.push('answered after the deadline')
              const ids = response.devices.map(({ deviceId }) => deviceId)
              if (new Set(ids).size !== ids.length) faults.push('a device twice')
              if (response.devices.some(({ outcome }) => outcome === Outcome.OUTCOME_UNSPECIFIED)) faults.push('a device without outcome')
              if (named && (ids.length !== 1 || ids[0] !== device)) faults.push('not the device that was named')
              if (response.deliveredCount + response.failedDevices.length !== ids.length) faults.push('counts')
            },
            refused: (_correlation, error) => {
              entry.answers++
              if (error.code !== 'SERVICE_UNAVAILABLE' || local) faults.push(error.code)
            }
          })
          break
        }
        case 'ack': {
          const connection = newest(device)
          if (connection !== undefined) tracker.ack(connection, `m${nth}`)
          break
        }
        case 'answer': {
          const call = calls.splice(nth, 1)[0]
          const devices = (call?.request.deviceId === '' ? DEVICES : [call?.request.deviceId ?? '']).slice(0, nth)
          call?.resolve({ success: true, deliveredCount: 0, failedDevices: [], errorMessage: '', routesIncomplete: false, devices: devices.map((deviceId) => ({ deviceId, outcome: 1 + (ms % 6) as Outcome, nodeId: '', latencyMs: 1 })) })
          break
        }
        case 'fail': calls.splice(nth, 1)[0]?.reject(new GatewayError(named ? 'OVERLOADED' : 'SERVICE_UNAVAILABLE')); break
        case 'connect': if (newest(device) === undefined) connect(hub, 'bob', device); break
        case 'close': end(device, 'lost'); break
        case 'replace': end(device, 'replaced', connect(hub, 'bob', device).connection); break
        case 'move': end(device, 'replaced'); routes.set(device, 'n2'); break
        case 'route': if (named) routes.set(device, `n${1 + nth}`); else routes.delete(device); break
        case 'registry': registryIs = (['up', 'old', 'down'] as const)[nth % 3] as typeof registryIs; break
        default: await clock.run(ms)
      }
      if (what !== 'advance') await settle()
    }
    await clock.run(7_000)
    for (const call of calls) call.reject(new GatewayError('DEADLINE_EXCEEDED'))
    await clock.run(7_000)
    if (faults.length > 0) throw new Error(faults.join(', '))
    return pushes.every(({ answers }) => answers === 1) && push.underWay === 0 && tracker.size === 0 && clock.pendingTimers === 0
  }), { ...runs, numRuns: 200 })
  t.pass()
})
