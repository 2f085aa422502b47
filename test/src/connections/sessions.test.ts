import t from 'tap'
import type { AuthResult } from '../../../src/ports.ts'
import type { Connection } from '../../../src/connections/connection.ts'
import { Heartbeat } from '../../../src/connections/heartbeat.ts'
import { Hub } from '../../../src/connections/hub.ts'
import { EARLY_FRAMES, Inbound, MAX_INVALID_FRAMES } from '../../../src/connections/inbound.ts'
import { Outbox } from '../../../src/connections/outbox.ts'
import { RateLimits } from '../../../src/connections/rate-limits.ts'
import { Sessions } from '../../../src/connections/sessions.ts'
import type { CloseKind } from '../../../src/protocol/close-codes.ts'
import type { SendFrame } from '../../../src/protocol/frames.ts'
import { FakeRegistry } from '../../helpers/connections.ts'
import { fakeDriver, FakeSocket } from '../../helpers/fake-socket.ts'
import { FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

function world (options: { messagesPerSecond?: number, window?: number } = {}) {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const logger = new FakeLogger()
  const hub = new Hub()
  const registry = new FakeRegistry()
  const submitted: SendFrame[] = []
  const acked: string[] = []
  const trackerCloses: Array<{ reason: string, successor: Connection | undefined }> = []
  const state = { inFlight: 0, auth: { ok: false, code: 'INVALID_TOKEN' } as AuthResult | Error }
  const window = options.window ?? Infinity
  const close = (connection: Connection, kind: CloseKind): void => { sessions.close(connection, kind) }
  const outbox = new Outbox({
    driver: fakeDriver, clock, meter, outboxBytes: 100_000, outboxTotalBytes: 1_000_000, writeBufferBytes: 4096, writeWaitMs: 10_000, onSlow: (connection) => { close(connection, 'slowConsumer') }
  })
  const heartbeat = new Heartbeat({ hub, driver: fakeDriver, clock, intervalMs: 30_000, timeoutMs: 90_000, random: () => 0, close })
  const inbound = new Inbound({
    driver: fakeDriver,
    clock,
    meter,
    logger,
    outbox,
    limits: new RateLimits({ clock, messagesPerSecond: options.messagesPerSecond ?? 100 }),
    authenticator: {
      authenticate: async () => {
        if (state.auth instanceof Error) throw state.auth
        return state.auth
      }
    },
    registry,
    sender: {
      submit: (_connection, frame) => {
        submitted.push(frame)
        state.inFlight++
      },
      isFull: () => state.inFlight >= window
    },
    tracker: { ack: (_connection, msgId) => acked.push(msgId) },
    heartbeat,
    close
  })
  const sessions = new Sessions({
    nodeId: 'n1',
    startId: 's1',
    maxMessageBytes: 10_240,
    heartbeatIntervalMs: 30_000,
    heartbeatTimeoutMs: 90_000,
    hub,
    driver: fakeDriver,
    clock,
    meter,
    logger,
    outbox,
    inbound,
    heartbeat,
    registry,
    tracker: { connectionClosed: (_connection, reason, successor) => trackerCloses.push({ reason, successor }) }
  })
  heartbeat.start()
  const accept = (userId = 'ann', deviceId = 'phone', issuedAtMs: number | undefined = 1_000) => {
    const socket = new FakeSocket()
    const identity = { userId, deviceId, expiresAtMs: clock.unixMs() + 3_600_000, issuedAtMs }
    const connection = sessions.accept(socket.socket, { identity, deviceId, revision: 7, receivedAtMs: clock.monotonicMs() })
    return { socket, connection }
  }
  const say = (connection: Connection, frame: unknown): void => { inbound.onFrame(connection, Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)), false) }
  return { clock, meter, logger, hub, registry, submitted, acked, trackerCloses, state, sessions, inbound, outbox, accept, say }
}

const message = (n: number, recipient = 'bob') => ({ type: 'send_msg', msg_id: `m${n}`, recipient, content: 'hi', timestamp: 1 })

t.test('welcome is the first frame, once the session is registered [GW-CON-5]', async (t) => {
  const { accept, registry, sessions, meter, clock } = world()
  const { socket, connection } = accept()
  t.equal(connection.state, 'opening')
  t.match(registry.registered, [{ connectionId: sessions.idOf(connection), userId: 'ann', deviceId: 'phone' }])
  await settle()
  t.strictSame(socket.frames, [{
    type: 'welcome',
    connection_id: 's1.1',
    user_id: 'ann',
    device_id: 'phone',
    node_id: 'n1',
    heartbeat_interval_ms: 30_000,
    heartbeat_timeout_ms: 90_000,
    max_message_bytes: 10_240,
    token_expires_at: connection.tokenExpiresAtMs,
    timestamp: clock.unixMs()
  }])
  t.equal(meter.counted('connections_opened_total'), 1)
  t.equal(meter.gauge('connections'), 1)
  t.equal(meter.gauge('users'), 1)
})

t.test('frames that come before the welcome are kept in order, past 16 the socket is not read [GW-CON-5]', async (t) => {
  const { accept, registry, say, submitted, acked } = world()
  let register: (outcome: 'registered') => void = () => {}
  registry.outcome = new Promise((resolve) => { register = resolve })
  const { socket, connection } = accept()
  for (let n = 0; n < EARLY_FRAMES - 1; n++) say(connection, message(n))
  say(connection, { type: 'heartbeat' })
  say(connection, { type: 'ack', msg_id: 'x' })
  t.equal(socket.paused, false)
  say(connection, message(EARLY_FRAMES - 1))
  t.equal(socket.paused, true)
  t.equal(submitted.length, 0)
  register('registered')
  await settle()
  t.same(submitted.map((frame) => frame.msgId), Array.from({ length: EARLY_FRAMES }, (_, n) => `m${n}`))
  t.same(socket.types, ['welcome', 'heartbeat'])
  t.same(acked, ['x'])
  t.equal(socket.paused, false)
  t.equal(connection.inbox, null)
})

t.test('64 KiB of early messages stop the reading as well [GW-CON-5]', async (t) => {
  const { accept, registry, say } = world()
  registry.outcome = new Promise(() => {})
  const { socket, connection } = accept()
  for (let n = 0; n < 7; n++) say(connection, { ...message(n), content: 'x'.repeat(10_000) })
  t.equal(socket.paused, true)
  t.equal(connection.inbox?.length, 7)
})

t.test('the older connection of a device closes with 4409 once the newer is registered, and hands over its waits [GW-CON-6]', async (t) => {
  const { accept, registry, trackerCloses, hub } = world()
  const older = accept()
  await settle()
  let register: (outcome: 'registered') => void = () => {}
  registry.outcome = new Promise((resolve) => { register = resolve })
  const newer = accept()
  await settle()
  t.equal(older.socket.closedWith, undefined, 'both live while the put is under way')
  t.equal(hub.device('ann', 'phone'), newer.connection)
  register('registered')
  await settle()
  t.strictSame(older.socket.closedWith, { code: 4409, reason: 'replaced' })
  t.same(newer.socket.types, ['welcome'])
  t.strictSame(trackerCloses.map((each) => [each.reason, each.successor === newer.connection]), [['gone', true]])
  t.equal(hub.connectionCount, 1)
})

t.test('every outcome of a registration has its close code', async (t) => {
  for (const [outcome, code] of [['device_limit', 4429], ['unavailable', 1013], ['replaced', 4409]] as const) {
    const { accept, registry, hub } = world()
    registry.outcome = outcome
    const { socket } = accept()
    await settle()
    t.equal(socket.closedWith?.code, code)
    t.equal(socket.frames.length, 0, 'no welcome')
    t.equal(hub.connectionCount, 0)
    t.equal(registry.unregistered.length, 1)
  }
})

t.test('a registry that fails on its own closes with 1013 and is logged', async (t) => {
  const { accept, registry, logger } = world()
  registry.outcome = Promise.reject(new Error('bug'))
  const { socket } = accept()
  await settle()
  t.equal(socket.closedWith?.code, 1013)
  t.match(logger.lines.filter((line) => line.level === 'error'), [{ text: 'registration failed' }])
})

t.test('a socket that goes away while its put is under way is unregistered and never welcomed', async (t) => {
  const { accept, registry, sessions } = world()
  let register: (outcome: 'registered') => void = () => {}
  registry.outcome = new Promise((resolve) => { register = resolve })
  const { socket, connection } = accept()
  sessions.onSocketClosed(connection, 'lost')
  register('registered')
  await settle()
  t.equal(socket.writes.length, 0)
  t.equal(registry.unregistered.length, 1)
  t.equal(connection.state, 'closed')
})

t.test('an unregister that fails is logged, not lost', async (t) => {
  const { accept, registry, sessions, logger } = world()
  const { connection } = accept()
  await settle()
  registry.unregister = async () => { throw new Error('bug') }
  sessions.close(connection, 'disconnected')
  await settle()
  t.match(logger.lines.filter((line) => line.level === 'error'), [{ text: 'unregistering failed' }])
})

t.test('a close is counted once, by its reason, whoever began it', async (t) => {
  const { accept, sessions, meter } = world()
  const ours = accept()
  const theirs = accept('bob')
  const lost = accept('eve')
  await settle()
  sessions.close(ours.connection, 'disconnected')
  sessions.close(ours.connection, 'shutdown')
  sessions.onSocketClosed(ours.connection, 'clientClosed')
  sessions.onSocketClosed(ours.connection, 'clientClosed')
  sessions.onSocketClosed(theirs.connection, 'clientClosed')
  sessions.onSocketClosed(lost.connection, 'lost')
  t.equal(meter.counted('connections_closed_total disconnected'), 1)
  t.equal(meter.counted('connections_closed_total shutdown'), 0)
  t.equal(meter.counted('connections_closed_total client_closed'), 1)
  t.equal(meter.counted('connections_closed_total connection_lost'), 1)
  t.strictSame(ours.socket.closedWith, { code: 4403, reason: 'disconnected' })
  t.equal(theirs.socket.closedWith, undefined)
})

t.test('a slow reader\'s pushes are told that it was slow [GW-OUT-1]', async (t) => {
  const { accept, sessions, trackerCloses } = world()
  const { connection, socket } = accept()
  await settle()
  sessions.close(connection, 'slowConsumer')
  t.strictSame(trackerCloses, [{ reason: 'slow', successor: undefined }])
  t.equal(socket.closedWith?.code, 4001)
})

t.test('a connection that the registry says was replaced is closed, that very one', async (t) => {
  const { accept, registry, sessions } = world()
  const phone = accept()
  const laptop = accept('ann', 'laptop')
  await settle()
  registry.listener?.onReplaced(sessions.idOf(phone.connection), 'ann', 'laptop')
  registry.listener?.onReplaced('other', 'ann', 'phone')
  registry.listener?.onReplaced('other', 'nobody', 'phone')
  t.equal(phone.socket.closedWith, undefined)
  registry.listener?.onReplaced(sessions.idOf(phone.connection), 'ann', 'phone')
  t.equal(phone.socket.closedWith?.code, 4409)
  t.equal(laptop.socket.closedWith, undefined)
})

t.test('a revocation closes the sockets whose token is older, of the device it names', async (t) => {
  const { accept, registry } = world()
  const old = accept('ann', 'phone', 1_000)
  const fresh = accept('ann', 'laptop', 3_000)
  const ageless = accept('ann', 'tv')
  ageless.connection.tokenIssuedAtMs = undefined
  await settle()
  registry.listener?.onRevoked('ann', 'laptop', 2_000)
  registry.listener?.onRevoked('nobody', undefined, 2_000)
  t.same([old, fresh, ageless].map((each) => each.socket.closedWith?.code), [undefined, undefined, undefined])
  registry.listener?.onRevoked('ann', undefined, 2_000)
  t.same([old, fresh, ageless].map((each) => each.socket.closedWith?.code), [4403, undefined, 4403])
})

t.test('a token that was revoked during the handshake gets no session', async (t) => {
  const { accept, registry, hub } = world()
  registry.revoked.add('ann')
  const { socket } = accept()
  t.equal(socket.closedWith?.reason, 'revoked')
  t.equal(registry.registered.length, 0)
  t.equal(hub.connectionCount, 0)
})

t.test('a message goes to the sender, an ack to the tracker, a heartbeat is answered', async (t) => {
  const { accept, say, submitted, acked, meter, clock } = world()
  const { connection, socket } = accept()
  await settle()
  say(connection, message(1))
  say(connection, { type: 'ack', msg_ids: ['a', 'b'] })
  say(connection, { type: 'heartbeat', timestamp: 9 })
  await settle()
  t.match(submitted, [{ msgId: 'm1', recipient: 'bob' }])
  t.same(acked, ['a', 'b'])
  t.strictSame(socket.last('heartbeat'), { type: 'heartbeat', timestamp: clock.unixMs(), client_timestamp: 9 })
  for (const type of ['send_msg', 'ack', 'heartbeat']) t.equal(meter.counted(`frames_in_total ${type}`), 1)
})

t.test('each failure after the shape is one error frame with the msg_id, the socket stays [GW-SND-1]', async (t) => {
  const { accept, say, submitted } = world({ messagesPerSecond: 1 })
  const { connection, socket } = accept()
  await settle()
  say(connection, message(1, '\u0000'))
  say(connection, message(2, '\u0000'))
  say(connection, message(3))
  say(connection, 'nonsense')
  say(connection, { type: 'dance', msg_id: 'm4' })
  await settle()
  t.match(socket.frames.slice(1), [
    { type: 'error', error_code: 'INVALID_RECIPIENT', msg_id: 'm1', retryable: false },
    { type: 'error', error_code: 'RATE_LIMIT_EXCEEDED', msg_id: 'm2', retryable: true, retry_after_ms: 1000 },
    { type: 'error', error_code: 'RATE_LIMIT_EXCEEDED', msg_id: 'm3' },
    { type: 'error', error_code: 'INVALID_MESSAGE' },
    { type: 'error', error_code: 'UNKNOWN_MESSAGE_TYPE', msg_id: 'm4' }
  ])
  t.equal(socket.closedWith, undefined)
  t.equal(submitted.length, 0)
})

t.test('20 malformed frames in a row close with 4003, a good one between starts the count again', async (t) => {
  const { accept, say } = world()
  const { connection, socket } = accept()
  await settle()
  for (let n = 0; n < MAX_INVALID_FRAMES - 1; n++) say(connection, 'nonsense')
  say(connection, { type: 'heartbeat' })
  for (let n = 0; n < MAX_INVALID_FRAMES - 1; n++) say(connection, 'nonsense')
  t.equal(socket.closedWith, undefined)
  say(connection, 'nonsense')
  t.equal(socket.closedWith?.code, 4003)
  say(connection, message(1))
  await settle()
  t.equal(socket.frames.filter((frame) => frame.type === 'error').length, 2 * MAX_INVALID_FRAMES - 1, 'the last error left before the close')
})

t.test('a binary frame closes with 1003', async (t) => {
  const { accept, inbound } = world()
  const { connection, socket } = accept()
  await settle()
  inbound.onFrame(connection, Buffer.from([1]), true)
  t.equal(socket.closedWith?.code, 1003)
})

t.test('frames past ten times the rate are dropped unparsed and end in 4002, pings among them [GW-SND-1]', async (t) => {
  const { accept, say, inbound, meter } = world({ messagesPerSecond: 2 })
  const { connection, socket } = accept()
  await settle()
  for (let n = 0; n < 20; n++) say(connection, { type: 'ack', msg_id: 'x' })
  for (let n = 0; n < 5; n++) say(connection, 'nonsense')
  t.equal(meter.counted('frames_dropped_total'), 5)
  t.equal(meter.counted('frames_in_total invalid'), 0)
  for (let n = 0; n < 20; n++) inbound.onControl(connection)
  t.equal(socket.closedWith?.code, 4002)
})

t.test('persistent abuse of the message rate closes with 4002 [GW-SND-2]', async (t) => {
  const { accept, say, clock } = world({ messagesPerSecond: 2 })
  const { connection, socket } = accept()
  await settle()
  for (let n = 0; socket.closedWith === undefined && n < 60; n++) {
    say(connection, message(n))
    say(connection, message(n))
    clock.advance(250)
  }
  t.equal(socket.closedWith?.code, 4002)
})

t.test('behind a full window messages wait and the socket is not read, acks and heartbeats pass [GW-SND-3]', async (t) => {
  const { accept, say, state, submitted, acked, inbound } = world({ window: 2 })
  const { connection, socket } = accept()
  await settle()
  say(connection, message(0))
  t.equal(socket.paused, false)
  say(connection, message(1))
  t.equal(socket.paused, true, 'the message that fills the window stops the reading')
  // What the kernel had handed over already.
  for (let n = 2; n < 5; n++) say(connection, message(n))
  say(connection, { type: 'ack', msg_id: 'x' })
  say(connection, { type: 'heartbeat' })
  t.equal(submitted.length, 2)
  t.equal(socket.paused, true)
  t.same(acked, ['x'])
  state.inFlight = 1
  inbound.resume(connection)
  t.equal(submitted.length, 3)
  t.equal(socket.paused, true)
  state.inFlight = 0
  inbound.resume(connection)
  t.equal(submitted.length, 5)
  t.equal(socket.paused, true, 'full again')
  state.inFlight = 1
  inbound.resume(connection)
  t.equal(socket.paused, false)
  t.same(submitted.map((frame) => frame.msgId), ['m0', 'm1', 'm2', 'm3', 'm4'])
  inbound.resume(connection)
  t.equal(socket.paused, false)
})

t.test('a fresh token for the same user and device moves the end of the session [GW-CON-8]', async (t) => {
  const { accept, say, state, clock } = world()
  const { connection, socket } = accept()
  await settle()
  const expiresAtMs = clock.unixMs() + 7_200_000
  state.auth = { ok: true, identity: { userId: 'ann', deviceId: undefined, expiresAtMs, issuedAtMs: 5 } }
  say(connection, { type: 'auth', token: 'fresh' })
  await settle()
  t.match(socket.last('auth'), { token_expires_at: expiresAtMs })
  t.equal(connection.tokenExpiresAtMs, expiresAtMs)
  t.equal(connection.tokenIssuedAtMs, 5)
})

t.test('a token of somebody else, a bad one and a failing check are answered and change nothing [GW-CON-8]', async (t) => {
  const answers: Array<[AuthResult | Error, string]> = [
    [{ ok: true, identity: { userId: 'bob', deviceId: 'phone', expiresAtMs: 1, issuedAtMs: 1 } }, 'INVALID_TOKEN'],
    [{ ok: true, identity: { userId: 'ann', deviceId: 'laptop', expiresAtMs: 1, issuedAtMs: 1 } }, 'INVALID_TOKEN'],
    [{ ok: false, code: 'TOKEN_EXPIRED' }, 'TOKEN_EXPIRED'],
    [{ ok: false, code: 'SERVICE_UNAVAILABLE' }, 'SERVICE_UNAVAILABLE'],
    [new Error('bug'), 'INTERNAL_ERROR']
  ]
  for (const [answer, code] of answers) {
    const { accept, say, state } = world()
    const { connection, socket } = accept()
    await settle()
    const before = connection.tokenExpiresAtMs
    state.auth = answer
    say(connection, { type: 'auth', token: 'x' })
    await settle()
    t.equal(socket.last('error')?.error_code, code)
    t.equal(connection.tokenExpiresAtMs, before)
    t.equal(socket.closedWith, undefined)
  }
})

t.test('a token that names no device does not renew the session of a device whose tokens were revoked [GW-CON-2]', async (t) => {
  const { accept, say, state, registry } = world()
  const { connection, socket } = accept()
  await settle()
  const before = connection.tokenExpiresAtMs
  registry.revoked.add('ann phone')
  state.auth = { ok: true, identity: { userId: 'ann', deviceId: undefined, expiresAtMs: before + 1, issuedAtMs: 1 } }
  say(connection, { type: 'auth', token: 'old' })
  await settle()
  t.equal(socket.last('error')?.error_code, 'TOKEN_REVOKED')
  t.equal(connection.tokenExpiresAtMs, before)
  t.equal(connection.tokenIssuedAtMs, 1_000)
})

t.test('auth frames past their bucket are refused, and an answer for a closed connection is dropped [GW-CON-8]', async (t) => {
  const { accept, say, state, sessions } = world()
  const { connection, socket } = accept()
  await settle()
  for (let n = 0; n < 4; n++) say(connection, { type: 'auth', token: 'x' })
  await settle()
  t.same(socket.frames.slice(1).map((frame) => frame.error_code), ['RATE_LIMIT_EXCEEDED', 'INVALID_TOKEN', 'INVALID_TOKEN', 'INVALID_TOKEN'])
  const other = accept('bob')
  await settle()
  state.auth = { ok: true, identity: { userId: 'bob', deviceId: 'phone', expiresAtMs: 1, issuedAtMs: 1 } }
  say(other.connection, { type: 'auth', token: 'x' })
  sessions.close(other.connection, 'disconnected')
  await settle()
  t.not(other.connection.tokenExpiresAtMs, 1)
})

t.test('a draining connection takes no new message, its acks still count', async (t) => {
  const { accept, say, submitted, acked } = world()
  const { connection } = accept()
  await settle()
  connection.draining = true
  say(connection, message(1))
  say(connection, { type: 'ack', msg_id: 'x' })
  t.equal(submitted.length, 0)
  t.same(acked, ['x'])
})

t.test('a drained socket gets what waited', async (t) => {
  const { accept, say, sessions } = world()
  const { connection, socket } = accept()
  await settle()
  connection.blocked = true
  say(connection, { type: 'heartbeat' })
  await settle()
  t.equal(socket.last('heartbeat'), undefined)
  sessions.onSocketDrained(connection)
  await settle()
  t.ok(socket.last('heartbeat'))
})
