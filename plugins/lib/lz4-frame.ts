/** Frames of lz4 by the library, which trusts what it reads: lengths are looked at before it is let in. */
import * as lz4 from 'lz4js'

const MIN_MATCH = 4

const MAGIC = 0x184d2204
const VERSION = 1
/** The highest bit of a block's size says that it is not compressed. */
const PLAIN = 0x80000000
/** Of the smallest size that a frame can have for all it takes 512 to reach 32 MB. */
const MAX_BLOCKS = 10_000

/** lz4_Frame_format.md, 1.6. */
interface FrameHeader {
  /** What each block may grow to. */
  readonly blockBytes: number
  /** Of the checksum behind each block. */
  readonly sumBytes: number
  /** What the frame says it grows to; Infinity: it does not say. */
  readonly contentBytes: number
  /** Where the blocks begin. */
  readonly end: number
}

interface Block {
  readonly start: number
  readonly end: number
  readonly isPlain: boolean
  /** What it grows to. */
  readonly grown: number
}

/** Throws a RangeError where the frame is broken, a block grows past the size that its frame has for all, or all of them past `maxBytes`. */
export function inflateLz4 (compressed: Buffer, maxBytes: number): Buffer {
  const frame = headerOf(compressed)
  let total = 0
  // Walked twice, for the exact size: memory for the most that each block may have, 4 MiB, makes V8 collect all of its heap after a few frames.
  for (const { grown } of blocksOf(compressed, frame)) {
    total += grown
    if (total > maxBytes) throw new RangeError(`a batch grows past ${maxBytes} bytes`)
    if (total > frame.contentBytes) throw new RangeError('an lz4 frame is longer than it says')
  }
  // Zeroed: a match of distance 0 copies what is in the target already.
  const target = Buffer.alloc(total)
  let length = 0
  for (const { start, end, isPlain } of blocksOf(compressed, frame)) {
    length = isPlain ? length + compressed.copy(target, length, start, end) : lz4.decompressBlock(compressed, target, start, end - start, length) as unknown as number
  }
  return target.subarray(0, length)
}

function headerOf (compressed: Buffer): FrameHeader {
  const flags = compressed.readUInt8(4)
  if (compressed.readUInt32LE(0) !== MAGIC || flags >> 6 !== VERSION) throw new RangeError('no lz4 frame')
  const saysBytes = (flags & 0x08) !== 0
  return {
    // 64 KiB for 4, up to 4 MiB for 7.
    blockBytes: 1 << (8 + 2 * (compressed.readUInt8(5) >> 4 & 7)),
    sumBytes: (flags & 0x10) === 0 ? 0 : 4,
    contentBytes: saysBytes ? Number(compressed.readBigUInt64LE(6)) : Infinity,
    end: saysBytes ? 15 : 7
  }
}

/**
 * The blocks up to the end mark, each checked. Left to itself the library takes the checksum behind a block for one before
 * it; and it walks past the end for as long as a block says, and copies for seconds what goes nowhere.
 */
function * blocksOf (compressed: Buffer, { end: first, blockBytes, sumBytes }: FrameHeader): Generator<Block> {
  let at = first
  for (let count = 0; ; count++) {
    const size = compressed.readUInt32LE(at)
    if (size === 0) return
    if (count === MAX_BLOCKS) throw new RangeError('an lz4 frame has too many blocks')
    const start = at + 4
    const end = start + (size & ~PLAIN)
    if (end > compressed.length) throw new RangeError('an lz4 block is longer than its frame')
    const isPlain = size >= PLAIN
    const grown = isPlain ? end - start : bytesOf(compressed, start, end)
    if (grown > blockBytes) throw new RangeError('an lz4 block is longer than its frame says')
    yield { start, end, isPlain, grown }
    at = end + sumBytes
  }
}

/** What a compressed block grows to: sequences of literals and a match, each length with more bytes to add where it is 15. */
function bytesOf (compressed: Buffer, start: number, end: number): number {
  let total = 0
  let at = start
  const lengthOf = (nibble: number): number => {
    if (nibble < 15) return nibble
    let [length, byte] = [nibble, 255]
    while (byte === 255) length += byte = compressed[at++] ?? 0
    return length
  }
  while (at < end) {
    const token = compressed[at++] as number
    const literals = lengthOf(token >> 4)
    at += literals
    total += literals
    if (at >= end) break
    at += 2
    total += lengthOf(token & 15) + MIN_MATCH
  }
  return total
}
