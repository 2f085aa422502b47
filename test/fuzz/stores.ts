/** What the node reads from Kafka and from etcd: played inside its process, for nobody but the broker and the store says it. */
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import * as lz4 from 'lz4js'
import { snappyCompress } from 'hysnappy'
import { encodeNode, encodeRevoked, encodeRoute } from '../../src/registry/records.ts'
import { jsonLike, mutated, noise } from './arbitraries.ts'
import { FODDER, GROUP } from './people.ts'
import type { Target } from './target.ts'

export interface RecordCase {
  readonly kind: 'record'
  readonly topic: 'group_msg' | 'membership_change' | 'read_receipt_events'
  /** Hexadecimal; null: none. */
  readonly key: string | null
  readonly value: string | null
  readonly traceparent: string
}

/** A compressed batch of so many records, as a fetch brings it. */
export interface BatchCase {
  readonly kind: 'batch'
  readonly codec: number
  readonly count: number
  /** Hexadecimal. */
  readonly compressed: string
}

const GROUPS = [GROUP, 'group_none', 'group_1', '__proto__', '']
const id = fc.oneof(fc.constantFrom('m1', 'm2'), fc.string({ maxLength: 70 }))
const party = fc.oneof(fc.constantFrom(FODDER, 'f1', ...GROUPS), fc.string({ unit: 'binary', maxLength: 130 }))
const count = fc.oneof(fc.nat(), fc.constantFrom(-1, 2 ** 53, 1e300, 0.5))
const messageRecord = fc.record({ msg_id: id, group_id: fc.constantFrom(...GROUPS), sender_id: party, content: fc.string({ unit: 'binary', maxLength: 200 }), message_type: fc.constantFrom('text', 'none'), sequence_number: count, timestamp: count, metadata: fc.constantFrom(null, undefined, { a: 'b' }) })
// Nobody leaves the group of the neighbour: its last message has to come.
const changeRecord = fc.record({ group_id: fc.constantFrom(...GROUPS), user_id: fc.constantFrom('f1', 'f2', FODDER, '__proto__'), event_type: fc.constantFrom('join', 'leave', 'none'), timestamp: count })
const receiptRecord = fc.record({ msg_id: id, sender_id: party, reader_id: party, conversation_id: party, read_at: count, device_id: fc.constantFrom(null, undefined, 'phone', '/') })
const text = fc.oneof(messageRecord, changeRecord, receiptRecord)
const value = fc.option(fc.oneof({ weight: 6, arbitrary: jsonLike(text).map((json) => Buffer.from(json)) }, mutated(jsonLike(text).map((json) => Buffer.from(json))), noise), { freq: 20 })
const hex = (bytes: fc.Arbitrary<Buffer | null>): fc.Arbitrary<string | null> => bytes.map((whole) => whole === null ? null : whole.toString('hex'))

const recordCase: fc.Arbitrary<RecordCase> = fc.record({
  kind: fc.constant('record'),
  topic: fc.constantFrom('group_msg', 'group_msg', 'membership_change', 'read_receipt_events'),
  key: hex(fc.option(fc.oneof(fc.constantFrom(...GROUPS).map((key) => Buffer.from(key)), noise))),
  value: hex(value),
  traceparent: fc.constantFrom('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '', 'x', '\u0000')
})

/** Records as a batch holds them: length, attributes, deltas, a null key, a value, no headers; all lengths below 64. */
const records = (values: readonly string[]): Buffer => Buffer.concat(values.map((each, i) => {
  const fields = Buffer.concat([Buffer.from([0, 0, 2 * i, 1, 2 * each.length]), Buffer.from(each), Buffer.from([0])])
  return Buffer.concat([Buffer.from([2 * fields.length]), fields])
}))
const xerial = (data: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  const block = snappyCompress(data)
  length.writeInt32BE(block.length)
  return Buffer.concat([Buffer.from('82534e41505059000000000100000001', 'hex'), length, block])
}
/** zstd's own tool made these: 100,000 zero bytes, and a short text. */
const ZSTD = '28b52ffd045855000010000001009b8639c002db234ef3'
const DEFLATE: ReadonlyArray<readonly [codec: number, deflate: (data: Buffer) => Buffer]> = [
  [1, gzipSync], [2, (data) => Buffer.from(snappyCompress(data))], [2, xerial], [3, (data) => Buffer.from(lz4.compress(data))], [4, () => Buffer.from(ZSTD, 'hex')]
]
const batchCase: fc.Arbitrary<BatchCase> = fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 20 }), { minLength: 1, maxLength: 20 }).chain((values) =>
  fc.constantFrom(...DEFLATE).chain(([codec, deflate]) => fc.record({
    kind: fc.constant<'batch'>('batch'),
    codec: fc.constant(codec),
    count: fc.oneof({ weight: 5, arbitrary: fc.constant(values.length) }, fc.constantFrom(0, 1, 300)),
    compressed: fc.oneof(mutated(fc.constant(deflate(records(values)))), mutated(fc.constant(records(values))).map(deflate), noise).map((bytes) => bytes.toString('hex'))
  })))

export const kafka: Target<RecordCase | BatchCase> = {
  cases: fc.oneof({ weight: 3, arbitrary: recordCase }, batchCase),
  play: async (subject, one) => { await subject.call(one.kind, one) }
}

export interface EtcdCase {
  /** What the watch says, `ahead` revisions after what is known. */
  readonly events: ReadonlyArray<{ readonly type: 'put' | 'delete', readonly key: string, readonly value: string, readonly ahead: number }>
  /** What the next reads answer instead of the truth. */
  readonly answers: ReadonlyArray<{ readonly ahead: number, readonly more: boolean, readonly entries: ReadonlyArray<{ readonly key: string, readonly value: string, readonly ahead: number }> }>
  /** How the watch ends afterwards. */
  readonly end: 'not' | 'cut' | 'compacted'
  /** Who is asked for then. */
  readonly userId: string
  readonly nodeId: string
}

const ids = ['f1', 'f2', 'f%2F3', '%', '%u', '__proto__', '', '*', 'x'.repeat(300)]
const key = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom('users', 'nodes', 'revoked', 'none', ''), fc.constantFrom(...ids), fc.option(fc.constantFrom(...ids))).map(([kind, first, second]) => `/registry/${kind}/${first}${second === null ? '' : `/${second}`}`) },
  fc.constantFrom('', '/', '/registry', '/registry/'),
  fc.string({ unit: 'binary', maxLength: 60 })
)
const time = fc.oneof(fc.nat(), fc.constantFrom(-1, 1e308, 0.5, Date.UTC(2100, 0)))
const recordValue = fc.oneof(
  fc.record({ node: fc.constantFrom('node-2', 'node-3', ''), conn: fc.constantFrom('c.1', ''), at: time }).map((record) => JSON.parse(encodeRoute(record)) as Record<string, unknown>),
  fc.record({ grpc: fc.constantFrom('127.0.0.1:1', 'nowhere.invalid:1', ':', '', '\u0000', 'x'.repeat(255)), version: fc.string(), at: time, start: fc.string({ maxLength: 5 }), connects_per_s: time }).map((record) => JSON.parse(encodeNode(record)) as Record<string, unknown>),
  fc.record({ before: time, at: time }).map((record) => JSON.parse(encodeRevoked(record)) as Record<string, unknown>)
)
const storedValue = jsonLike(recordValue)
// Any integer that etcd's type has.
const ahead = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 5 }) }, fc.constantFrom(-1, -1_000_000, 2 ** 40, -(2 ** 63), 2 ** 63))

export const etcd: Target<EtcdCase> = {
  cases: fc.record({
    events: fc.array(fc.record({ type: fc.constantFrom('put', 'put', 'put', 'delete'), key, value: storedValue, ahead }), { maxLength: 8 }),
    answers: fc.array(fc.record({ ahead, more: fc.boolean(), entries: fc.array(fc.record({ key, value: storedValue, ahead }), { maxLength: 4 }) }), { maxLength: 3 }),
    end: fc.constantFrom('not', 'not', 'not', 'cut', 'compacted'),
    userId: fc.constantFrom('f1', 'f2', 'f/3', '__proto__'),
    nodeId: fc.constantFrom('node-2', 'f1', 'f2', '__proto__')
  }),
  play: async (subject, one) => { await subject.call('etcd', one) }
}
