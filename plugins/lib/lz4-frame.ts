/** Frames of lz4 by the library, which trusts what it reads: lengths are looked at before it is let in. */
import * as lz4 from 'lz4js'

const MIN_MATCH = 4

/** Throws where the frame is broken or grows past `maxBytes`. */
export function inflateLz4 (compressed: Buffer, maxBytes: number): Buffer {
  // Blocks times their greatest size: at most one block too much, and known before any work is done.
  const bound = lz4.decompressBound(compressed) as unknown as number
  if (!(bound >= 0 && bound <= maxBytes)) throw new RangeError(`a batch grows past ${maxBytes} bytes`)
  // A match may say that it begins where it ends: then it is what was there.
  const target = Buffer.alloc(bound)
  return target.subarray(0, inflateBlocks(compressed, target))
}

/**
 * Block by block: the library takes the checksum of a block, which follows it, for what precedes it. Throws a RangeError where a block, or the
 * mark behind the last one, is not there, or a block grows past the size that its frame has for all, or past `target`: the library would walk
 * on past the end for as long as the block says, and copy for seconds what goes nowhere.
 */
function inflateBlocks (compressed: Buffer, target: Buffer): number {
  const flags = compressed.readUInt8(4)
  // 64 KiB for 4, up to 4 MiB for 7.
  const blockBytes = 1 << (8 + 2 * (compressed.readUInt8(5) >> 4 & 7))
  const sumBytes = (flags & 0x10) === 0 ? 0 : 4
  let at = (flags & 0x08) === 0 ? 7 : 15
  let length = 0
  for (;;) {
    const size = compressed.readUInt32LE(at)
    if (size === 0) return length
    at += 4
    // The highest bit says that the block is not compressed.
    const end = at + (size & 0x7fffffff)
    if (end > compressed.length) throw new RangeError('an lz4 block is longer than its frame')
    const isPlain = size > 0x7fffffff
    const grown = isPlain ? end - at : bytesOf(compressed, at, end)
    if (grown > blockBytes || length + grown > target.length) throw new RangeError('an lz4 frame is longer than it says')
    length = isPlain ? length + compressed.copy(target, length, at, end) : lz4.decompressBlock(compressed, target, at, end - at, length) as unknown as number
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
