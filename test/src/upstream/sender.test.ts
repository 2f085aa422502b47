import t from 'tap'
import { Hub } from '../../../src/connections/hub.ts'
import type { Connection } from '../../../src/connections/connection.ts'
import { GatewayError } from '../../../src/errors.ts'
import type { SendFrame } from '../../../src/protocol/frames.ts'
import { CallPolicy } from '../../../src/upstream/policy.ts'
import { SendLines } from '../../../src/upstream/send-lines.ts'
import { Sender, type SenderOptions } from '../../../src/upstream/sender.ts'
import { connect } from '../../helpers/connections.ts'
import { HeldIm } from '../../helpers/fake-im.ts'
import { parseFrames } from '../../helpers/fake-socket.ts'
import { FakeHealth, FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

interface Message { readonly recipient: string, following: Message | null }
interface Answer { readonly connection: Connection, readonly type: string, readonly frame: Readonly<Record<string, unknown>> }

function setUp (overrides: Partial<SenderOptions> = {}) {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const logger = new FakeLogger()
  const im = new HeldIm()
  const hub = new Hub()
  const answers: Answer[] = []
  const settled: Connection[] = []
  const policy = new CallPolicy({ service: 'im', timeoutMs: 5_000, attemptTimeoutMs: 2_000, clock, meter, logger, health: new FakeHealth() })
  const sender = new Sender({
    im,
    policy,
    outbox: { send: (connection, frame, type) => { answers.push({ connection, type, frame: parseFrames(frame)[0] as Answer['frame'] }) } },
    clock,
    meter,
    logger,
    maxPending: 1_000,
    queueTimeoutMs: 5_000,
    onSettled: (connection) => { settled.push(connection) },
    ...overrides
  })
  return { clock, meter, logger, im, hub, answers, settled, sender }
}

function frame (msgId: string, overrides: Partial<SendFrame> = {}): SendFrame {
  const recipient = overrides.recipient ?? 'bob'
  return {
    type: 'send_msg',
    msgId,
    recipient,
    isGroup: recipient.startsWith('group_'),
    content: 'hello',
    timestamp: 1,
    messageType: 'text',
    metadata: undefined,
    traceparent: undefined,
    ...overrides
  }
}

t.test('a message is acknowledged only after the IM Service accepted it, with its sequence number', async (t) => {
  const { sender, im, hub, answers, settled, meter, clock } = setUp()
  const { connection } = connect(hub, 'alice')
  sender.submit(connection, frame('m1'))
  await settle()
  t.same(answers, [])
  clock.advance(20)
  im.open[0]?.accept(7)
  await settle()
  t.match(answers, [{ connection, type: 'ack', frame: { type: 'ack', msg_id: 'm1', sequence_number: 7, timestamp: 1_700_000_000_000 } }])
  t.same(settled, [connection])
  t.equal(meter.counted('messages_routed_total private ok'), 1)
  t.same(meter.observations.get('send_seconds'), [0.02])
})

t.test('whatever is not an acceptance is an error frame with the msg_id, never an ack', async (t) => {
  const { sender, im, hub, answers, logger, clock, meter } = setUp()
  const { connection } = connect(hub, 'alice')
  const cases = [
    ['SENSITIVE_CONTENT', 'SENSITIVE_CONTENT', false], ['ROUTING_ERROR', 'ROUTING_ERROR', true], [new TypeError('secret detail'), 'INTERNAL_ERROR', true]
  ] as const
  for (const [at, [error, code, retryable]] of cases.entries()) {
    sender.submit(connection, frame(`m${at}`, { recipient: 'group_1' }))
    await settle()
    im.open[0]?.fail(error)
    await settle()
    t.match(answers[at], { type: 'error', frame: { type: 'error', msg_id: `m${at}`, error_code: code, retryable, timestamp: clock.unixMs() } })
    t.equal(meter.counted(`messages_routed_total group ${code}`), 1)
  }
  t.notMatch(JSON.stringify(answers.map((answer) => answer.frame)), 'secret detail')
  t.equal(logger.lines.filter(({ level }) => level === 'error').length, 1)
})

t.test('when nobody knows the outcome the same msg_id goes again, and then the error is retryable [GW-SND-4]', async (t) => {
  const { sender, im, hub, answers, clock } = setUp()
  const { connection } = connect(hub, 'alice')
  sender.submit(connection, frame('m1'))
  await settle()
  im.open[0]?.fail('DEADLINE_EXCEEDED')
  await settle()
  t.same(im.requests.map(({ msgId }) => msgId), ['m1', 'm1'])
  im.open[0]?.fail('DEADLINE_EXCEEDED')
  await clock.run(500)
  t.match(answers, [{ type: 'error', frame: { msg_id: 'm1', error_code: 'DEADLINE_EXCEEDED', retryable: true } }])
  t.equal(im.requests.length, 2)
})

t.test('of one connection and conversation one message is upstream at a time, retries included; others pass [GW-SND-3]', async (t) => {
  const { sender, im, hub, answers, clock } = setUp()
  const { connection } = connect(hub, 'alice')
  const { connection: tablet } = connect(hub, 'alice', 'tablet')
  for (const msgId of ['a1', 'a2', 'a3']) sender.submit(connection, frame(msgId))
  sender.submit(connection, frame('b1', { recipient: 'carol' }))
  sender.submit(connection, frame('g1', { recipient: 'group_1' }))
  sender.submit(tablet, frame('t1'))
  await settle()
  const upstream = () => im.open.map(({ request }) => request.msgId)
  t.same(upstream(), ['a1', 'b1', 'g1', 't1'])
  im.open[0]?.fail('SERVICE_UNAVAILABLE')
  await clock.run(20)
  t.same(upstream(), ['b1', 'g1', 't1'], 'a2 waits while a1 pauses before its second attempt')
  await clock.run(200)
  t.same(upstream(), ['b1', 'g1', 't1', 'a1'])
  im.open[3]?.accept()
  await settle()
  t.same(upstream(), ['b1', 'g1', 't1', 'a2'])
  im.open[3]?.fail('NOT_GROUP_MEMBER')
  await settle()
  t.same(upstream(), ['b1', 'g1', 't1', 'a3'], 'after a refusal the next goes as well')
  while (im.open.length > 0) im.open[0]?.accept()
  await settle()
  t.equal(answers.length, 6)
  t.equal(connection.sending, null, 'an idle connection keeps nothing')
  t.equal(sender.pending, 0)
})

t.test('at most 64 messages of a connection are queued or upstream; settling one makes room [GW-SND-3]', async (t) => {
  const { sender, im, hub, answers, settled, meter } = setUp()
  const { connection } = connect(hub, 'alice')
  const { connection: other } = connect(hub, 'bob')
  for (let at = 0; at < 64; at++) {
    t.notOk(sender.isFull(connection))
    sender.submit(connection, frame(`m${at}`, { recipient: `user-${at % 3}` }))
  }
  t.ok(sender.isFull(connection))
  t.notOk(sender.isFull(other))
  t.equal(meter.gauge('sends_in_flight'), 64)
  sender.submit(connection, frame('one too many'))
  t.match(answers, [{ type: 'error', frame: { error_code: 'OVERLOADED', retryable: true, msg_id: 'one too many' } }])
  await settle()
  im.open[0]?.accept()
  await settle()
  t.notOk(sender.isFull(connection))
  t.same(settled, [connection])
})

t.test('past the bound of all messages: OVERLOADED, and nothing else changes', async (t) => {
  const { sender, im, hub, answers } = setUp({ maxPending: 2 })
  const connections = ['a', 'b', 'c'].map((user) => connect(hub, user).connection)
  for (const connection of connections) sender.submit(connection, frame('m1'))
  t.match(answers, [{ connection: connections[2], frame: { error_code: 'OVERLOADED' } }])
  t.equal(connections[2]?.sending, null)
  await settle()
  while (im.open.length > 0) im.open[0]?.accept()
  await settle()
  t.equal(answers.filter(({ type }) => type === 'ack').length, 2)
})

t.test('the same message again joins the first: one upstream call, one ack each, on other devices too [GW-SND-5]', async (t) => {
  const { sender, im, hub, answers, meter, settled } = setUp()
  const { connection: phone } = connect(hub, 'alice')
  const { connection: tablet } = connect(hub, 'alice', 'tablet')
  const { connection: stranger } = connect(hub, 'mallory')
  for (const connection of [phone, phone, tablet]) sender.submit(connection, frame('m1'))
  sender.submit(stranger, frame('m1'))
  await settle()
  t.equal(im.requests.length, 2, 'another user\'s msg_id is another message')
  im.open[0]?.accept(5)
  await settle()
  t.same(answers.map(({ connection, frame }) => [connection, frame.sequence_number]), [[phone, 5], [phone, 5], [tablet, 5]])
  t.same(settled, [phone, phone, tablet])
  t.equal(meter.counted('messages_joined_total'), 2)
  t.equal(meter.observations.get('send_seconds')?.length, 3)
  sender.submit(phone, frame('m1'))
  await settle()
  t.equal(im.requests.length, 3, 'after the ack nothing is kept: the IM Service deduplicates')
})

t.test('a joined message shares an error as well [GW-SND-5]', async (t) => {
  const { sender, im, hub, answers } = setUp()
  const { connection } = connect(hub, 'alice')
  sender.submit(connection, frame('m1'))
  sender.submit(connection, frame('m1'))
  await settle()
  im.open[0]?.fail('RECIPIENT_NOT_FOUND')
  await settle()
  t.same(answers.map(({ frame }) => frame.error_code), ['RECIPIENT_NOT_FOUND', 'RECIPIENT_NOT_FOUND'])
})

t.test('the same msg_id with another recipient, type or content is INVALID_MESSAGE and leaves the first alone [GW-SND-5]', async (t) => {
  const { sender, im, hub, answers } = setUp()
  const { connection } = connect(hub, 'alice')
  sender.submit(connection, frame('m1'))
  for (const other of [{ recipient: 'carol' }, { messageType: 'image' }, { content: 'bye' }] as const) sender.submit(connection, frame('m1', other))
  t.same(answers.map(({ frame }) => [frame.error_code, frame.msg_id, frame.retryable]), Array.from({ length: 3 }, () => ['INVALID_MESSAGE', 'm1', false]))
  await settle()
  im.open[0]?.accept()
  await settle()
  t.equal(answers[3]?.type, 'ack')
  t.equal(im.requests.length, 1)
})

t.test('what follows a joined message on a new connection does not overtake it [GW-SND-3]', async (t) => {
  const { sender, im, hub, answers } = setUp()
  const { connection: old } = connect(hub, 'alice')
  const { connection: fresh } = connect(hub, 'alice')
  for (const msgId of ['m1', 'm2']) sender.submit(old, frame(msgId))
  for (const msgId of ['m1', 'm2', 'm3']) sender.submit(fresh, frame(msgId))
  await settle()
  for (const msgId of ['m1', 'm2', 'm3']) {
    t.same(im.open.map(({ request }) => request.msgId), [msgId])
    im.open[0]?.accept()
    await settle()
  }
  t.same(answers.filter(({ connection }) => connection === fresh).map(({ frame }) => frame.msg_id), ['m1', 'm2', 'm3'])
  t.equal(fresh.sending, null)
})

t.test('a call outlives its connection, the queued ones too; joined connections get their answer [GW-SND-5]', async (t) => {
  const { sender, im, hub, answers } = setUp()
  const { connection: lost } = connect(hub, 'alice')
  const { connection: back } = connect(hub, 'alice')
  sender.submit(lost, frame('m1'))
  sender.submit(lost, frame('m2'))
  hub.remove(lost)
  lost.state = 'closed'
  sender.submit(back, frame('m2'))
  await settle()
  im.open[0]?.accept()
  await settle()
  im.open[0]?.accept(9)
  await settle()
  t.same(im.requests.map(({ msgId }) => msgId), ['m1', 'm2'])
  t.match(answers.find(({ connection }) => connection === back), { frame: { msg_id: 'm2', sequence_number: 9 } })
  t.equal(sender.pending, 0)
})

t.test('sender and device are the session\'s, whatever the frame says [GW-SND-6]', async (t) => {
  const { sender, im, hub } = setUp()
  const { connection } = connect(hub, 'alice', 'phone')
  const forged = { ...frame('m1'), sender: 'eve', senderId: 'eve', sender_id: 'eve', senderDeviceId: 'x', device_id: 'x', traceparent: 't', metadata: { sender_id: 'eve' }, timestamp: 5 }
  sender.submit(connection, forged)
  await settle()
  t.same(im.requests, [{
    kind: 'private',
    msgId: 'm1',
    senderId: 'alice',
    senderDeviceId: 'phone',
    recipientId: 'bob',
    content: 'hello',
    messageType: 'text',
    metadata: { sender_id: 'eve' },
    clientTimestampMs: 5,
    traceparent: 't'
  }])
})

t.test('a message that waited too long behind others does not leave any more', async (t) => {
  const { sender, im, hub, answers, clock } = setUp({ queueTimeoutMs: 1_000 })
  const { connection } = connect(hub, 'alice')
  for (let at = 0; at < 64; at++) sender.submit(connection, frame(`m${at}`))
  await settle()
  await clock.run(1_001)
  im.open[0]?.accept()
  await settle()
  t.equal(im.requests.length, 1)
  t.equal(answers.length, 64)
  t.match(answers[63], { type: 'error', frame: { error_code: 'SERVICE_UNAVAILABLE', retryable: true, msg_id: 'm63' } })
  t.equal(connection.sending, null)
})

t.test('with the breaker open a message is answered without a call, with a hint when to retry [GW-SND-4]', async (t) => {
  const { sender, im, hub, answers } = setUp({ policy: { run: async () => { throw new GatewayError('SERVICE_UNAVAILABLE', { retryAfterMs: 1_000 }) } } })
  const { connection } = connect(hub, 'alice')
  sender.submit(connection, frame('m1'))
  await settle()
  t.match(answers, [{ frame: { error_code: 'SERVICE_UNAVAILABLE', retryable: true, retry_after_ms: 1_000 } }])
  t.equal(im.requests.length, 0)
})

t.test('a line lets nobody leave for a message that was not first, or is not there', async (t) => {
  const lines = new SendLines<Message>()
  const [first, second, third, unknown] = ['a', 'a', 'a', 'b'].map((recipient): Message => ({ recipient, following: null })) as [Message, Message, Message, Message]
  t.same([first, second, third].map((message) => lines.add(message)), [true, false, false])
  t.equal(lines.remove(second), undefined)
  t.equal(lines.remove(second), undefined)
  t.equal(lines.size, 2)
  t.equal(lines.remove(unknown), undefined)
  t.equal(lines.remove(first), third)
  t.equal(lines.remove(third), undefined)
  t.equal(lines.size, 0)
})
