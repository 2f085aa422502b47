import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { boundBatches } from '../../../plugins/lib/kafka-batches.ts'
import { installCodecs } from '../../../plugins/lib/kafka-codecs.ts'
import { emptyRecords, MAX_RECORDS } from '../../../plugins/lib/kafka-records.ts'

const require = createRequire(import.meta.url)
interface Message { readonly offset: string, readonly key: Buffer | null, readonly value: Buffer | null }
const Decoder = require('kafkajs/src/protocol/decoder.js') as new (buffer: Buffer) => object
const decodeMessages = require('kafkajs/src/protocol/requests/fetch/v4/decodeMessages.js') as (decoder: object) => Promise<Message[]>

/** What a partition's part of a fetch holds, with its length before it. */
async function fetched (...parts: readonly Buffer[]): Promise<Message[]> {
  const set = Buffer.concat([Buffer.alloc(4), ...parts])
  set.writeInt32BE(set.length - 4)
  return await decodeMessages(new Decoder(set))
}

function batch (firstOffset: number, count: number, records: Buffer, { attributes = 0, lastOffset = count - 1 } = {}): Buffer {
  const header = Buffer.alloc(61)
  header.writeBigInt64BE(BigInt(firstOffset), 0)
  header.writeInt32BE(header.length - 12 + records.length, 8)
  header.writeInt8(2, 16)
  header.writeInt16BE(attributes, 21)
  header.writeInt32BE(lastOffset, 23)
  header.writeInt32BE(count, 57)
  return Buffer.concat([header, records])
}

/** Without a key, at an offset of less than 64. */
const record = (offset: number, value: string): Buffer => Buffer.from([2 * (6 + value.length), 0, 0, 2 * offset, 1, 2 * value.length, ...Buffer.from(value), 0])
const NEXT = batch(500, 1, record(0, 'next'))
const told = (messages: readonly Message[]): Array<[string, string | undefined]> => messages.map(({ offset, value }) => [offset, value?.toString()])

t.before(() => {
  installCodecs()
  t.ok(boundBatches())
})

t.test('batches that are what they say are read as they are, with gaps where records were compacted away', async (t) => {
  t.ok(boundBatches(), 'once is enough')
  t.same(told(await fetched(batch(100, 2, Buffer.concat([record(3, 'a'), record(7, 'b')]), { lastOffset: 9 }), NEXT)), [['103', 'a'], ['107', 'b'], ['500', 'next']])
  t.same(told(await fetched(batch(100, 2, Buffer.concat([record(0, 'a'), record(0, 'b')])))), [['100', 'a'], ['100', 'b']], 'of a writer that does not count')
  t.same(told(await fetched(batch(100, 0, Buffer.alloc(0), { lastOffset: 9 }), NEXT)), [['500', 'next']])
  t.same(told(await fetched(batch(100, 1, record(0, 'a')), NEXT.subarray(0, -1))), [['100', 'a']], 'the last of a fetch may be cut')
})

t.test('a batch that lies becomes one empty record at its last offset, and the next one is read', async (t) => {
  const two = Buffer.concat([record(0, 'a'), record(1, 'b')])
  const lies: ReadonlyArray<[string, Buffer]> = [
    ['fewer than none', batch(100, -2, two, { lastOffset: 9 })],
    ['more than there are', batch(100, 3, two, { lastOffset: 9 })],
    ['more than can be', batch(100, 2 ** 31 - 1, two, { lastOffset: 9 })],
    ['more than can be, compressed', batch(100, 2 ** 31 - 1, gzipSync(two), { lastOffset: 9, attributes: 1 })],
    ['a record without a size', batch(100, 2, Buffer.concat([record(0, 'a'), Buffer.from([1])]), { lastOffset: 9 })],
    ['a time without an end', batch(100, 1, Buffer.from([40, 0, ...Buffer.alloc(13, 0x80), 0, 0, 1, 1, 0, 0]), { lastOffset: 9 })],
    ['an offset behind the last', batch(100, 2, Buffer.concat([record(0, 'a'), record(10, 'b')]), { lastOffset: 9 })],
    ['an offset before the first', batch(100, 1, Buffer.from([14, 0, 0, 1, 1, 2, 0x61, 0]), { lastOffset: 9 })],
    ['offsets that go back', batch(100, 2, Buffer.concat([record(1, 'a'), record(0, 'b')]), { lastOffset: 9 })],
    ['a codec that there is not', batch(100, 1, Buffer.from('something'), { lastOffset: 9, attributes: 5 })]
  ]
  for (const [what, lie] of lies) t.same(told(await fetched(lie, NEXT)), [['109', undefined], ['500', 'next']], what)
  t.same(told(await fetched(batch(100, -1, Buffer.alloc(0), { lastOffset: -5 }), NEXT)), [['100', undefined], ['500', 'next']], 'nothing, not even a last offset')
})

t.test('a batch of so many records that the library cannot hand them on is passed over, and one of as many as it may have is read', async (t) => {
  for (const attributes of [0, 1]) {
    const some = emptyRecords(MAX_RECORDS)
    const many = emptyRecords(150_000)
    t.equal((await fetched(batch(100, MAX_RECORDS, attributes === 0 ? some : gzipSync(some), { attributes }))).length, MAX_RECORDS)
    t.same(told(await fetched(batch(100, 150_000, attributes === 0 ? many : gzipSync(many), { attributes }), NEXT)), [['150099', undefined], ['500', 'next']])
  }
})

t.test('an answer that becomes too much counts as cut, and the rest is there when it is fetched again', async (t) => {
  const large = (firstOffset: number): Buffer => batch(firstOffset, 1, gzipSync(largeRecord(20_000_000)), { attributes: 1 })
  const all = [large(100), large(101), large(102), NEXT]
  t.same((await fetched(...all)).map(({ offset }) => offset), ['100', '101'], 'the second one goes past the budget')
  t.same((await fetched(...all.slice(2))).map(({ offset }) => offset), ['102', '500'])
  const many = (firstOffset: number): Buffer => batch(firstOffset, MAX_RECORDS, emptyRecords(MAX_RECORDS))
  t.equal((await fetched(many(100_000), many(200_000), many(300_000))).length, 2 * MAX_RECORDS)
})

/** With a value of so many bytes. */
function largeRecord (bytes: number): Buffer {
  const varint = (value: number): Buffer => {
    const digits: number[] = []
    for (let rest = 2 * value; ; rest = Math.floor(rest / 0x80)) {
      digits.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80)
      if (rest < 0x80) return Buffer.from(digits)
    }
  }
  const rest = Buffer.concat([Buffer.from([0, 0, 0, 1]), varint(bytes), Buffer.alloc(bytes), Buffer.from([0])])
  return Buffer.concat([varint(rest.length), rest])
}

/** Of magic 0 or 1; lengths that are not those of key and value may be told. */
function message (offset: number, magic: 0 | 1, value: Buffer, { attributes = 0, keyBytes = -1, valueBytes = value.length } = {}): Buffer {
  const head = Buffer.alloc(magic === 0 ? 26 : 34)
  head.writeBigInt64BE(BigInt(offset), 0)
  head.writeInt32BE(head.length - 12 + value.length, 8)
  head.writeInt8(magic, 16)
  head.writeInt8(attributes, 17)
  head.writeInt32BE(keyBytes, head.length - 8)
  head.writeInt32BE(valueBytes, head.length - 4)
  return Buffer.concat([head, value])
}

t.test('messages of the time before batches are read, those within a compressed one as well', async (t) => {
  const [a, b] = [Buffer.from('a'), Buffer.from('b')]
  for (const magic of [0, 1] as const) {
    // Of magic 1 the inner offsets count from 0, and the outer one is that of the last.
    const inner = Buffer.concat(magic === 0 ? [message(101, 0, a), message(102, 0, b)] : [message(0, 1, a), message(1, 1, b)])
    t.same(told(await fetched(message(100, magic, Buffer.from('x')), message(102, magic, gzipSync(inner), { attributes: 1 }), message(103, magic, b))),
      [['100', 'x'], ['101', 'a'], ['102', 'b'], ['103', 'b']])
  }
})

t.test('a compressed message that holds none becomes an empty one, and the next one is read', async (t) => {
  const next = message(101, 1, Buffer.from('next'))
  for (const inner of [Buffer.alloc(0), Buffer.from('not messages'), message(0, 1, Buffer.from('a'), { keyBytes: -30 }), message(0, 1, Buffer.from('a'), { valueBytes: 9 }), message(0, 1, Buffer.alloc(8)).subarray(0, -2)]) {
    t.same(told(await fetched(message(100, 1, gzipSync(inner), { attributes: 1 }), next)), [['100', undefined], ['101', 'next']])
  }
  t.same(told(await fetched(message(100, 1, Buffer.from('no gzip'), { attributes: 1 }), next)), [['100', undefined], ['101', 'next']])
  t.same(told(await fetched(message(100, 1, Buffer.alloc(0), { attributes: 1, valueBytes: -1 }), next)), [['100', undefined], ['101', 'next']], 'and where there is nothing to inflate')
  const many = Buffer.concat(Array.from({ length: 3 }, () => Buffer.alloc(MAX_RECORDS * 26, message(0, 0, Buffer.alloc(0)))))
  t.same(told(await fetched(message(100, 1, gzipSync(many), { attributes: 1 }), next)), [['100', undefined], ['101', 'next']], 'nor are there more than the library can hand on')
})

t.test('a message whose length leads back to where it began is read once', async (t) => {
  t.same(told(await fetched(message(100, 0, Buffer.alloc(0), { valueBytes: -26 }), message(101, 0, Buffer.from('next')))), [['100', undefined], ['101', 'next']])
})
