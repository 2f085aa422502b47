/** Pushes, receipts, presence and disconnects over a real hub, outbox and tracker; registry and other nodes are fakes. */
import t from 'tap'
import { GatewayError } from '../../../src/errors.ts'
import {
  Outcome, Scope, type DisconnectRequest, type DisconnectResponse, type PushMessageRequest, type PushMessageResponse, type PushReadReceiptRequest
} from '../../../src/generated/gateway/v1/gateway.ts'
import type { Routes } from '../../../src/ports.ts'
import type { Connection } from '../../../src/connections/connection.ts'
import { Hub } from '../../../src/connections/hub.ts'
import { Outbox } from '../../../src/connections/outbox.ts'
import type { PushSink } from '../../../src/delivery/delivery.ts'
import { Presence } from '../../../src/delivery/presence.ts'
import { Push, type PushOptions } from '../../../src/delivery/push.ts'
import { refusalStatus } from '../../../src/delivery/refusal.ts'
import { Tracker } from '../../../src/delivery/tracker.ts'
import { encodeWelcome } from '../../../src/protocol/encode.ts'
import { connect } from '../../helpers/connections.ts'
import { fakeDriver } from '../../helpers/fake-socket.ts'
import { FakeLogger, FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

type Answer = PushMessageResponse | GatewayError | Promise<PushMessageResponse>

class Sink implements PushSink {
  readonly answers: Array<{ correlation: number, response?: PushMessageResponse, error?: GatewayError }> = []
  settled (correlation: number, response: PushMessageResponse): void { this.answers.push({ correlation, response }) }
  refused (correlation: number, error: GatewayError): void { this.answers.push({ correlation, error }) }
  get response (): PushMessageResponse | undefined { return this.answers[0]?.response }
  get error (): GatewayError | undefined { return this.answers[0]?.error }
  /** `device outcome node` of the first answer. */
  get devices (): string[] | undefined {
    return this.response?.devices.map(({ deviceId, outcome, nodeId }) => `${deviceId} ${nameOf(outcome)} ${nodeId}`).sort()
  }
}

function nameOf (outcome: Outcome): string {
  return Object.entries(Outcome).find(([, value]) => value === outcome)?.[0].replace('OUTCOME_', '') ?? String(outcome)
}

function message (fields: Partial<PushMessageRequest> = {}): PushMessageRequest {
  return {
    msgId: 'm1',
    recipientId: 'bob',
    deviceId: '',
    senderId: 'ann',
    content: 'hello',
    messageType: 'text',
    sequenceNumber: 7n,
    timestamp: 1_700_000_000_000n,
    conversationId: '',
    metadata: {},
    excludeDeviceId: '',
    scope: Scope.CLUSTER,
    ...fields
  }
}

function receipt (fields: Partial<PushReadReceiptRequest> = {}): PushReadReceiptRequest {
  return { msgId: 'm1', senderId: 'bob', readerId: 'ann', conversationId: 'ann', readAt: 5n, scope: Scope.CLUSTER, ...fields }
}

function report (...devices: Array<[deviceId: string, outcome: Outcome, latencyMs?: number]>): PushMessageResponse {
  return {
    success: true,
    deliveredCount: 0,
    failedDevices: [],
    errorMessage: '',
    devices: devices.map(([deviceId, outcome, latencyMs = 1]) => ({ deviceId, outcome, nodeId: 'whatever', latencyMs })),
    routesIncomplete: false
  }
}

const route = (deviceId: string, nodeId: string) => ({ deviceId, nodeId, connectionId: 'c', since: 1_000 })

function world (options: Partial<PushOptions> & { outboxBytes?: number } = {}) {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const logger = new FakeLogger()
  const hub = new Hub()
  const slow: Connection[] = []
  const outbox = new Outbox({
    driver: fakeDriver,
    clock,
    meter,
    outboxBytes: options.outboxBytes ?? 1e6,
    outboxTotalBytes: 1e7,
    writeBufferBytes: 4096,
    writeWaitMs: 10_000,
    onSlow: (connection) => { slow.push(connection) }
  })
  const tracker = new Tracker({ clock, meter, outbox, maxPending: options.maxPending ?? 100, maxPendingBytes: 1e6 })
  // Answers of the registry, one read after the other; the last one stays.
  const reads: Array<Routes | GatewayError | Promise<Routes>> = []
  const asked: boolean[] = []
  const registry = {
    async locate (_userId: string, { fresh = false } = {}): Promise<Routes> {
      asked.push(fresh)
      const answer = (reads.length > 1 ? reads.shift() : reads[0]) ?? { devices: [], complete: true }
      if (answer instanceof GatewayError) throw answer
      return await answer
    },
    async nodeAddress (nodeId: string): Promise<string | undefined> { return nodeId === 'dead' ? undefined : `${nodeId}:9093` }
  }
  // Answers of the other nodes, one call after the other.
  const calls: Array<{ address: string, request: PushMessageRequest | PushReadReceiptRequest | DisconnectRequest, deadlineMs: number }> = []
  const answers: Answer[] = []
  const disconnects: Array<DisconnectResponse | GatewayError> = []
  const next = async (): Promise<PushMessageResponse> => {
    const answer = answers.shift() ?? new GatewayError('SERVICE_UNAVAILABLE')
    if (answer instanceof GatewayError) throw answer
    return await answer
  }
  const peers = {
    push: (address: string, request: PushMessageRequest, deadlineMs: number) => { calls.push({ address, request, deadlineMs }); return next() },
    pushReadReceipt: (address: string, request: PushReadReceiptRequest, deadlineMs: number) => { calls.push({ address, request, deadlineMs }); return next() },
    disconnect: async (address: string, request: DisconnectRequest, deadlineMs: number) => {
      calls.push({ address, request, deadlineMs })
      const answer = disconnects.shift() ?? new GatewayError('SERVICE_UNAVAILABLE')
      if (answer instanceof GatewayError) throw answer
      return answer
    },
    explain: () => Promise.reject(new Error('not asked'))
  }
  const push = new Push({ nodeId: 'n1', hub, outbox, tracker, registry, peers, clock, meter, logger, ackTimeoutMs: 5_000, maxPending: 100, maxPendingBytes: 1e6, ...options })
  const closed: Connection[] = []
  const presence = new Presence({ nodeId: 'n1', hub, registry, peers, logger, disconnect: (connection) => { hub.remove(connection); closed.push(connection) } })
  const deliver = (request: PushMessageRequest, deadlineMs = Infinity): Sink => {
    const sink = new Sink()
    push.deliver(request, deadlineMs, sink, 3)
    return sink
  }
  const deliverReceipt = (request: PushReadReceiptRequest, deadlineMs = Infinity): Sink => {
    const sink = new Sink()
    push.deliverReceipt(request, deadlineMs, sink)
    return sink
  }
  return { clock, meter, logger, hub, outbox, tracker, reads, asked, calls, answers, disconnects, push, presence, deliver, deliverReceipt, slow, closed }
}

t.test('[GW-ACK-1] a push answers when all devices have acknowledged, with their latencies, and the frame is what the contract says', async (t) => {
  const { clock, meter, hub, tracker, push, deliver } = world()
  const phone = connect(hub, 'bob', 'phone')
  const web = connect(hub, 'bob', 'web')
  const sink = deliver(message({ metadata: { color: 'red' }, conversationId: 'ann:bob' }))
  await settle()
  const frame = phone.socket.last('message')
  t.strictSame(frame, {
    type: 'message',
    msg_id: 'm1',
    sender: 'ann',
    recipient: 'ann:bob',
    content: 'hello',
    message_type: 'text',
    metadata: { color: 'red' },
    timestamp: 1_700_000_000_000,
    sequence_number: 7,
    ack_required: true
  })
  t.equal(phone.socket.writes[0], web.socket.writes[0], 'one frame is shared')
  clock.advance(12)
  tracker.ack(phone.connection, 'm1')
  t.equal(sink.answers.length, 0)
  t.equal(push.underWay, 1)
  clock.advance(30)
  tracker.ack(web.connection, 'm1')
  t.strictSame(sink.answers, [{
    correlation: 3,
    response: {
      success: true,
      deliveredCount: 2,
      failedDevices: [],
      errorMessage: '',
      devices: [
        { deviceId: 'phone', outcome: Outcome.OUTCOME_ACKED, nodeId: 'n1', latencyMs: 12 },
        { deviceId: 'web', outcome: Outcome.OUTCOME_ACKED, nodeId: 'n1', latencyMs: 42 }
      ],
      routesIncomplete: false
    }
  }])
  t.equal(meter.counted('push_outcomes_total ACKED'), 2)
  t.strictSame(meter.observations.get('delivery_seconds'), [0.012, 0.042])
  t.equal(push.underWay, 0)
  t.equal(clock.pendingTimers, 0)
})

t.test('[GW-ACK-1] each device gets its own outcome: acknowledged, timed out, gone, slow', async (t) => {
  const { clock, hub, tracker, deliver, slow } = world({ outboxBytes: 1_000 })
  const phone = connect(hub, 'bob', 'phone').connection
  connect(hub, 'bob', 'web')
  const tablet = connect(hub, 'bob', 'tablet').connection
  const full = connect(hub, 'bob', 'tv').connection
  full.queuedBytes = 999
  const sink = deliver(message())
  t.strictSame(slow, [full])
  tracker.ack(phone, 'm1')
  hub.remove(tablet)
  tracker.connectionClosed(tablet, 'gone')
  await clock.run(4_999)
  t.equal(sink.answers.length, 0)
  await clock.run(101)
  t.strictSame(sink.devices, ['phone ACKED n1', 'tablet GONE n1', 'tv SLOW n1', 'web ACK_TIMEOUT n1'])
  t.equal(sink.response?.success, true)
  t.equal(sink.response?.deliveredCount, 1)
  t.strictSame(sink.response?.failedDevices.sort(), ['tablet', 'tv', 'web'])
})

t.test('[GW-ACK-1] the wait is the lesser of the ACK timeout and the deadline less 250 ms', async (t) => {
  for (const [deadlineMs, waitMs] of [[Infinity, 5_000], [60_000, 5_000], [3_000, 2_750], [5_100, 4_850]] as const) {
    const { clock, hub, deliver } = world()
    connect(hub, 'bob', 'phone')
    const sink = deliver(message(), deadlineMs)
    await clock.run(waitMs - 1)
    t.equal(sink.answers.length, 0, `${deadlineMs}`)
    await clock.run(52)
    t.strictSame(sink.devices, ['phone ACK_TIMEOUT n1'], `${deadlineMs}`)
  }
  const { hub, deliver, meter } = world()
  const { socket } = connect(hub, 'bob', 'phone')
  const sink = deliver(message(), 250)
  t.equal(sink.error?.code, 'DEADLINE_EXCEEDED')
  t.equal(meter.counted('pushes_refused_total DEADLINE_EXCEEDED'), 1)
  await settle()
  t.equal(socket.writes.length, 0)
})

t.test('a push may name a device, or leave one out', async (t) => {
  const { hub, tracker, deliver, asked } = world()
  const phone = connect(hub, 'bob', 'phone')
  const web = connect(hub, 'bob', 'web')
  const named = deliver(message({ deviceId: 'web' }))
  tracker.ack(web.connection, 'm1')
  t.strictSame(named.devices, ['web ACKED n1'])
  t.strictSame(asked, [], 'a named device that is here needs no look into the registry')
  const rest = deliver(message({ msgId: 'm2', excludeDeviceId: 'web', scope: Scope.LOCAL }))
  tracker.ack(phone.connection, 'm2')
  t.strictSame(rest.devices, ['phone ACKED n1'])
  const absent = deliver(message({ deviceId: 'tv', scope: Scope.LOCAL }))
  t.strictSame(absent.devices, ['tv NOT_CONNECTED n1'])
  t.strictSame(absent.response?.failedDevices, ['tv'])
  t.strictSame(deliver(message({ recipientId: 'eve', scope: Scope.LOCAL })).devices, [])
  t.strictSame(asked, [], 'LOCAL asks nobody')
})

t.test('[GW-ACK-3] two pushes of one message are written once and both answered', async (t) => {
  const { hub, tracker, deliver } = world()
  const phone = connect(hub, 'bob', 'phone')
  const first = deliver(message())
  const second = deliver(message())
  await settle()
  t.strictSame(phone.socket.types, ['message'])
  tracker.ack(phone.connection, 'm1')
  t.strictSame(first.devices, ['phone ACKED n1'])
  t.strictSame(second.devices, ['phone ACKED n1'])
})

t.test('[GW-CON-6] of two connections of a device the registered one gets the push, and with its end the other one', async (t) => {
  const { hub, tracker, outbox, deliver } = world()
  const older = connect(hub, 'bob', 'phone')
  const newer = connect(hub, 'bob', 'phone', { held: true })
  const sink = deliver(message())
  await settle()
  t.strictSame(older.socket.types, ['message'])
  newer.connection.state = 'open'
  outbox.release(newer.connection, encodeWelcome({ connectionId: 'c', userId: 'bob', deviceId: 'phone', nodeId: 'n1', heartbeatIntervalMs: 1, heartbeatTimeoutMs: 1, maxMessageBytes: 1, tokenExpiresAtMs: 1 }, 1))
  older.connection.closedFor = 'replaced'
  hub.remove(older.connection)
  tracker.connectionClosed(older.connection, 'gone', newer.connection)
  await settle()
  t.strictSame(newer.socket.types, ['welcome', 'message'])
  tracker.ack(newer.connection, 'm1')
  t.strictSame(sink.devices, ['phone ACKED n1'])
  const again = deliver(message({ msgId: 'm2' }))
  await settle()
  t.strictSame(newer.socket.types, ['welcome', 'message', 'message'])
  tracker.ack(newer.connection, 'm2')
  await settle()
  t.strictSame(again.devices, ['phone ACKED n1'])
})

t.test('a push to a device that is still opening waits for its registration', async (t) => {
  const { hub, outbox, tracker, deliver } = world()
  const held = connect(hub, 'bob', 'phone', { held: true })
  const sink = deliver(message())
  await settle()
  t.equal(held.socket.writes.length, 0)
  held.connection.state = 'open'
  outbox.release(held.connection, encodeWelcome({ connectionId: 'c', userId: 'bob', deviceId: 'phone', nodeId: 'n1', heartbeatIntervalMs: 1, heartbeatTimeoutMs: 1, maxMessageBytes: 1, tokenExpiresAtMs: 1 }, 1))
  await settle()
  t.strictSame(held.socket.types, ['welcome', 'message'])
  tracker.ack(held.connection, 'm1')
  t.strictSame(sink.devices, ['phone ACKED n1'])
})

t.test('[GW-ACK-5] past the bounds a push is refused before anything is written', async (t) => {
  const { hub, deliver, meter, tracker } = world({ maxPending: 2 })
  const phone = connect(hub, 'bob', 'phone')
  connect(hub, 'eve', 'a')
  connect(hub, 'eve', 'b')
  deliver(message())
  const tooMany = deliver(message({ recipientId: 'eve', msgId: 'm2' }))
  t.equal(tooMany.error?.code, 'OVERLOADED')
  t.equal(tooMany.answers[0]?.correlation, 3)
  t.equal(refusalStatus('OVERLOADED'), 'RESOURCE_EXHAUSTED')
  t.equal(meter.counted('pushes_refused_total RESOURCE_EXHAUSTED'), 1)
  t.equal(tracker.size, 1)
  tracker.ack(phone.connection, 'm1')
  await settle()
  t.equal(deliver(message({ recipientId: 'eve', msgId: 'm2' })).error, undefined, 'there is room again')
})

t.test('[GW-ACK-5] pushes that wait for other nodes are bounded in number and bytes as well', async (t) => {
  for (const bound of [{ maxPending: 1 }, { maxPendingBytes: 250 }]) {
    const { deliver, reads, answers } = world(bound)
    reads.push({ devices: [route('phone', 'n2')], complete: true })
    answers.push(new Promise(() => {}))
    const first = deliver(message())
    await settle()
    t.equal(first.answers.length, 0)
    t.equal(deliver(message({ msgId: 'm2' })).error?.code, 'OVERLOADED')
  }
})

t.test('[GW-ACK-6] a field out of its limits is refused by its name', async (t) => {
  const { deliver, deliverReceipt, presence, hub, meter } = world({ maxFrameBytes: 2_000 })
  const { socket } = connect(hub, 'bob', 'phone')
  const metadata = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'v']))
  const pushes: Array<[string, Partial<PushMessageRequest>]> = [
    ['msg_id', { msgId: '' }],
    ['msg_id', { msgId: 'a b' }],
    ['msg_id', { msgId: 'x'.repeat(65) }],
    ['recipient_id', { recipientId: '' }],
    ['recipient_id', { recipientId: 'bob\n' }],
    ['device_id', { deviceId: 'a/b' }],
    ['sender_id', { senderId: '' }],
    ['message_type', { messageType: 'smell' }],
    ['sequence_number', { sequenceNumber: -1n }],
    ['sequence_number', { sequenceNumber: 2n ** 53n }],
    ['timestamp', { timestamp: -1n }],
    ['conversation_id', { conversationId: 'x'.repeat(129) }],
    ['metadata', { metadata }],
    ['exclude_device_id', { excludeDeviceId: 'ü' }],
    ['exclude_device_id', { deviceId: 'web', excludeDeviceId: 'web' }],
    ['scope', { scope: 9 as Scope }],
    ['content', { content: 'x'.repeat(2_000) }],
    ['content', { metadata: { key: 'ü'.repeat(1_000) } }]
  ]
  for (const [field, fields] of pushes) {
    const { error } = deliver(message(fields))
    t.equal(error?.code, 'INVALID_MESSAGE', field)
    t.match(error?.message, new RegExp(`^${field} `))
  }
  const receipts: Array<[string, Partial<PushReadReceiptRequest>]> = [
    ['msg_id', { msgId: '' }],
    ['sender_id', { senderId: '' }],
    ['reader_id', { readerId: '\u0000' }],
    ['conversation_id', { conversationId: '' }],
    ['read_at', { readAt: -1n }],
    ['scope', { scope: 9 as Scope }]
  ]
  for (const [field, fields] of receipts) t.match(deliverReceipt(receipt(fields)).error?.message, new RegExp(`^${field} `))
  t.equal(meter.counted('pushes_refused_total INVALID_ARGUMENT'), pushes.length + receipts.length)
  await t.rejects(presence.presence({ userIds: new Array<string>(101).fill('bob') }), { code: 'INVALID_MESSAGE', message: /^user_ids / })
  await t.rejects(presence.presence({ userIds: [''] }), { message: /^user_ids / })
  const disconnects: Array<[string, Partial<DisconnectRequest>]> = [['user_id', { userId: '' }], ['device_id', { deviceId: '/' }], ['reason', { reason: 'x'.repeat(257) }], ['scope', { scope: 9 as Scope }]]
  for (const [field, fields] of disconnects) {
    await t.rejects(presence.disconnect({ userId: 'bob', deviceId: '', reason: '', scope: Scope.LOCAL, ...fields }, Infinity), { code: 'INVALID_MESSAGE', message: new RegExp(`^${field} `) })
  }
  await settle()
  t.equal(socket.writes.length, 0)
})

t.test('[GW-ACK-6] what is just inside the limits passes', async (t) => {
  const { deliver, hub } = world()
  const { socket } = connect(hub, 'bob', 'phone')
  t.equal(deliver(message({ msgId: 'A-z_0.9:'.padEnd(64, 'x'), senderId: '😀'.repeat(128), messageType: '', sequenceNumber: 2n ** 53n - 1n, content: 'x'.repeat(64_000) })).error, undefined)
  await settle()
  t.equal(socket.last('message')?.message_type, 'text', 'as in send_msg, where the type may be left out')
  t.equal(socket.last('message')?.sequence_number, Number.MAX_SAFE_INTEGER)
  t.equal(socket.last('message')?.recipient, 'bob')
  t.notOk('metadata' in (socket.last('message') ?? {}))
})

t.test('devices on other nodes are reached by one call of scope LOCAL each, and the reports are merged', async (t) => {
  const { clock, hub, tracker, reads, calls, answers, deliver, meter } = world()
  const phone = connect(hub, 'bob', 'phone').connection
  reads.push({ devices: [route('phone', 'n1'), route('web', 'n2'), route('tv', 'n2'), route('tablet', 'n3'), route('left-out', 'n3')], complete: true })
  answers.push(report(['web', Outcome.OUTCOME_ACKED, 20], ['tv', Outcome.OUTCOME_ACK_TIMEOUT, 4_000], ['new', Outcome.OUTCOME_ACKED]), report(['tablet', Outcome.OUTCOME_GONE]))
  clock.advance(100)
  const sink = deliver(message({ excludeDeviceId: 'left-out' }))
  await settle()
  t.strictSame(calls.map(({ address }) => address), ['n2:9093', 'n3:9093'])
  t.match(calls[0]?.request, { scope: Scope.LOCAL, deviceId: '', excludeDeviceId: 'left-out', msgId: 'm1', content: 'hello' })
  t.equal(calls[0]?.deadlineMs, 5_750, 'what is left less 250 ms')
  t.equal(sink.answers.length, 0)
  tracker.ack(phone, 'm1')
  t.strictSame(sink.devices, ['new ACKED n2', 'phone ACKED n1', 'tablet GONE n3', 'tv ACK_TIMEOUT n2', 'web ACKED n2'])
  t.equal(sink.response?.devices.find(({ deviceId }) => deviceId === 'web')?.latencyMs, 20)
  t.equal(sink.response?.deliveredCount, 3)
  t.equal(meter.counted('push_outcomes_total ACKED'), 1, 'the other nodes count their own')
})

t.test('a device that is not where its route says has one more try, by a fresh read', async (t) => {
  const { reads, asked, calls, answers, deliver } = world()
  reads.push({ devices: [route('phone', 'n2'), route('web', 'n2')], complete: true }, { devices: [route('phone', 'n3'), route('web', 'n2')], complete: true })
  answers.push(report(['web', Outcome.OUTCOME_ACKED]), report(['phone', Outcome.OUTCOME_ACKED]))
  const sink = deliver(message())
  await settle()
  t.strictSame(asked, [false, true])
  t.strictSame(calls.map(({ address, request }) => `${address} ${(request as PushMessageRequest).deviceId}`), ['n2:9093 ', 'n3:9093 phone'])
  t.strictSame(sink.devices, ['phone ACKED n3', 'web ACKED n2'])
})

t.test('a second try that finds the device nowhere, or no answer again, is the end', async (t) => {
  const { reads, asked, calls, answers, deliver, meter } = world()
  reads.push({ devices: [route('phone', 'n2'), route('web', 'n3'), route('tv', 'dead')], complete: true }, { devices: [route('web', 'n3'), route('tv', 'dead')], complete: true })
  answers.push(report(), new GatewayError('SERVICE_UNAVAILABLE'), new GatewayError('SERVICE_UNAVAILABLE'))
  const sink = deliver(message())
  await settle()
  t.strictSame(sink.devices, ['phone NOT_CONNECTED ', 'tv UNREACHABLE dead', 'web UNREACHABLE n3'])
  t.equal(calls.length, 3)
  t.equal(asked.filter(Boolean).length, 3, 'each device has one')
  t.equal(meter.counted('push_outcomes_total UNREACHABLE'), 2)
  t.equal(meter.counted('push_outcomes_total NOT_CONNECTED'), 1)
  t.equal(sink.response?.success, false)
})

t.test('a node that refuses is not asked again, and the answer says why', async (t) => {
  const { reads, asked, answers, deliver } = world()
  reads.push({ devices: [route('phone', 'n2')], complete: true })
  answers.push(new GatewayError('OVERLOADED'))
  const sink = deliver(message())
  await settle()
  t.strictSame(sink.devices, ['phone UNREACHABLE n2'])
  t.equal(sink.response?.errorMessage, 'n2 refused: OVERLOADED')
  t.strictSame(asked, [false])
})

t.test('[GW-CON-6] a connection that was replaced on another node: LOCAL says NOT_CONNECTED at once, CLUSTER goes after it', async (t) => {
  const { clock, hub, tracker, reads, calls, answers, deliver } = world()
  const old = connect(hub, 'bob', 'phone').connection
  reads.push({ devices: [route('phone', 'n1')], complete: true }, { devices: [route('phone', 'n2')], complete: true })
  answers.push(report(['phone', Outcome.OUTCOME_ACKED, 10]))
  const local = deliver(message({ scope: Scope.LOCAL }))
  const cluster = deliver(message())
  await settle()
  await clock.run(3_000)
  old.closedFor = 'replaced'
  hub.remove(old)
  tracker.connectionClosed(old, 'gone')
  t.strictSame(local.devices, ['phone NOT_CONNECTED n1'])
  await settle()
  t.match(calls, [{ address: 'n2:9093', deadlineMs: 2_750 }], 'within the deadline of the first try')
  t.strictSame(cluster.devices, ['phone ACKED n2'])
  t.equal(cluster.response?.devices[0]?.latencyMs, 3_010)
})

t.test('a stale route to this node is looked up once more: the device may have come here, or be nowhere', async (t) => {
  const { hub, tracker, reads, deliver } = world()
  let answer: (routes: Routes) => void = () => {}
  reads.push({ devices: [route('phone', 'n1')], complete: true }, new Promise((resolve) => { answer = resolve }), { devices: [route('tv', 'n1')], complete: true })
  const came = deliver(message())
  await settle()
  const phone = connect(hub, 'bob', 'phone').connection
  answer({ devices: [route('phone', 'n1')], complete: true })
  await settle()
  tracker.ack(phone, 'm1')
  t.strictSame(came.devices, ['phone ACKED n1'])
  const stale = deliver(message({ deviceId: 'tv', msgId: 'm2' }))
  await settle()
  t.strictSame(stale.devices, ['tv NOT_CONNECTED n1'])
})

t.test('no second try where no time is left for one', async (t) => {
  const { clock, reads, asked, answers, calls, deliver } = world()
  reads.push({ devices: [route('phone', 'n2')], complete: true })
  let fail: (error: GatewayError) => void = () => {}
  answers.push(new Promise((_resolve, reject) => { fail = reject }))
  const sink = deliver(message(), 2_000)
  await settle()
  await clock.run(1_600)
  fail(new GatewayError('DEADLINE_EXCEEDED'))
  await settle()
  t.strictSame(sink.devices, ['phone UNREACHABLE n2'])
  t.strictSame(asked, [false])
  const short = deliver(message({ msgId: 'm2' }), 500)
  await settle()
  t.strictSame(short.devices, ['phone UNREACHABLE n2'], 'a node cannot be asked in 250 ms')
  t.equal(calls.length, 1)
})

t.test('no devices are no error; a registry that cannot be read never means offline', async (t) => {
  const { hub, tracker, reads, deliver, meter } = world()
  const nobody = deliver(message())
  await settle()
  t.strictSame(nobody.response, { success: false, deliveredCount: 0, failedDevices: [], errorMessage: '', devices: [], routesIncomplete: false })
  const named = deliver(message({ deviceId: 'phone' }))
  await settle()
  t.strictSame(named.devices, ['phone NOT_CONNECTED '])

  reads.push(new GatewayError('SERVICE_UNAVAILABLE'))
  const unknown = deliver(message())
  await settle()
  t.equal(unknown.error?.code, 'SERVICE_UNAVAILABLE')
  t.equal(meter.counted('pushes_refused_total UNAVAILABLE'), 1)
  const namedUnknown = deliver(message({ deviceId: 'phone' }))
  await settle()
  t.equal(namedUnknown.error?.code, 'SERVICE_UNAVAILABLE')

  const phone = connect(hub, 'bob', 'phone').connection
  const known = deliver(message())
  tracker.ack(phone, 'm1')
  await settle()
  t.strictSame(known.devices, ['phone ACKED n1'])
  t.equal(known.response?.routesIncomplete, true)
  const other = deliver(message({ deviceId: 'tv' }))
  await settle()
  t.strictSame(other.devices, ['tv NOT_CONNECTED '], 'the user is known, the device is not')
  t.equal(other.response?.routesIncomplete, true)
})

t.test('cached routes serve while the registry is away', async (t) => {
  const { reads, answers, deliver } = world()
  reads.push({ devices: [route('phone', 'n2')], complete: false })
  answers.push(report(['phone', Outcome.OUTCOME_ACKED]))
  const sink = deliver(message())
  await settle()
  t.strictSame(sink.devices, ['phone ACKED n2'])
  t.equal(sink.response?.routesIncomplete, true)
  const named = deliver(message({ deviceId: 'tv' }))
  await settle()
  t.strictSame(named.devices, ['tv NOT_CONNECTED '])
  t.equal(named.response?.routesIncomplete, true)
  answers.push(new GatewayError('SERVICE_UNAVAILABLE'))
  reads.push(new GatewayError('SERVICE_UNAVAILABLE'))
  const lost = deliver(message())
  await settle()
  t.strictSame(lost.devices, ['phone UNREACHABLE n2'], 'what was recorded stands where the second try comes to nothing')
})

t.test('[GW-ACK-1] a registry or a node that never answers does not outlast the deadline', async (t) => {
  const { clock, hub, tracker, reads, answers, deliver, push } = world()
  reads.push(new Promise(() => {}))
  const phone = connect(hub, 'bob', 'phone').connection
  const here = deliver(message())
  const nowhere = deliver(message({ recipientId: 'eve' }))
  tracker.ack(phone, 'm1')
  await clock.run(5_700)
  t.equal(here.answers.length, 0)
  await clock.run(150)
  t.strictSame(here.devices, ['phone ACKED n1'])
  t.equal(nowhere.error?.code, 'SERVICE_UNAVAILABLE')
  reads[0] = { devices: [route('web', 'n2')], complete: true }
  let late: (response: PushMessageResponse) => void = () => {}
  answers.push(new Promise((resolve) => { late = resolve }))
  const silent = deliver(message({ msgId: 'm2' }), 2_000)
  await clock.run(1_850)
  t.strictSame(silent.devices, ['phone ACK_TIMEOUT n1', 'web UNREACHABLE n2'])
  late(report(['web', Outcome.OUTCOME_ACKED]))
  await settle()
  t.equal(silent.answers.length, 1, 'an answer that comes later is dropped')
  t.equal(push.underWay, 0)
  t.equal(clock.pendingTimers, 0)
})

t.test('[GW-EVT-1] a read receipt is written to all sockets of the sender and awaits no ack', async (t) => {
  const { hub, deliverReceipt, tracker, meter, asked } = world()
  const phone = connect(hub, 'bob', 'phone')
  const next = connect(hub, 'bob', 'phone')
  const web = connect(hub, 'bob', 'web')
  const sink = deliverReceipt(receipt({ scope: Scope.LOCAL }))
  t.strictSame(sink.devices, ['phone WRITTEN n1', 'web WRITTEN n1'])
  t.match(sink.response, { success: true, deliveredCount: 2, failedDevices: [] })
  await settle()
  for (const { socket } of [phone, next, web]) {
    t.match(socket.last('read_receipt'), { msg_id: 'm1', reader_id: 'ann', conversation_id: 'ann', read_at: 5 })
  }
  t.equal(tracker.size, 0)
  t.equal(meter.counted('push_outcomes_total WRITTEN'), 2)
  t.strictSame(asked, [])
})

t.test('[GW-EVT-1] a read receipt goes to other nodes in scope CLUSTER; a socket that takes nothing is named', async (t) => {
  const { hub, deliverReceipt, reads, calls, answers } = world({ outboxBytes: 1_000 })
  const full = connect(hub, 'bob', 'phone').connection
  full.queuedBytes = 1_000
  reads.push({ devices: [route('phone', 'n1'), route('web', 'n2')], complete: true })
  answers.push(report(['web', Outcome.OUTCOME_WRITTEN]))
  const sink = deliverReceipt(receipt())
  await settle()
  t.strictSame(sink.devices, ['phone SLOW n1', 'web WRITTEN n2'])
  t.match(calls, [{ address: 'n2:9093', request: { scope: Scope.LOCAL, readerId: 'ann' } }])
})

t.test('presence joins what is here with what the registry knows', async (t) => {
  const { hub, presence, reads } = world()
  connect(hub, 'bob', 'phone')
  connect(hub, 'bob', 'opening', { held: true })
  reads.push({ devices: [route('phone', 'n2'), route('stale', 'n1'), route('web', 'n3')], complete: true })
  const answer = await presence.presence({ userIds: ['bob', 'bob'] })
  t.strictSame(answer, { users: [{ userId: 'bob', devices: [{ deviceId: 'phone', nodeId: 'n1', since: 0n }, { deviceId: 'web', nodeId: 'n3', since: 1_000n }] }], incomplete: false })
  reads[0] = new GatewayError('SERVICE_UNAVAILABLE')
  t.match(await presence.presence({ userIds: ['bob', 'eve'] }), { users: [{ devices: [{ deviceId: 'phone' }] }, { userId: 'eve', devices: [] }], incomplete: true })
})

t.test('a disconnect ends sockets here and on other nodes, and says when it could not', async (t) => {
  const { hub, presence, reads, calls, disconnects, closed } = world()
  connect(hub, 'bob', 'phone')
  connect(hub, 'bob', 'web')
  const request: DisconnectRequest = { userId: 'bob', deviceId: 'web', reason: 'abuse', scope: Scope.LOCAL }
  t.strictSame(await presence.disconnect(request, Infinity), { disconnected: 1 })
  t.strictSame(closed.map(({ deviceId }) => deviceId), ['web'])
  reads.push({ devices: [route('web', 'n2'), route('tv', 'n2'), route('phone', 'n1')], complete: true })
  disconnects.push({ disconnected: 2 })
  t.strictSame(await presence.disconnect({ ...request, deviceId: '', scope: Scope.CLUSTER }, 3_000), { disconnected: 3 })
  t.match(calls, [{ address: 'n2:9093', deadlineMs: 2_750, request: { scope: Scope.LOCAL, deviceId: '' } }])
  const cluster = { ...request, scope: Scope.CLUSTER }
  await t.rejects(presence.disconnect(cluster, Infinity), { code: 'SERVICE_UNAVAILABLE' }, 'the node does not answer')
  reads[0] = { devices: [route('web', 'dead')], complete: true }
  await t.rejects(presence.disconnect(cluster, Infinity), { code: 'SERVICE_UNAVAILABLE' }, 'the node has no address')
  reads[0] = { devices: [], complete: false }
  await t.rejects(presence.disconnect(cluster, Infinity), { code: 'SERVICE_UNAVAILABLE' }, 'who knows where else')
})
