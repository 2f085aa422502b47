/**
 * kafkajs 2.2.4 believes what a record batch says of itself: one that is not compressed and lies, or one of more records than a call
 * has arguments, is an error each time that it is fetched, which stops its partition for good. This looks at a batch where
 * the library cuts it out of a fetch, and puts one empty record in the place of what it could not read.
 */
import Decoder from 'kafkajs/src/protocol/decoder.js'
import { checkBudget, spend } from './kafka-fetch-budget.ts'
import { areRecords, emptyRecords, MAX_RECORDS } from './kafka-records.ts'

const BOUNDED = Symbol.for('im-gateway.kafkajs.batches')

/** What is used of the library's decoder; a release that changes it is noticed and left alone. */
interface DecoderInternals {
  readonly buffer: Buffer
  readonly offset: number
  slice (size: number): DecoderInternals
  readInt32 (): number
  readBytes (byteLength?: number): Buffer | null
}

/** The base offset and the length, which stand before what the library cuts out. */
const LEAD_BYTES = 12
/** Within that: DefaultRecordBatch of Kafka, less the lead. */
const MAGIC_AT = 4
const ATTRIBUTES_AT = 9
const LAST_OFFSET_AT = 11
const COUNT_AT = 45
const RECORDS_AT = 49
const MAGIC = 2
const CODEC_MASK = 7
/** Of the codecs that there are; the library reads a batch with another one as if it had none. */
const LAST_CODEC = 4

/** Changes the library once per process. Returns false where it is not the one that was written for. */
export function boundBatches (): boolean {
  const prototype = Decoder.prototype as DecoderInternals & { [BOUNDED]?: true }
  if (prototype[BOUNDED] === true) return true
  if (typeof prototype.slice !== 'function' || typeof prototype.readInt32 !== 'function' || typeof prototype.readBytes !== 'function') return false
  prototype[BOUNDED] = true
  const { slice, readBytes } = prototype
  prototype.slice = function (this: DecoderInternals, size: number): DecoderInternals {
    const part = slice.call(this, size)
    const isBatch = this.offset >= LEAD_BYTES && size >= RECORDS_AT && part.buffer.length === size && part.buffer[MAGIC_AT] === MAGIC
    if (!isBatch) return part
    checkBudget(part.buffer)
    if (!isReadable(part.buffer)) return new Decoder(emptyBatch(part.buffer)) as DecoderInternals
    spend(part.buffer, 0, part.buffer.readInt32BE(COUNT_AT))
    return part
  }
  // In messages of the time before batches a negative length leads back to where the library was, for ever.
  prototype.readBytes = function (this: DecoderInternals, byteLength = this.readInt32()): Buffer | null {
    return readBytes.call(this, Math.max(-1, byteLength))
  }
  return true
}

/** Compressed records are looked at once they are inflated. */
function isReadable (batch: Buffer): boolean {
  const count = batch.readInt32BE(COUNT_AT)
  if (count < 0 || count > MAX_RECORDS) return false
  const codec = batch.readInt16BE(ATTRIBUTES_AT) & CODEC_MASK
  return (codec > 0 && codec <= LAST_CODEC) || areRecords(batch.subarray(RECORDS_AT), count, batch.readInt32BE(LAST_OFFSET_AT))
}

/** At the last offset, behind which the reader goes on; no shorter than it was, for else the library takes it for one that was cut. */
function emptyBatch (batch: Buffer): Buffer {
  const head = Buffer.from(batch.subarray(0, RECORDS_AT))
  head.writeInt16BE(0, ATTRIBUTES_AT)
  head.writeInt32BE(1, COUNT_AT)
  const record = emptyRecords(1, Math.max(0, batch.readInt32BE(LAST_OFFSET_AT)))
  return Buffer.concat([head, record, batch.subarray(RECORDS_AT + record.length)])
}
