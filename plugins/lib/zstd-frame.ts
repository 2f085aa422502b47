/**
 * What the zstd library would take for a batch, from the frames alone (RFC 8878): it makes the window that a frame asks for,
 * up to 2 GB, before it looks at what follows, and moves all of it with each block.
 */

/** RFC 8878, section 3.1.1.1.2: what every decoder has. Java's clients ask for 2 MB. */
const MAX_WINDOW_BYTES = 8 * 1024 * 1024
/** Half a second. 32 MB in blocks of 128 KB with the largest window, or 16 MB in a frame that is its own window, move as much. */
const MAX_MOVED_BYTES = 2 * 1024 * 1024 * 1024

/** Section 3.1.1.2.4, but for a window that is smaller. */
const MAX_BLOCK_BYTES = 128 * 1024
const MIN_WINDOW_LOG = 10

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
/** By the flag of the frame header: bytes of the dictionary's id, and of the length of the content. */
const DICTIONARY_BYTES = [0, 1, 2, 4] as const
const CONTENT_BYTES = [0, 2, 4, 8] as const
const BLOCK_RLE = 1
const BLOCK_COMPRESSED = 2
const BLOCK_RESERVED = 3

/**
 * The frames with windows that are no greater than what comes of them: Java's clients ask for 2 MB for the shortest batch, and memory
 * in such pieces makes V8 collect all of its heap after thirty of them. Throws a RangeError where frames end too early, are none, or
 * want too much; `maxBytes`: what may come of them.
 */
export function fitZstdWindows (bytes: Buffer, maxBytes: number): Buffer {
  const fitted = Buffer.from(bytes)
  let at = 0
  let moved = 0
  while (at < bytes.length) {
    const magic = bytes.readUInt32LE(at)
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      at += 8 + bytes.readUInt32LE(at + 4)
      continue
    }
    if (magic !== MAGIC) throw new RangeError('no zstd frame')
    const descriptorAt = at + 5
    const frame = headerAt(bytes, at + 4)
    if (frame.windowBytes > (frame.isSingle ? maxBytes : MAX_WINDOW_BYTES)) throw new RangeError(`a zstd frame asks for a window of ${frame.windowBytes} bytes`)
    at = frame.end
    let grown = 0
    for (let isLast = false; !isLast;) {
      const header = bytes.readUIntLE(at, 3)
      const type = header >> 1 & 3
      if (type === BLOCK_RESERVED) throw new RangeError('no zstd block')
      isLast = (header & 1) === 1
      at += 3 + (type === BLOCK_RLE ? 1 : header >> 3)
      grown += type === BLOCK_COMPRESSED ? MAX_BLOCK_BYTES : header >> 3
      moved += frame.windowBytes
      if (moved > MAX_MOVED_BYTES) throw new RangeError('a zstd frame has too many blocks for its window')
    }
    if (!frame.isSingle && grown < frame.windowBytes) fitted.writeUInt8(descriptorOf(grown), descriptorAt)
    if (frame.hasChecksum) at += 4
  }
  return fitted
}

/** Of the smallest window without a mantissa that so many bytes fit into. */
function descriptorOf (windowBytes: number): number {
  return Math.max(0, Math.ceil(Math.log2(windowBytes)) - MIN_WINDOW_LOG) << 3
}

interface FrameHeader {
  readonly windowBytes: number
  /** All of it is one segment, which is the window. */
  readonly isSingle: boolean
  readonly hasChecksum: boolean
  /** Where the blocks begin. */
  readonly end: number
}

function headerAt (bytes: Buffer, at: number): FrameHeader {
  const flags = bytes.readUInt8(at)
  const isSingle = (flags & 0x20) !== 0
  const dictionaryAt = at + (isSingle ? 1 : 2)
  const contentAt = dictionaryAt + (DICTIONARY_BYTES[flags & 3] as number)
  const contentBytes = flags >> 6 === 0 && isSingle ? 1 : CONTENT_BYTES[flags >> 6] as number
  const end = contentAt + contentBytes
  const hasChecksum = (flags & 4) !== 0
  if (isSingle) return { windowBytes: contentOf(bytes, contentAt, contentBytes), isSingle, hasChecksum, end }
  const descriptor = bytes.readUInt8(at + 1)
  const base = 2 ** (MIN_WINDOW_LOG + (descriptor >> 3))
  return { windowBytes: base + base / 8 * (descriptor & 7), isSingle, hasChecksum, end }
}

function contentOf (bytes: Buffer, at: number, length: number): number {
  switch (length) {
    case 8: return Number(bytes.readBigUInt64LE(at))
    case 2: return bytes.readUInt16LE(at) + 256
    default: return bytes.readUIntLE(at, length)
  }
}
