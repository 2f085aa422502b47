import { createRequire } from 'node:module'
import t from 'tap'
import { boundRecordHeaders, type DecoderInternals } from '../../../plugins/lib/kafka-record-headers.ts'

const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder.js') as { new (buffer: Buffer): DecoderInternals, readonly prototype: object }
const decodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0/decoder.js') as (decoder: object, context: object) => { value: Buffer | null, headers: Record<string, unknown> }

/** Zigzag. */
function varint (value: number): number[] {
  const bytes: number[] = []
  let rest = value < 0 ? -2 * value - 1 : 2 * value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80)
  return [...bytes, rest]
}

/** A record with the value `x`, so many headers said to be there, and these bytes of them. */
const read = (count: number, headers: readonly number[]): { value: Buffer | null, headers: Record<string, unknown> } =>
  decodeRecord(new Decoder(Buffer.from([0, 0, 0, 1, 2, 0x78, ...varint(count), ...headers])), { firstOffset: '0', firstTimestamp: '0' })
const header = (key: string, value: string): number[] => [...varint(key.length), ...Buffer.from(key), ...varint(value.length), ...Buffer.from(value)]

t.before(() => { t.ok(boundRecordHeaders()) })

t.test('of a record\'s headers the first trace context is read, and the rest passed over', (t) => {
  t.ok(boundRecordHeaders(), 'once is enough')
  t.same(read(0, []).headers, {})
  t.same(read(-1, []).headers, {})
  const { value, headers } = read(4, [...header('a', 'b'), ...header('traceparent', '00-1'), ...header('traceparent', '00-2'), ...header('c', 'd')])
  t.equal(String(value), 'x')
  t.same(headers, { traceparent: Buffer.from('00-1') })
  t.end()
})

t.test('a record of a hundred thousand headers is read, for the library itself would take hours', (t) => {
  const many = Array.from({ length: 100_000 }, (_, i) => header(i.toString(36), '')).flat()
  t.same(read(100_001, [...many, ...header('traceparent', '00-1')]).headers, { traceparent: Buffer.from('00-1') })
  t.end()
})

t.test('headers that are not there, or lead back to where they began, end the reading', (t) => {
  t.same(read(2 ** 30, header('a', 'b')).headers, {})
  t.same(read(2 ** 30, [...varint(-3), ...varint(-4)]).headers, {})
  t.end()
})
