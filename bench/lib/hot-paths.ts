/** The paths that every message takes, each by itself. */
import pino from 'pino'
import { Connection } from '../../src/connections/connection.ts'
import { Hub, type UserEntry } from '../../src/connections/hub.ts'
import { Outbox } from '../../src/connections/outbox.ts'
import { RateLimits } from '../../src/connections/rate-limits.ts'
import { IDLE_ENTRY, TimerWheel, type WheelEntry } from '../../src/delivery/timer-wheel.ts'
import { systemClock as clock } from '../../src/embedded/system-clock.ts'
import { Recorder } from '../../src/explain/recorder.ts'
import { FanOut } from '../../src/groups/fan-out.ts'
import { MetricStore } from '../../src/metric-store.ts'
import type { Socket, SocketDriver } from '../../src/ports.ts'
import { decode } from '../../src/protocol/decode.ts'
import { encodeAck, encodeMessage } from '../../src/protocol/encode.ts'
import type { SendFrame } from '../../src/protocol/frames.ts'
import { Sender } from '../../src/upstream/sender.ts'

export interface Path {
  readonly name: string
  /** Of one repeat: some milliseconds, and less than the young generation holds. */
  readonly operations: number
  run (operations: number): void | Promise<void>
  /** Writes to sockets so far. */
  readonly writes?: () => number
}

const CONTENT = 'x'.repeat(200)
const MEMBERS = 1_000
const SENDERS = 100
const TICK_MS = 50
const WAIT_MS = 5_000

/** Holds the last result: what nobody keeps, the compiler does not always allocate. */
const kept: { result: unknown } = { result: undefined }

/** What the others are compared with: a parser that is no part of this project. */
export const REFERENCE: Path = {
  name: 'reference',
  operations: 20_000,
  run: (operations) => { for (let i = 0; i < operations; i++) kept.result = JSON.parse(SEND) }
}

const SEND = `{"type":"send_msg","msg_id":"m1","recipient":"u1","content":"${CONTENT}","timestamp":1700000000000}`
const MESSAGE = { msgId: 'm1', sender: 'u0', recipient: 'group', content: CONTENT, messageType: 'text', metadata: undefined, timestamp: 1_700_000_000_000, sequenceNumber: 7 } as const

export const PATHS: readonly Path[] = [
  { name: 'decode send_msg', operations: 20_000, run: (operations) => { for (let i = 0; i < operations; i++) kept.result = decode(SEND) } },
  { name: 'encode ack', operations: 20_000, run: (operations) => { for (let i = 0; i < operations; i++) kept.result = encodeAck('m1', i, 1_700_000_000_000) } },
  { name: 'encode message', operations: 20_000, run: (operations) => { for (let i = 0; i < operations; i++) kept.result = encodeMessage(MESSAGE, false) } },
  fanOut(),
  tokenBucket(),
  wheel(),
  sendAndAck()
]

function connectionOf (hub: Hub, n: number): Connection {
  const connection = new Connection({} as Socket, hub.userFor(`u${n}`), 'phone', n + 1, 0, 0, Number.MAX_SAFE_INTEGER, 0)
  connection.held = false
  connection.state = 'open'
  hub.add(connection)
  return connection
}

/** As fan-out and sender use it; `written` counts the writes to sockets that take all. */
function outboxOf (written: () => void): Outbox {
  const driver: SocketDriver = { write: () => { written(); return true }, bufferedBytes: () => 0, ping: () => {}, close: () => {}, terminate: () => {}, pause: () => {}, resume: () => {} }
  return new Outbox({ driver, clock, meter: new MetricStore(), outboxBytes: 1e6, outboxTotalBytes: 1e8, writeBufferBytes: 4096, writeWaitMs: 10_000, onSlow: () => {} })
}

/** What became ready in this turn leaves at its end. */
const endOfTurn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** One group message to a thousand members; the writes are those to sockets that take all. */
function fanOut (): Path {
  let written = 0
  const hub = new Hub()
  const outbox = outboxOf(() => { written++ })
  const members: UserEntry[] = Array.from({ length: MEMBERS }, (_, n) => connectionOf(hub, n).user)
  const fan = new FanOut({ outbox })
  const frame = encodeMessage(MESSAGE, false)
  return {
    name: `fan-out to ${MEMBERS.toLocaleString('en')}`,
    operations: 50,
    run: async (operations) => {
      for (let i = 0; i < operations; i++) {
        await fan.deliver(members, [frame], 'message')
        await endOfTurn()
      }
    },
    writes: () => written
  }
}

/** A message's way to an IM Service that accepts at once, and its ack; untraced, as most are. */
function sendAndAck (): Path {
  let written = 0
  const connections = Array.from({ length: SENDERS }, (_, n) => connectionOf(new Hub(), n))
  const accepted = Promise.resolve({ sequenceNumber: 7, timestampMs: 1_700_000_000_000 })
  const sender = new Sender({
    im: { route: () => accepted },
    policy: { run: (_, call) => call(WAIT_MS) },
    outbox: outboxOf(() => { written++ }),
    clock,
    meter: new MetricStore(),
    logger: pino({ enabled: false }),
    recorder: new Recorder({ clock, entries: 50_000, bytes: 16 * 1024 ** 2 }),
    maxPending: SENDERS,
    queueTimeoutMs: WAIT_MS,
    onSettled: () => {}
  })
  const { frame } = decode(SEND) as { frame: SendFrame }
  return {
    name: 'send and ack',
    operations: 10 * SENDERS,
    run: async (operations) => {
      for (let i = 0; i < operations; i += SENDERS) {
        for (const connection of connections) sender.submit(connection, frame)
        await accepted
        await endOfTurn()
      }
    },
    writes: () => written
  }
}

function tokenBucket (): Path {
  const limits = new RateLimits({ clock, messagesPerSecond: 1e9 })
  const connection = connectionOf(new Hub(), 0)
  return { name: 'token bucket', operations: 50_000, run: (operations) => { for (let i = 0; i < operations; i++) limits.takeFrame(connection) } }
}

class Entry implements WheelEntry {
  wheelNext: WheelEntry | null = IDLE_ENTRY.wheelNext
  wheelPrevious: WheelEntry | null = IDLE_ENTRY.wheelPrevious
  wheelSlot: number = IDLE_ENTRY.wheelSlot
  wheelTick: number = IDLE_ENTRY.wheelTick
}

function wheel (): Path {
  const timers = new TimerWheel({ clock, tickMs: TICK_MS, onDue: () => {} })
  return {
    name: 'timer wheel',
    operations: 50_000,
    run: (operations) => {
      for (let i = 0; i < operations; i++) {
        const entry = new Entry()
        timers.add(entry, WAIT_MS)
        timers.remove(entry)
      }
    }
  }
}
