/** Properties of what every frame and every byte passes through, each against a model. FC_SEED repeats a run. */
import { deepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Hub, type UserEntry } from '../../src/connections/hub.ts'
import { Outbox } from '../../src/connections/outbox.ts'
import type { Connection } from '../../src/connections/connection.ts'
import { RateLimits } from '../../src/connections/rate-limits.ts'
import { refill } from '../../src/connections/token-bucket.ts'
import { decode } from '../../src/protocol/decode.ts'
import { encodeMessage, textFrame } from '../../src/protocol/encode.ts'
import { MESSAGE_TYPES, type ClientFrame } from '../../src/protocol/frames.ts'
import { connect } from '../helpers/connections.ts'
import { fakeDriver, parseFrames, type FakeSocket } from '../helpers/fake-socket.ts'
import { FakeMeter } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

const seed = process.env.FC_SEED === undefined ? Date.now() % 2 ** 31 : Number(process.env.FC_SEED)
const runs = { seed, numRuns: 500 }
t.comment(`seed ${seed}`)

t.test('the decoder never throws, whatever bytes or JSON come', async (t) => {
  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.uint8Array().map((bytes) => Buffer.from(bytes).toString())), (text) => {
    const decoded = decode(text)
    return typeof decoded.ok === 'boolean'
  }), { ...runs, numRuns: 3000 })
  const field = fc.oneof(fc.constantFrom('send_msg', 'ack', 'heartbeat', 'auth', 'm1', 'bob'), fc.jsonValue())
  fc.assert(fc.property(fc.record({ type: field, msg_id: field, recipient: field, content: field, timestamp: field, metadata: field, msg_ids: field, token: field }, { requiredKeys: [] }), (frame) => {
    return typeof decode(JSON.stringify(frame)).ok === 'boolean'
  }), { ...runs, numRuns: 3000 })
  t.pass()
})

/** Objects as the decoder makes them. */
const OWN = { noNullPrototype: true } as const

t.test('decoding what a client encodes gives the frame it meant', async (t) => {
  const id = fc.stringMatching(/^[A-Za-z0-9._:-]{1,64}$/)
  const word = fc.string({ unit: 'grapheme', maxLength: 50 })
  const frame: fc.Arbitrary<ClientFrame> = fc.oneof(
    fc.record({
      type: fc.constant('send_msg' as const),
      msgId: id,
      recipient: fc.stringMatching(/^(group_)?[a-zA-Z0-9ü@/ ]{1,100}$/),
      isGroup: fc.constant(false),
      content: word,
      timestamp: fc.nat(),
      messageType: fc.constantFrom(...MESSAGE_TYPES),
      metadata: fc.option(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/).filter((key) => key !== 'constructor'), word, { maxKeys: 32, noNullPrototype: true }), { nil: undefined }),
      traceparent: fc.option(fc.stringMatching(/^[a-f0-9-]{1,55}$/), { nil: undefined })
    }, OWN).map((send) => ({ ...send, isGroup: send.recipient.startsWith('group_') })),
    fc.record({ type: fc.constant('ack' as const), msgIds: fc.array(id, { minLength: 1, maxLength: 256 }) }, OWN),
    fc.record({ type: fc.constant('heartbeat' as const), timestamp: fc.option(fc.nat(), { nil: undefined }) }, OWN),
    fc.record({ type: fc.constant('auth' as const), token: fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 100 }) }, OWN)
  )
  fc.assert(fc.property(frame, (meant) => {
    // Not by the test runner: what is in a frame makes no line of its output.
    deepStrictEqual(decode(JSON.stringify(wire(meant))), { ok: true, frame: meant })
  }), { ...runs, numRuns: 300 })
  t.pass()
})

function wire (frame: ClientFrame): object {
  switch (frame.type) {
    case 'send_msg': return {
      type: 'send_msg', msg_id: frame.msgId, recipient: frame.recipient, content: frame.content, timestamp: frame.timestamp, message_type: frame.messageType, metadata: frame.metadata, traceparent: frame.traceparent
    }
    case 'ack': return { type: 'ack', msg_ids: frame.msgIds }
    case 'heartbeat': return frame
    case 'auth': return frame
  }
}

t.test('a message frame is read back as it was meant, whatever is in it', async (t) => {
  const word = fc.string({ unit: 'grapheme' })
  fc.assert(fc.property(fc.record({ msgId: word, sender: word, recipient: word, content: word, timestamp: fc.nat(), sequenceNumber: fc.maxSafeNat() }), (message) => {
    const [frame] = parseFrames(encodeMessage({ ...message, messageType: 'text', metadata: undefined }, false))
    return frame?.msg_id === message.msgId && frame.sender === message.sender && frame.recipient === message.recipient && frame.content === message.content && frame.sequence_number === message.sequenceNumber
  }), runs)
  t.pass()
})

t.test('a token bucket never passes more than rate × time + burst, and refuses nobody below its rate', async (t) => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 1000 }), fc.array(fc.nat({ max: 400 }), { minLength: 1, maxLength: 300 }), (rate, waits) => {
    const clock = new ManualClock()
    const limits = new RateLimits({ clock, messagesPerSecond: rate })
    const user = { messageTokens: 0, messageTokensAtMs: 0, overLimitSinceMs: 0 } as UserEntry
    const start = clock.monotonicMs()
    let passed = 0
    for (const wait of waits) {
      clock.advance(wait)
      if (limits.takeMessage(user).pass) passed++
      if (passed > rate * (clock.monotonicMs() - start) / 1000 + rate + 1e-6) return false
    }
    const gentle = { messageTokens: 0, messageTokensAtMs: 0, overLimitSinceMs: 0 } as UserEntry
    for (let n = 0; n < 50; n++) {
      clock.advance(1000 / rate + 1e-6)
      if (!limits.takeMessage(gentle).pass) return false
    }
    return true
  }), runs)
  t.equal(refill({ ratePerSecond: 5, burst: 5 }, 1, 1000, 500), 1, 'a clock that went back gives nothing')
})

t.test('the hub\'s indexes agree after any sequence of connects and closes', async (t) => {
  const step = fc.record({ user: fc.constantFrom('a', 'b', 'c'), device: fc.constantFrom('x', 'y'), close: fc.nat() })
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const hub = new Hub()
    const online = new Set<string>()
    hub.listen({
      onUserOnline: (user) => { if (online.has(user.userId)) throw new Error('came twice'); online.add(user.userId) },
      onUserOffline: (user) => { if (!online.delete(user.userId)) throw new Error('went without coming') }
    })
    const model: Connection[] = []
    for (const { user, device, close } of steps) {
      if (close % 3 === 0 && model.length > 0) hub.remove(model.splice(close % model.length, 1)[0] as Connection)
      else model.push(connect(hub, user, device).connection)
      const ok = hub.connectionCount === model.length &&
        hub.all.every((connection, at) => connection.hubIndex === at && model.includes(connection)) &&
        ['a', 'b', 'c'].every((id) => {
          const own = model.filter((connection) => connection.user.userId === id)
          return online.has(id) === (own.length > 0) && (hub.user(id)?.connections.length ?? 0) === own.length &&
            ['x', 'y'].every((name) => hub.device(id, name) === own.filter((connection) => connection.deviceId === name).at(-1))
        })
      if (!ok) return false
    }
    return true
  }), runs)
  t.pass()
})

t.test('an outbox keeps order and bounds, and writes each frame once or closes', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('send' as const), to: fc.nat({ max: 2 }), size: fc.nat({ max: 300 }) }),
    fc.record({ kind: fc.constantFrom('stall', 'drain', 'alive'), to: fc.nat({ max: 2 }) }),
    fc.record({ kind: fc.constant('flush' as const) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.nat({ max: 4000 }) })
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
    const clock = new ManualClock()
    const hub = new Hub()
    const outbox: Outbox = new Outbox({
      driver: fakeDriver, clock, meter: new FakeMeter(), outboxBytes: 1000, outboxTotalBytes: 1800, writeBufferBytes: 256, writeWaitMs: 10_000, probeBytes: 2000, onSlow: (connection) => { connection.state = 'closing' }
    })
    const peers = ['a', 'b', 'c'].map((user) => ({ ...connect(hub, user), queued: [] as number[] }))
    let n = 0
    for (const each of steps) {
      if (each.kind === 'send') {
        const peer = peers[each.to]
        if (peer !== undefined && outbox.send(peer.connection, textFrame(JSON.stringify({ n: ++n, pad: 'x'.repeat(each.size) })), 'message') === 'queued') peer.queued.push(n)
      } else if (each.kind === 'flush') outbox.flush()
      else if (each.kind === 'wait') clock.advance(each.ms)
      else if (each.kind === 'alive') outbox.alive((peers[each.to] as { connection: Connection }).connection)
      else {
        const { socket, connection } = peers[each.to] as { socket: FakeSocket, connection: Connection }
        socket.stalled = each.kind === 'stall'
        if (each.kind === 'drain' && connection.state === 'open') {
          socket.buffered = 0
          outbox.drained(connection)
        }
      }
      if (outbox.waitingBytes < 0 || outbox.waitingBytes > 1800 + 400) return false
      if (peers.some(({ connection }) => connection.queuedBytes + connection.stalledBytes > 1000)) return false
    }
    for (const { socket, connection } of peers) {
      socket.stalled = false
      socket.buffered = 0
      if (connection.state === 'open') outbox.drained(connection)
    }
    outbox.flush()
    return outbox.waitingBytes === 0 && peers.every(({ socket, connection, queued }) => {
      const got = socket.frames.map((frame) => frame.n as number)
      return connection.state === 'open' ? String(got) === String(queued) : String(got) === String(queued.slice(0, got.length))
    })
  }), runs)
  t.pass()
})
