import { Client, credentials } from '@grpc/grpc-js'
import fc from 'fast-check'
import t from 'tap'
import { Delivery, type Whereabouts } from '../../demo/services/delivery.ts'
import { GroupPublisher } from '../../demo/services/group-publisher.ts'
import { listenIm } from '../../demo/services/im-server.ts'
import { ImStandIn } from '../../demo/services/im.ts'
import { Receipts } from '../../demo/services/receipts.ts'
import { MemoryMessageStore } from '../../demo/stores/memory-message-store.ts'
import { conversationOf, groupOf, participantsOf, type MessageStore } from '../../demo/stores/message-store.ts'
import { methodDefinition } from '../../plugins/lib/grpc-service.ts'
import { Outcome, Scope, type PushMessageRequest, type PushMessageResponse } from '../../src/generated/gateway/v1/gateway.ts'
import {
  DeliveryStatus, IMErrorCode, IMServiceDefinition, MessageType, type RouteBatchReply, type RouteGroupMessageRequest, type RoutePrivateMessageRequest
} from '../../src/generated/im/v1/im.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { FakeProducer, makeGate } from '../helpers/demo.ts'
import { ManualClock, settle } from '../helpers/manual-clock.ts'

type PushAnswer = (request: PushMessageRequest) => Promise<PushMessageResponse>

/** The IM Service with a broker, a registry and a gateway that do as they are told. */
function makeIm (options: { store?: MessageStore, producer?: FakeProducer } = {}) {
  const clock = new ManualClock()
  const logger = new FakeLogger()
  const store = options.store ?? new MemoryMessageStore()
  const producer = options.producer ?? new FakeProducer()
  const pushes: PushMessageRequest[] = []
  const whereabouts = new Map<string, Whereabouts>()
  const members = new Map([['group_a', new Set(['alice', 'bob'])]])
  const world = { answer: acked as PushAnswer, registryDown: false }
  const delivery = new Delivery({
    locate: async (userId) => {
      if (world.registryDown) throw new Error('no registry')
      return whereabouts.get(userId)
    },
    push: (gateway, request) => {
      pushes.push(request)
      return world.answer(request)
    },
    clock,
    logger
  })
  const publisher = new GroupPublisher({ producer, store, clock })
  const isMember = async (groupId: string, userId: string) => members.get(groupId)?.has(userId)
  const im = new ImStandIn({ store, delivery, publisher, isUser: (userId) => userId !== 'nobody', isMember, clock, logger })
  return { im, clock, logger, store, producer, pushes, whereabouts, members, world, isMember }
}

async function acked (request: PushMessageRequest): Promise<PushMessageResponse> {
  return report(true, Outcome.OUTCOME_ACKED)
}

function report (success: boolean, ...outcomes: Outcome[]): PushMessageResponse {
  const devices = outcomes.map((outcome, i) => ({ deviceId: `d${i}`, outcome, nodeId: 'n1', latencyMs: 1 }))
  return { success, deliveredCount: success ? 1 : 0, failedDevices: [], errorMessage: '', devices, routesIncomplete: false }
}

function toUser (msgId: string, senderId: string, recipientId: string, content = 'hi'): RoutePrivateMessageRequest {
  return { msgId, senderId, recipientId, content, messageType: MessageType.MESSAGE_TYPE_TEXT, metadata: {}, clientTimestamp: new Date(0), senderDeviceId: 'phone' }
}

function toGroup (msgId: string, senderId: string, groupId = 'group_a', content = 'hi'): RouteGroupMessageRequest {
  return { msgId, senderId, groupId, content, messageType: MessageType.MESSAGE_TYPE_TEXT, metadata: {}, clientTimestamp: new Date(0), senderDeviceId: 'phone' }
}

t.test('a conversation is the pair of users in any order; ids with separators share no name', async (t) => {
  t.equal(conversationOf('bob', 'alice', false), 'alice:bob')
  t.equal(conversationOf('alice', 'bob', false), 'alice:bob')
  t.strictSame(participantsOf('alice:bob'), ['alice', 'bob'])
  t.equal(participantsOf('group_a'), undefined)
  const id = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom('a', ':', '%', '3', 'A', '2', '5') })
  fc.assert(fc.property(id, id, id, id, (a, b, c, d) => {
    const same = JSON.stringify([a, b].sort()) === JSON.stringify([c, d].sort())
    t.equal(conversationOf(a, b, false) === conversationOf(c, d, false), same)
    t.strictSame([...participantsOf(conversationOf(a, b, false)) ?? []].sort(), [a, b].sort())
    t.equal(groupOf(conversationOf('x', a, true)), a)
    t.equal(participantsOf(conversationOf('x', a, true)), undefined)
  }), { numRuns: 200 })
})

t.test('numbers rise by exactly one in each conversation, whoever sends; a repeat gets its first number', async (t) => {
  const { im } = makeIm()
  const answers = await Promise.all([
    im.routePrivate(toUser('1', 'alice', 'bob')), im.routePrivate(toUser('1', 'bob', 'alice')), im.routePrivate(toUser('2', 'alice', 'carol')),
    im.routePrivate(toUser('1', 'alice', 'bob')), im.routePrivate(toUser('3', 'alice', 'bob')), im.routeGroup(toGroup('4', 'alice')), im.routeGroup(toGroup('4', 'bob'))
  ])
  t.strictSame(answers.map(({ sequenceNumber }) => sequenceNumber), [1n, 2n, 1n, 1n, 3n, 1n, 2n])
  t.strictSame(answers[0], { ...answers[3], deliveryStatus: DeliveryStatus.DELIVERY_STATUS_PENDING }, 'the repeat is answered like the first')
})

t.test('an id that comes again with other words, kind or recipient is refused and takes no number', async (t) => {
  const { im } = makeIm()
  await im.routePrivate(toUser('1', 'alice', 'bob'))
  const refused = IMErrorCode.IM_ERROR_CODE_INVALID_MESSAGE
  t.match(await im.routePrivate(toUser('1', 'alice', 'bob', 'ho')), { errorCode: refused })
  t.match(await im.routePrivate(toUser('1', 'alice', 'carol')), { errorCode: refused })
  t.match(await im.routePrivate({ ...toUser('1', 'alice', 'bob'), messageType: MessageType.MESSAGE_TYPE_IMAGE }), { errorCode: refused })
  t.match(await im.routeGroup(toGroup('1', 'alice')), { errorCode: refused })
  t.match(await im.routePrivate(toUser('2', 'alice', 'bob')), { sequenceNumber: 2n })
})

t.test('what cannot be accepted is refused by its code, with no number', async (t) => {
  const { im, members } = makeIm()
  t.match(await im.routePrivate(toUser('1', 'alice', 'nobody')), { errorCode: IMErrorCode.IM_ERROR_CODE_RECIPIENT_NOT_FOUND, sequenceNumber: 0n, deliveryStatus: DeliveryStatus.DELIVERY_STATUS_FAILED })
  t.match(await im.routePrivate(toUser('1', 'nobody', 'alice')), { errorCode: IMErrorCode.IM_ERROR_CODE_SENDER_NOT_FOUND })
  t.match(await im.routePrivate(toUser('', 'alice', 'bob')), { errorCode: IMErrorCode.IM_ERROR_CODE_INVALID_MESSAGE })
  t.match(await im.routePrivate(toUser('1', 'alice', 'bob', 'é'.repeat(4_097))), { errorCode: IMErrorCode.IM_ERROR_CODE_CONTENT_TOO_LONG })
  t.match(await im.routeGroup(toGroup('1', 'carol')), { errorCode: IMErrorCode.IM_ERROR_CODE_NOT_GROUP_MEMBER })
  t.match(await im.routeGroup(toGroup('1', 'alice', 'group_x')), { errorCode: IMErrorCode.IM_ERROR_CODE_GROUP_NOT_FOUND })
  members.get('group_a')?.add('carol')
  t.match(await im.routeGroup(toGroup('1', 'carol')), { errorCode: IMErrorCode.IM_ERROR_CODE_UNSPECIFIED, sequenceNumber: 1n })
})

t.test('a private message is pushed to the recipient, and to the sender\'s other devices under the recipient\'s name', async (t) => {
  const { im, pushes, whereabouts, store } = makeIm()
  whereabouts.set('alice', { gateway: 'g1', deviceIds: ['phone', 'laptop'] }).set('bob', { gateway: 'g2', deviceIds: ['phone'] })
  await im.routePrivate({ ...toUser('1', 'alice', 'bob'), metadata: { a: 'b' } })
  await settle()
  t.match(pushes, [
    { msgId: '1', recipientId: 'bob', conversationId: 'bob', excludeDeviceId: '', sequenceNumber: 1n, metadata: { a: 'b' }, messageType: 'text', scope: Scope.CLUSTER },
    { msgId: '1', recipientId: 'alice', conversationId: 'bob', excludeDeviceId: 'phone', sequenceNumber: 1n, senderId: 'alice' }
  ])
  t.match(await store.find('alice', '1'), { status: 'delivered' })
  t.match(await im.routePrivate({ ...toUser('1', 'alice', 'bob'), metadata: { a: 'b' } }), { deliveryStatus: DeliveryStatus.DELIVERY_STATUS_DELIVERED })
  await settle()
  t.equal(pushes.length, 2, 'a repeat is not pushed again')

  await im.routePrivate(toUser('2', 'alice', 'alice'))
  await settle()
  t.match(pushes.slice(2), [{ recipientId: 'alice', excludeDeviceId: 'phone' }], 'a note to oneself goes to the other devices, once')
})

t.test('a push that no device acknowledged is tried again after 1, 2 and 4 seconds, then the message is offline', async (t) => {
  const { im, clock, pushes, whereabouts, world, store } = makeIm()
  whereabouts.set('bob', { gateway: 'g', deviceIds: ['phone'] })
  world.answer = async () => report(false, Outcome.OUTCOME_ACK_TIMEOUT)
  await im.routePrivate(toUser('1', 'alice', 'bob'))
  await settle()
  t.equal(pushes.length, 1)
  for (const [waitMs, expected] of [[999, 1], [1, 2], [1_999, 2], [1, 3], [3_999, 3], [1, 4], [60_000, 4]] as const) {
    await clock.run(waitMs)
    t.equal(pushes.length, expected, `after ${waitMs} ms more`)
  }
  t.match(await store.find('alice', '1'), { status: 'offline' })
  t.match(await im.routePrivate(toUser('1', 'alice', 'bob')), { deliveryStatus: DeliveryStatus.DELIVERY_STATUS_OFFLINE })
  t.match(await store.history('alice:bob', 0n, 10), [{ msgId: '1', sequenceNumber: 1n }])
})

t.test('a gateway or a registry that does not answer is a failed try, a device that answers the second one ends it', async (t) => {
  const { im, clock, pushes, whereabouts, world, store } = makeIm()
  whereabouts.set('bob', { gateway: 'g', deviceIds: ['phone'] })
  world.registryDown = true
  await im.routePrivate(toUser('1', 'alice', 'bob'))
  await settle()
  t.equal(pushes.length, 0)
  world.registryDown = false
  world.answer = () => Promise.reject(new Error('no gateway'))
  await clock.run(1_000)
  t.equal(pushes.length, 1)
  world.answer = acked
  await clock.run(2_000)
  t.equal(pushes.length, 2)
  t.match(await store.find('alice', '1'), { status: 'delivered' })
  t.equal(clock.pendingTimers, 0)
})

t.test('a user without devices is offline at once, and an incomplete answer without devices is no proof of that', async (t) => {
  const { im, clock, pushes, whereabouts, world, store } = makeIm()
  await im.routePrivate(toUser('1', 'alice', 'bob'))
  await settle()
  t.match(await store.find('alice', '1'), { status: 'offline' })
  whereabouts.set('bob', { gateway: 'g', deviceIds: ['phone'] })
  world.answer = async () => ({ ...report(false), routesIncomplete: true })
  await im.routePrivate(toUser('2', 'alice', 'bob'))
  await settle()
  t.match(await store.find('alice', '2'), { status: 'accepted' })
  world.answer = async () => report(false)
  await clock.run(1_000)
  t.match(await store.find('alice', '2'), { status: 'offline' })
  t.equal(pushes.length, 2)
})

t.test('pushes of one conversation leave in order, and a device that takes its time holds up nobody', async (t) => {
  const { im, pushes, whereabouts, world } = makeIm()
  whereabouts.set('bob', { gateway: 'g', deviceIds: ['phone'] })
  const gate = makeGate()
  world.answer = async () => {
    await gate.opened
    return report(true, Outcome.OUTCOME_ACKED)
  }
  await Promise.all(Array.from({ length: 20 }, (_, i) => im.routePrivate(toUser(`m${i}`, 'alice', 'bob'))))
  await settle()
  t.strictSame(pushes.map(({ sequenceNumber }) => sequenceNumber), Array.from({ length: 20 }, (_, i) => BigInt(i + 1)))
  gate.open()
  await im.close()
})

t.test('a group message is answered OK only once the broker has it', async (t) => {
  const { im, producer, clock, store } = makeIm()
  producer.isDown = true
  const refused = await im.routeGroup(toGroup('1', 'alice'))
  t.match(refused, { errorCode: IMErrorCode.IM_ERROR_CODE_KAFKA_ERROR, sequenceNumber: 0n })
  producer.isDown = false
  t.match(await im.routeGroup(toGroup('1', 'alice')), { errorCode: IMErrorCode.IM_ERROR_CODE_UNSPECIFIED, sequenceNumber: 1n }, 'the same message, with its first number')
  t.strictSame(producer.records, [{
    topic: 'group_msg',
    key: 'group_a',
    value: { msg_id: '1', group_id: 'group_a', sender_id: 'alice', content: 'hi', message_type: 'text', sequence_number: 1, timestamp: clock.unixMs() }
  }])
  t.match(await store.find('alice', '1'), { status: 'published' })
  await im.routeGroup(toGroup('1', 'alice'))
  t.equal(producer.records.length, 1, 'a repeat is not published again')
})

t.test('what the broker did not take goes before anything newer, and by itself once the broker is back', async (t) => {
  const { im, producer, clock } = makeIm()
  const numbers = () => producer.records.map(({ value }) => (value as { sequence_number: number }).sequence_number)
  producer.isDown = true
  await im.routeGroup(toGroup('1', 'alice'))
  await im.routeGroup(toGroup('2', 'bob'))
  await clock.run(1_000)
  t.strictSame(numbers(), [])
  producer.isDown = false
  t.match(await im.routeGroup({ ...toGroup('3', 'alice'), metadata: { a: 'b' } }), { sequenceNumber: 3n })
  t.strictSame(numbers(), [1, 2, 3])
  t.match(producer.records[2]?.value, { metadata: { a: 'b' } })

  producer.isDown = true
  await im.routeGroup(toGroup('4', 'alice'))
  producer.isDown = false
  await clock.run(30_000)
  t.strictSame(numbers(), [1, 2, 3, 4])
  t.equal(clock.pendingTimers, 0)
  await im.close()
})

t.test('a restart takes up what was accepted and not handed on', async (t) => {
  const producer = new FakeProducer()
  const first = makeIm({ producer })
  producer.isDown = true
  first.world.registryDown = true
  await first.im.routeGroup(toGroup('g1', 'alice'))
  await first.im.routePrivate(toUser('p1', 'alice', 'bob'))
  producer.isDown = false
  const second = makeIm({ producer, store: first.store })
  second.whereabouts.set('bob', { gateway: 'g', deviceIds: ['phone'] })
  await second.im.recover()
  await settle()
  t.match(producer.records, [{ value: { msg_id: 'g1' } }])
  t.match(second.pushes, [{ msgId: 'p1', recipientId: 'bob' }])
  t.strictSame(await first.store.unfinished(10), [])
})

t.test('the close ends waiting retries as offline and leaves no timer', async (t) => {
  const { im, clock, whereabouts, world, store } = makeIm()
  whereabouts.set('bob', { gateway: 'g', deviceIds: ['phone'] })
  world.answer = async () => report(false, Outcome.OUTCOME_GONE)
  await im.routePrivate(toUser('1', 'alice', 'bob'))
  await settle()
  t.not(clock.pendingTimers, 0)
  await im.close()
  await settle()
  t.equal(clock.pendingTimers, 0)
  t.match(await store.find('alice', '1'), { status: 'offline' })
})

t.test('history starts after a number and ends at the limit', async (t) => {
  const { im, store } = makeIm()
  for (let i = 1; i <= 5; i++) await im.routePrivate(toUser(`m${i}`, i % 2 === 0 ? 'alice' : 'bob', i % 2 === 0 ? 'bob' : 'alice'))
  const ids = async (after: bigint, limit: number) => (await store.history('alice:bob', after, limit)).map(({ msgId }) => msgId)
  t.strictSame(await ids(0n, 10), ['m1', 'm2', 'm3', 'm4', 'm5'])
  t.strictSame(await ids(2n, 2), ['m3', 'm4'])
  t.strictSame(await ids(5n, 10), [])
  t.strictSame(await store.history('alice:carol', 0n, 10), [])
})

t.test('read receipts: of a private message by a push, of a group message by a record; strangers send none', async (t) => {
  const { im, store, producer, clock, isMember } = makeIm()
  await im.routePrivate(toUser('p', 'alice', 'bob'))
  await im.routeGroup(toGroup('g', 'alice'))
  producer.records.length = 0
  const pushed: unknown[] = []
  let gateway: string | undefined = 'g1'
  const receipts = new Receipts({
    store,
    producer,
    isMember,
    anyGateway: async () => gateway,
    push: async (...facts) => {
      pushed.push(facts)
      return report(true, Outcome.OUTCOME_WRITTEN)
    },
    clock
  })
  t.equal(await receipts.markRead('bob', 'alice', 'p'), true)
  t.strictSame(pushed, [['g1', { msgId: 'p', senderId: 'alice', readerId: 'bob', conversationId: 'bob', readAt: BigInt(clock.unixMs()), scope: Scope.CLUSTER }, 2_000]])
  t.equal(await receipts.markRead('bob', 'alice', 'g'), true)
  t.strictSame(producer.records, [{ topic: 'read_receipt_events', key: 'alice', value: { msg_id: 'g', sender_id: 'alice', reader_id: 'bob', conversation_id: 'group_a', read_at: clock.unixMs() } }])
  gateway = undefined
  t.equal(await receipts.markRead('bob', 'alice', 'p'), true)
  t.equal(await receipts.markRead('carol', 'alice', 'p'), false)
  t.equal(await receipts.markRead('carol', 'alice', 'g'), false)
  t.equal(await receipts.markRead('bob', 'alice', 'x'), false)
  t.equal(pushed.length, 1)
})

t.test('IM Service over gRPC: the stream answers every item by its correlation and ends when told to', async (t) => {
  const { im } = makeIm()
  const host = await listenIm(im)
  t.teardown(() => host.close())
  const client = new Client(host.address, credentials.createInsecure())
  t.teardown(() => { client.close() })
  const { path, requestSerialize, responseDeserialize } = methodDefinition(IMServiceDefinition.fullName, IMServiceDefinition.methods.routeStream)
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, { deadline: Date.now() + 5_000 })
  const answers = new Map<number, bigint>()
  stream.on('data', (reply: RouteBatchReply) => {
    for (const item of reply.items) answers.set(item.correlation, item.reply?.value.sequenceNumber ?? -1n)
  })
  const ended = new Promise((resolve, reject) => { stream.on('end', resolve).on('error', reject) })
  for (let batch = 0; batch < 30; batch++) {
    stream.write({
      items: Array.from({ length: 100 }, (_, i) => {
        const correlation = batch * 100 + i
        return correlation % 2 === 0
          ? { correlation, traceparent: '', message: { $case: 'private' as const, value: toUser(`m${correlation}`, 'alice', 'bob') } }
          : { correlation, traceparent: '', message: { $case: 'group' as const, value: toGroup(`m${correlation}`, 'alice') } }
      })
    })
  }
  stream.write({ items: [{ correlation: 9_999, traceparent: '', message: undefined }] })
  stream.end()
  await ended
  t.equal(answers.size, 3_000)
  for (let i = 0; i < 3_000; i++) if (answers.get(i) !== BigInt(Math.floor(i / 2) + 1)) t.fail(`item ${i} got ${String(answers.get(i))}`)
})

t.test('a line that is full is an error answer, not an accepted message', async (t) => {
  const gate = makeGate()
  class SlowStore extends MemoryMessageStore {
    override async accept (...args: Parameters<MemoryMessageStore['accept']>): ReturnType<MemoryMessageStore['accept']> {
      await gate.opened
      return await super.accept(...args)
    }
  }
  const { im, logger } = makeIm({ store: new SlowStore() })
  const answers = Array.from({ length: 1_001 }, (_, i) => im.routePrivate(toUser(`m${i}`, 'alice', 'bob')))
  t.match(await answers.at(-1), { errorCode: IMErrorCode.IM_ERROR_CODE_INTERNAL_ERROR, sequenceNumber: 0n })
  gate.open()
  t.match((await Promise.all(answers)).at(-2), { errorCode: IMErrorCode.IM_ERROR_CODE_UNSPECIFIED, sequenceNumber: 1_000n })
  t.match(logger.lines, [{ level: 'error' }])
})
