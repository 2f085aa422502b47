import { createRequire } from 'node:module'
import { gzipSync } from 'node:zlib'
import kafkajs from 'kafkajs'
import fc from 'fast-check'
import { snappyCompress } from 'hysnappy'
import t from 'tap'
import { codecOf, inflateSnappy, inflateZstd, installCodecs, MAX_INFLATED_BYTES, type Codec } from '../../../plugins/lib/kafka-codecs.ts'
import { EMPTY_MESSAGE } from '../../../plugins/lib/kafka-messages.ts'
import { emptyRecords } from '../../../plugins/lib/kafka-records.ts'

// The library's own reader of batches, for what a codec hands back is made for it.
const require = createRequire(import.meta.url)
const Decoder = require('kafkajs/src/protocol/decoder.js') as new (buffer: Buffer) => object
const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (decoder: object) => Promise<{ records: Array<{ offset: string, key: Buffer | null, value: Buffer | null, isControlRecord: boolean }> }>

const TEXT = Buffer.from('a chat is mostly the same words again, '.repeat(4_000))
/** zstd's own tool made this of 100,000 zero bytes, with a checksum and a window of 2 MB. */
const ZSTD_ZEROS = Buffer.from('28b52ffd045855000010000001009b8639c002db234ef3', 'hex')
const codecs = (): Record<number, () => Codec> => kafkajs.CompressionCodecs as Record<number, () => Codec>
const codec = (type: number): Codec => (codecs()[type] as () => Codec)()

/** One batch as a fetch brings it: so many records, which the attributes say are gzipped. */
function batch (count: number, compressed: Buffer): Buffer {
  const header = Buffer.alloc(61)
  header.writeBigInt64BE(1_000n, 0)
  header.writeInt32BE(header.length - 12 + compressed.length, 8)
  header.writeInt8(2, 16)
  header.writeInt16BE(1, 21)
  header.writeInt32BE(count - 1, 23)
  header.writeInt32BE(count, 57)
  return Buffer.concat([header, compressed])
}

t.test('what gzip, snappy and lz4 make small, they make large again', async (t) => {
  installCodecs()
  installCodecs()
  const { GZIP, Snappy, LZ4, ZSTD } = kafkajs.CompressionTypes
  // In no batch, messages are expected.
  const head = Buffer.alloc(26)
  head.writeInt32BE(14 + TEXT.length, 8)
  head.writeInt32BE(-1, 18)
  head.writeInt32BE(TEXT.length, 22)
  const message = Buffer.concat([head, TEXT])
  for (const type of [GZIP, Snappy, LZ4]) {
    const small = await codec(type).compress({ buffer: message })
    t.ok(small.length < TEXT.length / 4)
    t.ok((await codec(type).decompress(small)).equals(message))
  }
  await t.rejects(codec(ZSTD).compress({ buffer: TEXT }), TypeError)
})

t.test('snappy is read in blocks with xerial\'s framing, too, and a block that lies about its length is refused', (t) => {
  const parts = [TEXT.subarray(0, 30_000), TEXT.subarray(30_000, 60_000), TEXT.subarray(60_000)]
  const header = Buffer.from('82534e4150505900' + '00000001' + '00000001', 'hex')
  const blocks = parts.map((part) => {
    const block = snappyCompress(part)
    const length = Buffer.alloc(4)
    length.writeInt32BE(block.length)
    return Buffer.concat([length, block])
  })
  const framed = Buffer.concat([header, ...blocks])
  t.ok(inflateSnappy(framed, TEXT.length).equals(TEXT))
  t.throws(() => inflateSnappy(framed, TEXT.length - 1), /grows past/)
  t.throws(() => inflateSnappy(framed.subarray(0, -1), TEXT.length), RangeError)
  const endless = Buffer.concat([header, Buffer.alloc(4)])
  t.throws(() => inflateSnappy(endless, TEXT.length), RangeError)
  t.end()
})

t.test('a snappy block that is none ends in an error, whatever lengths and distances it names', (t) => {
  const literal = (length: number): Buffer => {
    const block = Buffer.from([19, 0xfc, 0, 0, 0, 0, 0x61, 0x62, 0x63])
    block.writeUInt32LE(length >>> 0, 2)
    return block
  }
  // Lengths that are negative to whoever reads them into 32 bits with a sign, and those that lead back where they stand.
  const lengths = Array.from({ length: 40 }, (_, i) => -1 - i)
  const blocks = [...[...lengths, 0xa2fb03e1 | 0, -(2 ** 31), 2 ** 31 - 1].map(literal), ...['', '80', 'ffffffffff7f', '0401ff', '0402ffff', '0403ffffffff', '04'].map((hex) => Buffer.from(hex, 'hex'))]
  for (const block of blocks) t.throws(() => inflateSnappy(block, 1_000), block.toString('hex'))
  const header = Buffer.from('82534e4150505900' + '00000001' + '00000001', 'hex')
  const many = Buffer.concat(Array.from({ length: 10_001 }, () => Buffer.from([0, 0, 0, 3, 1, 0, 0x61])))
  t.throws(() => inflateSnappy(Buffer.concat([header, many]), 1_000_000), /too many/)
  t.equal(inflateSnappy(Buffer.concat([header, many.subarray(7)]), 1_000_000).toString(), 'a'.repeat(10_000))
  t.end()
})

t.test('a snappy block says no more than it can grow to, and gets nothing of the blocks before it', (t) => {
  // A literal of one byte, and copies of 64 with three bytes each, which is as much as a block can grow.
  const copies = (count: number): string => `0061${'fe0100'.repeat(count)}`
  t.equal(inflateSnappy(Buffer.from(`8101${copies(2)}`, 'hex'), 1_000).toString(), 'a'.repeat(129))
  t.throws(() => inflateSnappy(Buffer.from(`ffff7f${copies(2)}`, 'hex'), 32_000_000), /longer than it can be/)
  const large = snappyCompress(Buffer.alloc(2_000_000, 'large'))
  const secret = snappyCompress(Buffer.from('secret'.repeat(100)))
  const inflated = (block: Buffer): string => {
    try {
      return inflateSnappy(block, 4_000_000).toString()
    } catch (error) {
      return String(error)
    }
  }
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 60 })
  fc.assert(fc.property(fc.oneof(bytes, bytes.map(snappyCompress), fc.tuple(bytes.map(snappyCompress), fc.nat(60), fc.nat(255)).map(([block, at, byte]) => Uint8Array.from(block, (each, i) => i === at ? byte : each))), fc.boolean(), (candidate, isAfterLarge) => {
    const block = Buffer.from(candidate)
    // After a large one the memory is new.
    inflateSnappy(Buffer.from(large), 4_000_000)
    const alone = inflated(block)
    inflateSnappy(Buffer.from(isAfterLarge ? large : secret), 4_000_000)
    return inflated(block) === alone
  }), { numRuns: 300 })
  t.end()
})

t.test('zstd is inflated, frame after frame, and what is none or grows too large is refused', (t) => {
  const inflated = (hex: string, maxBytes = 1_000_000): number => inflateZstd(Buffer.from(hex, 'hex'), maxBytes).length
  const piped = ZSTD_ZEROS.toString('hex')
  t.equal(inflated(piped, 100_000), 100_000)
  t.throws(() => inflated(piped, 99_999), RangeError)
  t.equal(inflated(`${piped}502a4d1803000000aabbcc${piped}`), 200_000)
  t.equal(inflateZstd(Buffer.from('28b52ffd2003190000616263', 'hex'), 3).toString(), 'abc', 'a segment that says how long it is')
  t.equal(inflated(piped.replace('0458', '04a0')), 100_000, 'a window of 1 GB is not made')
  t.throws(() => inflated(piped.replace('0458', '04f8')), RangeError, 'nobody has a window of 2 TB')
  t.throws(() => inflated('28b52ffda041420f00010000'), RangeError, 'a segment that is longer than it may be')
  t.throws(() => inflated(`28b52ffd0068${'000000'.repeat(300_000)}010000`), RangeError, 'blocks of nothing')
  for (const hex of ['', '28b52ffd', '28b52ffd0458550000', '28b52ffd04', '28b52ffd0458070000', 'aabbccdd', '28b5', piped.slice(0, -2), piped.replace('9b86', '9b87')]) t.throws(() => inflated(hex), RangeError, hex)
  t.end()
})

t.test('a broken zstd frame leaves nothing behind in the memory of the library', (t) => {
  const before = process.memoryUsage().external
  fc.assert(fc.property(fc.nat(ZSTD_ZEROS.length - 1), fc.nat(255), (at, byte) => {
    const broken = Buffer.from(ZSTD_ZEROS)
    broken[at] = byte
    try { inflateZstd(broken, MAX_INFLATED_BYTES) } catch {}
  }), { numRuns: 500 })
  t.equal(inflateZstd(ZSTD_ZEROS, MAX_INFLATED_BYTES).length, 100_000)
  t.ok(process.memoryUsage().external - before < 4 * MAX_INFLATED_BYTES, 'the room for each was given back')
  t.end()
})

t.test('each codec stops at its bound', async (t) => {
  const { Snappy } = kafkajs.CompressionTypes
  const snappied = await codec(Snappy).compress({ buffer: TEXT })
  t.throws(() => inflateSnappy(snappied, 1_000), /grows past/)
  t.throws(() => inflateZstd(Buffer.from('not zstd'), 1_000), RangeError)
})

t.test('a batch that cannot be read becomes as many empty records, at their own offsets', async (t) => {
  installCodecs()
  for (const count of [1, 64, 65, 300, 20_000]) {
    const { records } = await decodeBatch(new Decoder(batch(count, Buffer.from('this is no gzip'))))
    t.equal(records.length, count)
    t.ok(records.every(({ key, value, isControlRecord }) => key === null && value === null && !isControlRecord))
    t.ok(records.every(({ offset }, i) => offset === String(1_000 + i)))
  }
})

t.test('a batch that holds no records, or not so many, or one that lies about a length, becomes empty ones as well', async (t) => {
  installCodecs()
  // Length 10, attributes, two deltas, no key, a value of one byte, one header with a key of one byte and no value.
  const record = Buffer.from([20, 0, 0, 0, 1, 2, 0x61, 2, 2, 0x62, 1])
  const values = async (count: number, ...parts: Buffer[]): Promise<Array<string | undefined>> => {
    const { records } = await decodeBatch(new Decoder(batch(count, gzipSync(Buffer.concat(parts)))))
    return records.map(({ value }) => value?.toString())
  }
  const changed = (at: number, byte: number): Buffer => Buffer.from(record).fill(byte, at, at + 1)
  t.same(await values(2, record, record), ['a', 'a'])
  t.same(await values(2, record), [undefined, undefined])
  t.same(await values(2, record, record.subarray(0, -2)), [undefined, undefined])
  t.same(await values(1, Buffer.from('no record')), [undefined])
  for (const [at, byte, what] of [[0, 19, 'a negative size'], [0, 200, 'a size without an end'], [4, 3, 'a negative key'], [5, 40, 'a long value'], [7, 1, 'fewer than no headers'], [7, 120, 'many headers'], [8, 60, 'a long header']] as const) {
    t.same(await values(1, changed(at, byte)), [undefined], what)
  }
})

t.test('what stands in no batch is a message, whatever stands before it', async (t) => {
  const broken = codecOf(() => { throw new RangeError('broken') }, (data) => data)
  const bytes = Buffer.concat([Buffer.alloc(60, 1), Buffer.from([1, 2, 3])])
  for (const compressed of [null, Buffer.from(new Uint8Array([1, 2, 3]).buffer), bytes.subarray(60)]) t.equal(await broken.decompress(compressed), EMPTY_MESSAGE)
  const inBatch = batch(7, Buffer.from('broken'))
  t.same(await broken.decompress(inBatch.subarray(61)), emptyRecords(7))
  t.equal(await broken.decompress(inBatch.subarray(61, -1)), EMPTY_MESSAGE, 'nor does a header of another length belong to it')
})
