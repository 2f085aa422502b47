/**
 * The node of the leak test, in a process of its own: an edge whose IM Service does what the recipient's name says. Asked
 * over IPC it tells what it holds: open files, timers, entries of every Map and Set of the process, objects by class.
 */
import { readdirSync } from 'node:fs'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Session } from 'node:inspector'
import { Socket } from 'node:net'
import { queryObjects } from 'node:v8'
import WebSocket from 'ws'
import { Connection } from '../../src/connections/connection.ts'
import { UserEntry } from '../../src/connections/hub.ts'
import { PendingList, PendingPush } from '../../src/delivery/pending.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { GatewayError } from '../../src/errors.ts'
import type { Admission, Clock, ImService, RouteAccepted, RouteRequest, SessionRef } from '../../src/ports.ts'
import { encodeMessage } from '../../src/protocol/encode.ts'
import { SendLines } from '../../src/upstream/send-lines.ts'
import { heldBy } from '../helpers/held.ts'
import { FakeRegistry } from '../helpers/connections.ts'
import { identityOf, startEdge } from '../helpers/edge.ts'

/** What the node holds; every figure has to come back. */
export interface Held { readonly [what: string]: number }
export interface Figures { readonly held: Held, readonly heapBytes: number, readonly opened: number }

const FLOOD_FRAMES = 1_000
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** Holds what is registered, and takes its time for devices of a name. */
class Registrations extends FakeRegistry {
  readonly sessions = new Set<string>()

  override async admit (_userId?: string, deviceId?: string): Promise<Admission> {
    return deviceId === 'hung' ? await new Promise<never>(() => {}) : { ok: true, revision: 1 }
  }

  override async register (session: SessionRef): Promise<'registered'> {
    this.sessions.add(session.connectionId)
    for (let turns = 0; session.deviceId === 'late' && turns < 5; turns++) await turn()
    return 'registered'
  }

  override async unregister (session: SessionRef): Promise<void> { this.sessions.delete(session.connectionId) }
}

/** Counts timers that have neither fired nor been cleared: unreferenced ones are in none of Node's own lists. */
function countingClock (): Clock & { readonly running: Set<unknown> } {
  const running = new Set<unknown>()
  return {
    ...systemClock,
    running,
    setTimer (call, delayMs) {
      const timer = systemClock.setTimer(() => {
        running.delete(timer)
        call()
      }, delayMs)
      running.add(timer)
      return timer
    },
    clearTimer (timer) {
      running.delete(timer)
      systemClock.clearTimer(timer)
    }
  }
}

const collect = global.gc
if (collect === undefined) throw new Error('run with --expose-gc')
const clock = countingClock()
const registry = new Registrations()
let opened = 0
let messages = 0

const im: ImService = {
  async route ({ recipientId, senderId, senderDeviceId, msgId }: RouteRequest): Promise<RouteAccepted> {
    const { hub, outbox, sessions, tracker } = app.gateway
    const connection = hub.device(senderId, senderDeviceId)
    const frame = (size: number): Buffer => encodeMessage({ msgId, sender: 'node', recipient: senderId, content: 'x'.repeat(size), messageType: 'text', timestamp: 0 } as never, true)
    switch (connection === undefined ? '' : recipientId) {
      case 'push': for (let n = 0; n < 3; n++) tracker.push(connection as Connection, `${msgId}-${n}`, frame(200), 600_000, { settled: () => {} }); break
      case 'close': sessions.close(connection as Connection, 'disconnected'); break
      case 'slow': for (let turns = 0; turns < 20; turns++) await turn(); break
      case 'refuse': throw new GatewayError('RECIPIENT_NOT_FOUND')
      case 'flood': {
        const large = frame(32_000)
        for (let n = 0; n < FLOOD_FRAMES && outbox.send(connection as Connection, large, 'message') === 'queued'; n++) await turn()
      }
    }
    return { sequenceNumber: ++messages, timestampMs: 1_700_000_000_000 }
  }
}

const { app, port } = await startEdge({
  registry,
  im,
  clock,
  authenticate: async (token) => token.startsWith('bad') ? { ok: false, code: 'INVALID_TOKEN' } : identityOf(token),
  perAddress: 1_000_000,
  perUser: 1_000_000,
  connections: { handshakeTimeoutMs: 500, maxConnectionsPerAddress: 10_000, maxPendingHandshakes: 1_000, maxPendingHandshakesPerAddress: 1_000 },
  core: { outboxBytes: 256 * 1024, maxPendingPushes: 100_000, maxPendingBytes: 100_000_000 },
  ws: { onAccepted: () => { opened++ } }
})

const inspector = new Session()
inspector.connect()

/** Prototypes are among the objects of a class, and have no size. */
const SUM_OF_SIZES = `function () {
  let sum = 0
  for (const each of this) try { sum += each.size } catch {}
  return sum
}`

/** Of all instances of a class in the process: how many entries they have together. Collects garbage first. */
function entriesOf (className: 'Map' | 'Set'): number {
  let entries = NaN
  inspector.post('Runtime.evaluate', { expression: `${className}.prototype` }, (_error, { result: prototype }) => {
    inspector.post('Runtime.queryObjects', { prototypeObjectId: prototype.objectId as string }, (_error, { objects }) => {
      const objectId = objects.objectId as string
      inspector.post('Runtime.callFunctionOn', { objectId, functionDeclaration: SUM_OF_SIZES, returnByValue: true }, (_error, { result }) => { entries = result.value as number })
      inspector.post('Runtime.releaseObject', { objectId })
    })
  })
  return entries
}

const CLASSES = { Connection, UserEntry, PendingPush, PendingList, SendLines, WebSocket, Socket, IncomingMessage, ServerResponse }

function held (): Held {
  const resources: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) resources[`resource ${kind}`] = (resources[`resource ${kind}`] ?? 0) + 1
  return {
    ...resources,
    descriptors: readdirSync('/proc/self/fd').length,
    timers: clock.running.size,
    ...heldBy(app.gateway),
    sessions: registry.sessions.size,
    ...Object.fromEntries(Object.entries(CLASSES).map(([name, type]) => [`${name} objects`, queryObjects(type as never, { format: 'count' }) as never])),
    'Map entries': entriesOf('Map'),
    'Set entries': entriesOf('Set')
  }
}

process.on('message', () => {
  const all = held()
  collect()
  collect()
  process.send?.({ held: all, heapBytes: process.memoryUsage().heapUsed, opened } satisfies Figures)
})
process.on('disconnect', () => { process.exit() })
process.send?.(port)
