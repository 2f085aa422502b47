/** The bytes of WebSocket frames as a client writes them, well formed or not (RFC 6455 section 5.2). */

export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface FrameShape {
  /** Default: true. */
  readonly fin?: boolean
  /** RSV1 is 4, RSV2 is 2, RSV3 is 1. */
  readonly rsv?: number
  /** Default: true. */
  readonly masked?: boolean
  /** Bytes of the extended length, 0, 2 or 8; default: as few as hold it. */
  readonly lengthBytes?: 0 | 2 | 8
  /** A length other than the payload's. */
  readonly declared?: bigint
}

// No byte of it is zero, so that a payload which is not unmasked, or from the wrong offset, is another one.
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d])
const SHORT_BYTES = 125
const MEDIUM_BYTES = 65_535

export function bytesOf (payload: string | Buffer): Buffer {
  return typeof payload === 'string' ? Buffer.from(payload) : payload
}

function lengthOf (length: bigint, isMasked: boolean, bytes: number): Buffer {
  const mask = isMasked ? 0x80 : 0
  if (bytes === 0) return Buffer.from([mask | Number(length)])
  const head = Buffer.alloc(1 + bytes)
  head[0] = mask | (bytes === 2 ? 126 : 127)
  if (bytes === 2) head.writeUInt16BE(Number(length), 1)
  else head.writeBigUInt64BE(length, 1)
  return head
}

/** One frame of a client. */
export function frame (opcode: number, payload: string | Buffer = '', shape: FrameShape = {}): Buffer {
  const { fin = true, rsv = 0, masked = true } = shape
  const body = bytesOf(payload)
  const declared = shape.declared ?? BigInt(body.length)
  const bytes = shape.lengthBytes ?? (declared <= SHORT_BYTES ? 0 : declared <= MEDIUM_BYTES ? 2 : 8)
  const head = Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode]), lengthOf(declared, masked, bytes)])
  return masked ? Buffer.concat([head, MASK, body.map((byte, at) => byte ^ (MASK[at % 4] as number))]) : Buffer.concat([head, body])
}

/** The same frame as a server writes it: whole, not masked, its length in as few bytes as hold it. */
export function serverFrame (opcode: number, payload: string | Buffer): Buffer {
  return frame(opcode, payload, { masked: false })
}

/** The payload of a close frame. */
export function closePayload (code: number, reason: string | Buffer = ''): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), bytesOf(reason)])
}

/** A text message in as many frames as there are parts; `between` stands after each but the last. */
export function fragmented (parts: ReadonlyArray<string | Buffer>, between: Buffer = Buffer.alloc(0), opcode: number = OP.text): Buffer {
  return Buffer.concat(parts.flatMap((part, at) => {
    const isLast = at === parts.length - 1
    const piece = frame(at === 0 ? opcode : OP.continuation, part, { fin: isLast })
    return isLast ? [piece] : [piece, between]
  }))
}

/** Cuts before each offset. */
export function cutAt (whole: string | Buffer, ...offsets: number[]): Buffer[] {
  const bytes = bytesOf(whole)
  return [0, ...offsets].map((from, at) => bytes.subarray(from, offsets[at] ?? bytes.length))
}

/** One buffer for each byte. */
export function octets (bytes: Buffer): Buffer[] {
  return Array.from(bytes, (byte) => Buffer.from([byte]))
}

/** 1 … `count`. */
export function upTo (count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1)
}
