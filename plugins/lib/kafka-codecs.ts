/**
 * Decompression of Kafka's record batches: gzip by Node, snappy, lz4 and zstd by libraries without native parts. What a
 * batch may grow to is bounded. One that grows past that, or is broken, is passed over; otherwise its partition would stop there for good.
 */
import { promisify } from 'node:util'
import { gzip, gunzip } from 'node:zlib'
import kafkajs from 'kafkajs'
import { snappyCompress, snappyUncompressor } from 'hysnappy'
import * as lz4 from 'lz4js'
import { ZSTDDecoder } from 'zstddec'
import { asBuffer } from './bytes.ts'
import { checkBudget, spend } from './kafka-fetch-budget.ts'
import { areMessages, EMPTY_MESSAGE } from './kafka-messages.ts'
import { areRecords, emptyRecords } from './kafka-records.ts'
import { inflateLz4 } from './lz4-frame.ts'

const { CompressionCodecs, CompressionTypes } = kafkajs

/** A batch is at most 1 MB compressed by Kafka's default; more than this is a bomb, not text. */
export const MAX_INFLATED_BYTES = 32 * 1024 * 1024

type Inflate = (compressed: Buffer, maxBytes: number) => Buffer | Promise<Buffer>

/** What the library asks of a codec. */
export interface Codec {
  compress (encoder: { readonly buffer: Buffer }): Promise<Buffer>
  /** null: of a message without a value. */
  decompress (compressed: Buffer | null): Promise<Buffer>
}

const nextTurn = promisify(setImmediate)
const inflateGzip = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip)
const deflateGzip = promisify<Buffer, Buffer>(gzip)

/** xerial's framing, which Java's clients write: magic, two versions, then blocks with their lengths before them. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
const XERIAL_HEADER_BYTES = 16

/** Java's clients put 32 KB into one. */
const MAX_XERIAL_BLOCKS = 10_000

/** To make an instance of the library costs more than to inflate most batches, so one is kept. Its memory never shrinks: it is let go once it is larger than this. */
const SNAPPY_KEPT_BYTES = 1024 * 1024
let uncompressKept: ReturnType<typeof snappyUncompressor> | undefined

/** What an earlier batch has left in the memory of the instance cannot come out: a block copies only from its own output. */
function uncompressSnappy (block: Buffer, length: number): Uint8Array {
  const uncompress = uncompressKept ?? snappyUncompressor()
  uncompressKept = block.length + length > SNAPPY_KEPT_BYTES ? undefined : uncompress
  return uncompress(block, length)
}

export const inflateSnappy = (compressed: Buffer, maxBytes: number): Buffer => {
  if (!compressed.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return asBuffer(uncompressSnappy(compressed, lengthOf(compressed, maxBytes)))
  const blocks: Uint8Array[] = []
  let total = 0
  for (let at = XERIAL_HEADER_BYTES; at < compressed.length;) {
    const length = compressed.readInt32BE(at)
    at += 4
    if (length <= 0 || at + length > compressed.length) throw new RangeError('a snappy block is longer than its batch')
    if (blocks.length === MAX_XERIAL_BLOCKS) throw new RangeError('a batch has too many snappy blocks')
    const block = compressed.subarray(at, at + length)
    const inflated = uncompressSnappy(block, lengthOf(block, maxBytes - total))
    blocks.push(inflated)
    total += inflated.length
    at += length
  }
  return Buffer.concat(blocks, total)
}

/** Of the elements of a block a copy with three bytes grows most: to 64. */
const SNAPPY_MAX_GROWTH = 64 / 3

/** What a snappy block says it grows to: a varint of at most five bytes before it (format_description.txt of snappy). */
function lengthOf (block: Buffer, maxBytes: number): number {
  let length = 0
  for (let at = 0; at < 5; at++) {
    const byte = block.readUInt8(at)
    length += (byte & 0x7f) * 2 ** (7 * at)
    if (byte < 0x80) {
      if (length > maxBytes) throw new RangeError(`a batch grows past ${maxBytes} bytes`)
      if (length > block.length * SNAPPY_MAX_GROWTH) throw new RangeError('a snappy block is longer than it can be')
      return length
    }
  }
  throw new RangeError('a snappy block has no length')
}

const zstd = new ZSTDDecoder()
// A node that cannot make it does not start: later it would pass over what it is sent.
await zstd.init()

/**
 * The library has one memory, in which it makes room for as much as a batch may grow to; no frame gets a window of its own. It hands
 * back nothing where it fails.
 */
export const inflateZstd = (compressed: Buffer, maxBytes: number): Buffer => {
  const inflated = zstd.decode(compressed, maxBytes)
  if (inflated.length === 0) throw new RangeError(`a batch is no zstd, or grows past ${maxBytes} bytes`)
  return asBuffer(inflated)
}

const CODECS: ReadonlyArray<[type: number, inflate: Inflate, deflate: (data: Buffer) => Buffer | Promise<Buffer>]> = [
  [CompressionTypes.GZIP, (compressed, maxOutputLength) => inflateGzip(compressed, { maxOutputLength }), deflateGzip],
  [CompressionTypes.Snappy, inflateSnappy, (data) => asBuffer(snappyCompress(data))],
  [CompressionTypes.LZ4, inflateLz4, (data) => Buffer.from(lz4.compress(data))],
  [CompressionTypes.ZSTD, inflateZstd, () => { throw new TypeError('zstd is only read') }]
]

let installed = false

/** Makes the four codecs known to the library; once per process. */
export function installCodecs (): void {
  if (installed) return
  installed = true
  for (const [type, inflate, deflate] of CODECS) {
    const codec = codecOf(inflate, deflate)
    ;(CompressionCodecs as Record<number, () => Codec>)[type] = () => codec
  }
}

/**
 * A codec for which no batch is unreadable: where it cannot be inflated, or holds something else, its records become empty ones. Of a
 * message set of the time before batches, one empty message.
 */
export function codecOf (inflate: Inflate, deflate: (data: Buffer) => Buffer | Promise<Buffer>, maxBytes = MAX_INFLATED_BYTES): Codec {
  return {
    compress: async ({ buffer }) => deflate(buffer),
    async decompress (compressed) {
      if (compressed === null) return EMPTY_MESSAGE
      const batch = batchAround(compressed)
      if (batch === undefined) checkBudget(compressed)
      try {
        const inflated = await inflate(compressed, maxBytes)
        spend(compressed, inflated.length, 0)
        // Batches that follow each other in an answer are otherwise all inflated in one turn of the loop.
        if (inflated.length > TURN_BYTES) await nextTurn()
        if (batch === undefined ? areMessages(inflated) : areRecords(inflated, batch.count, batch.lastOffsetDelta)) return inflated
      } catch {}
      return batch === undefined ? EMPTY_MESSAGE : emptyRecords(batch.count)
    }
  }
}

/** Inflating more takes a millisecond and longer. */
const TURN_BYTES = 1024 * 1024

/** From the length of a batch on. */
const BATCH_HEADER_BYTES = 53

/** The header of a batch stands right before the compressed bytes, which the library slices from it; before those of a message set does not. */
function batchAround (compressed: Buffer): { readonly count: number, readonly lastOffsetDelta: number } | undefined {
  if (compressed.byteOffset < BATCH_HEADER_BYTES) return undefined
  const header = Buffer.from(compressed.buffer, compressed.byteOffset - BATCH_HEADER_BYTES, BATCH_HEADER_BYTES)
  const isBatch = header.readInt32BE(0) === BATCH_HEADER_BYTES - 4 + compressed.length && header.readInt8(8) === 2
  return isBatch ? { count: header.readInt32BE(49), lastOffsetDelta: header.readInt32BE(15) } : undefined
}
