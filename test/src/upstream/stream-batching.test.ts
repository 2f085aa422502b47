import t from 'tap'
import { AuthErrorCode } from '../../../src/generated/auth/v1/auth.ts'
import { RouteBatch as Batches, type RouteBatch, type RouteReply } from '../../../src/generated/im/v1/im.ts'
import { UserErrorCode } from '../../../src/generated/user/v1/user.ts'
import { ERRORS, GatewayError } from '../../../src/errors.ts'
import type { RouteRequest } from '../../../src/ports.ts'
import { MESSAGE_TYPES } from '../../../src/protocol/frames.ts'
import { acceptedFrom, maxItemBytes, routeItem } from '../../../src/upstream/im-messages.ts'
import { authRefusal, checkUserError, imError } from '../../../src/upstream/service-errors.ts'
import { RouteBatcher, type RouteBatcherOptions } from '../../../src/upstream/stream-batching.ts'
import { ManualClock, settle } from '../../helpers/manual-clock.ts'

const REQUEST: RouteRequest = {
  kind: 'private',
  msgId: 'm1',
  senderId: 'alice',
  senderDeviceId: 'phone',
  recipientId: 'bob',
  content: 'hello',
  messageType: 'text',
  metadata: undefined,
  clientTimestampMs: 1,
  traceparent: undefined
}

function setUp (overrides: Partial<RouteBatcherOptions> = {}) {
  const clock = new ManualClock()
  const written: RouteBatch[] = []
  const stream = { takesMore: true }
  const batcher = new RouteBatcher({ clock, maxOutstanding: 1_000, write: (batch) => { written.push(batch); return stream.takesMore }, ...overrides })
  const outcomes: string[] = []
  const route = (changes: Partial<RouteRequest> = {}, deadlineMs = 1_000) => {
    const at = outcomes.push('') - 1
    batcher.route({ ...REQUEST, ...changes }, deadlineMs).then(
      (accepted) => { outcomes[at] = `#${accepted.sequenceNumber}` },
      (error: unknown) => { outcomes[at] = error instanceof GatewayError ? error.code : String(error) }
    )
  }
  return { clock, batcher, written, stream, outcomes, route }
}

function reply (correlation: number, sequenceNumber: bigint, errorCode = 0): RouteReply {
  return { correlation, reply: { $case: 'private', value: { sequenceNumber, serverTimestamp: undefined, deliveryStatus: 1, errorCode: errorCode as 0, errorMessage: '' } } }
}

function correlations (written: RouteBatch[]): number[][] {
  return written.map(({ items }) => items.map(({ correlation }) => correlation))
}

t.test('what is routed in one turn leaves as one batch, the next turn\'s as another', async (t) => {
  const { written, route } = setUp()
  route()
  route({ kind: 'group', recipientId: 'group_1' })
  t.same(written, [])
  await settle()
  route()
  await settle()
  t.same(correlations(written), [[1, 2], [3]])
  t.match(written[0]?.items[1], { message: { $case: 'group', value: { groupId: 'group_1' } } })
})

t.test('replies are matched by correlation, in any order; unknown and repeated ones change nothing', async (t) => {
  const { batcher, outcomes, route } = setUp()
  for (let at = 0; at < 3; at++) route()
  await settle()
  batcher.receive({ items: [reply(3, 30n), reply(99, 1n), reply(1, 10n), reply(1, 11n), { correlation: 2, reply: undefined }] })
  await settle()
  t.same(outcomes, ['#10', 'INTERNAL_ERROR', '#30'])
  t.equal(batcher.outstanding, 0)
})

t.test('a batch is bounded in items and in bytes', async (t) => {
  const { written, route } = setUp({ maxBatchItems: 3, maxBatchBytes: 10_000 })
  for (let at = 0; at < 7; at++) route()
  await settle()
  t.same(correlations(written), [[1, 2, 3], [4, 5, 6], [7]])
  for (let at = 0; at < 3; at++) route({ content: 'ü'.repeat(1_500) })
  route({ content: 'x'.repeat(10_000) })
  await settle()
  t.same(correlations(written).slice(3), [[8, 9], [10], [11]], 'one that is larger than the bound goes alone')
  for (const batch of written.slice(0, -1)) t.ok(Batches.encode(batch).finish().length <= 10_000)
})

t.test('a stream that has taken enough is left alone until it drains', async (t) => {
  const { batcher, written, route, stream, outcomes } = setUp({ maxBatchItems: 2 })
  stream.takesMore = false
  for (let at = 0; at < 5; at++) route()
  await settle()
  route()
  await settle()
  t.same(correlations(written), [[1, 2]])
  batcher.drained()
  t.same(correlations(written), [[1, 2], [3, 4]])
  stream.takesMore = true
  batcher.drained()
  t.same(correlations(written), [[1, 2], [3, 4], [5, 6]])
  batcher.drained()
  batcher.receive({ items: [1, 2, 3, 4, 5, 6].map((at) => reply(at, BigInt(at))) })
  await settle()
  t.same(outcomes, ['#1', '#2', '#3', '#4', '#5', '#6'])
})

t.test('a stream that ends while it has taken enough gets all that waits first, but for what timed out [GW-SND-4]', async (t) => {
  const { batcher, written, route, stream, outcomes, clock } = setUp({ maxBatchItems: 2 })
  stream.takesMore = false
  for (let at = 0; at < 4; at++) route()
  route({}, 100)
  for (let at = 0; at < 3; at++) route()
  await settle()
  t.same(correlations(written), [[1, 2]])
  await clock.run(150)
  batcher.finish()
  t.same(correlations(written), [[1, 2], [3, 4], [6, 7], [8]])
  batcher.drained()
  t.equal(written.length, 4, 'nothing is written to a stream that has ended')
  batcher.receive({ items: [1, 2, 3, 4, 6, 7, 8].map((at) => reply(at, BigInt(at))) })
  await settle()
  t.same(outcomes, ['#1', '#2', '#3', '#4', 'DEADLINE_EXCEEDED', '#6', '#7', '#8'])
})

t.test('each message has its deadline, kept by one timer; what timed out unsent is not sent any more [GW-SND-4]', async (t) => {
  const { batcher, written, route, stream, outcomes, clock } = setUp({ maxBatchItems: 1 })
  stream.takesMore = false
  route({}, 1_000)
  route({}, 200)
  route({}, 500)
  await settle()
  t.equal(clock.pendingTimers, 1)
  await clock.run(250)
  t.same(outcomes, ['', 'DEADLINE_EXCEEDED', ''])
  stream.takesMore = true
  batcher.drained()
  t.same(correlations(written), [[1], [3]])
  await clock.run(800)
  t.same(outcomes, ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'])
  batcher.receive({ items: [reply(1, 1n)] })
  await clock.run(100)
  t.equal(clock.pendingTimers, 0, 'no timer while nothing is under way')
})

t.test('past the bound: OVERLOADED; a stream that takes nothing piles up nothing', async (t) => {
  const { route, stream, outcomes, clock } = setUp({ maxOutstanding: 2, maxBatchItems: 1 })
  stream.takesMore = false
  for (let at = 0; at < 3; at++) route({}, 100)
  await settle()
  t.same(outcomes, ['', '', 'OVERLOADED'])
  for (let round = 0; round < 20; round++) {
    await clock.run(150)
    route({}, 100)
    await settle()
  }
  t.same(new Set(outcomes.slice(3, -1)), new Set(['DEADLINE_EXCEEDED']), 'room is made by deadlines')
})

t.test('a broken stream leaves everything unknown, what comes later too [GW-SND-4]', async (t) => {
  const { batcher, route, outcomes, clock } = setUp()
  route()
  await settle()
  route()
  batcher.fail(new GatewayError('SERVICE_UNAVAILABLE'))
  route()
  await settle()
  t.same(outcomes, ['SERVICE_UNAVAILABLE', 'SERVICE_UNAVAILABLE', 'SERVICE_UNAVAILABLE'])
  t.equal(clock.pendingTimers, 0)
  batcher.fail(new GatewayError('INTERNAL_ERROR'))
})

t.test('a refusal inside a reply reaches its message alone', async (t) => {
  const { batcher, route, outcomes } = setUp()
  route()
  route()
  await settle()
  batcher.receive({ items: [reply(1, 0n, 7), reply(2, 2n ** 53n)] })
  await settle()
  t.same(outcomes, ['SENSITIVE_CONTENT', 'INTERNAL_ERROR'])
})

t.test('the estimate of an item\'s size is never too small', async (t) => {
  for (const content of ['', 'x'.repeat(10_000), 'ü'.repeat(5_000), '😀'.repeat(2_500), '漢'.repeat(3_333)]) {
    for (const metadata of [undefined, Object.fromEntries(Array.from({ length: 32 }, (_, at) => [`ключ${at}`, '値'.repeat(at)]))]) {
      for (const kind of ['private', 'group'] as const) {
        const request: RouteRequest = { ...REQUEST, kind, content, metadata, clientTimestampMs: Number.MAX_SAFE_INTEGER }
        const size = Batches.encode({ items: [routeItem(4_294_967_295, request)] }).finish().length
        t.ok(size <= maxItemBytes(request), `${size} <= ${maxItemBytes(request)}`)
      }
    }
  }
})

t.test('every message type has its number, and a reply without a time gets ours', async (t) => {
  t.same(MESSAGE_TYPES.map((messageType) => routeItem(1, { ...REQUEST, messageType }).message?.value.messageType), [1, 2, 3, 4, 5, 6, 7])
  const accepted = { sequenceNumber: 1n, errorCode: 0, serverTimestamp: undefined } as const
  t.same(acceptedFrom(accepted, 42), { sequenceNumber: 1, timestampMs: 42 })
  t.same(acceptedFrom({ ...accepted, serverTimestamp: new Date(NaN) }, 42), { sequenceNumber: 1, timestampMs: 42 })
  t.same(acceptedFrom({ ...accepted, serverTimestamp: new Date(7) }, 42), { sequenceNumber: 1, timestampMs: 7 })
})

t.test('every code of the services has a meaning, one that is not known yet too', async (t) => {
  t.equal(imError(0), undefined)
  for (let code = 1; code < 20; code++) t.ok(imError(code as 1) as string in ERRORS, `IM error ${code}`)
  checkUserError(UserErrorCode.USER_ERROR_CODE_UNSPECIFIED)
  t.throws(() => { checkUserError(UserErrorCode.USER_ERROR_CODE_GROUP_NOT_FOUND) }, { code: 'GROUP_NOT_FOUND' })
  for (const code of [1, 3, 4, 5, 6, 77]) t.throws(() => { checkUserError(code as 1) }, { code: 'SERVICE_UNAVAILABLE' })
  t.equal(authRefusal(AuthErrorCode.AUTH_ERROR_CODE_INTERNAL_ERROR), 'no answer')
  t.equal(authRefusal(AuthErrorCode.AUTH_ERROR_CODE_TOKEN_EXPIRED), 'TOKEN_EXPIRED')
  for (const code of [0, 2, 3, 4, 5, 7, 77]) t.equal(authRefusal(code as 0), 'INVALID_TOKEN')
})
