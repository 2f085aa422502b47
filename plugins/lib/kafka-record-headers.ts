/**
 * kafkajs 2.2.4 copies all headers of a record that it has read for each one more: eight thousand, 40 KB of them, keep the
 * loop for seconds on every node that reads the record. This reads the one header that the gateway looks at, and passes
 * over the rest: in a record it stands last.
 */
import Decoder from 'kafkajs/src/protocol/decoder.js'

/** W3C trace context. */
const WANTED = 'traceparent'
const BOUNDED = Symbol.for('im-gateway.kafkajs.record-headers')

/** What is used of the library's decoder; a release that changes it is noticed and left alone. */
export interface DecoderInternals {
  readonly buffer: Buffer
  offset: number
  readVarInt (): number
  /** The library reads nothing but headers with it. */
  readVarIntArray (read: (decoder: DecoderInternals) => RecordHeader): RecordHeader[]
}
export interface RecordHeader { readonly key: string | null, readonly value: Buffer | null }

/** Changes the library once per process. Returns false where it is not the one that was written for. */
export function boundRecordHeaders (): boolean {
  const prototype = Decoder.prototype as DecoderInternals & { [BOUNDED]?: true }
  if (prototype[BOUNDED] === true) return true
  if (typeof prototype.readVarInt !== 'function' || typeof prototype.readVarIntArray !== 'function') return false
  prototype[BOUNDED] = true
  prototype.readVarIntArray = readWanted
  return true
}

function readWanted (this: DecoderInternals, read: (decoder: DecoderInternals) => RecordHeader): RecordHeader[] {
  const count = this.readVarInt()
  // Past the end the library reads zeros, and a negative length leads it backwards: neither goes on for as long as was said.
  for (let n = 0, before = -1; n < count && this.offset > before && this.offset < this.buffer.length; n++) {
    before = this.offset
    const header = read(this)
    if (header.key === WANTED) return [header]
  }
  return []
}
