/** The records within a batch of Kafka (magic 2), as the library reads them: whether it can, and what stands in where it cannot. */

/**
 * The library makes arguments of a call of a batch's records, of which there is a limit at some 120,000, and reads a thousand a
 * millisecond. Writers put 1 MB before compression into a batch: twenty bytes for each of these.
 */
export const MAX_RECORDS = 50_000

/** The library throws at a longer one. */
const MAX_VARLONG_BYTES = 10

/**
 * Whether the library can read so many records here, at offsets that go up to the last of the batch: it throws at the end of the data,
 * walks backwards where a length is negative, and goes on behind whatever offset the last record names. Brokers look at the offsets
 * of compressed records alone; writers that give all the same are read.
 */
export function areRecords (bytes: Buffer, count: number, lastOffsetDelta: number): boolean {
  let at = 0
  /** NaN past the end; all comparisons with that are false. */
  const number = (): number => {
    let [value, factor, byte] = [0, 1, 0x80]
    while (byte >= 0x80) {
      byte = bytes[at++] ?? NaN
      value += (byte & 0x7f) * factor
      factor *= 0x80
      if (Number.isNaN(byte)) return NaN
    }
    return value % 2 === 0 ? value / 2 : (value + 1) / -2
  }
  /** Goes past a length and its bytes; -1: null. */
  const skip = (end: number): boolean => {
    const length = number()
    at += Math.max(length, 0)
    return length >= -1 && at <= end
  }
  let before = 0
  for (let i = 0; i < count; i++) {
    const size = number()
    const end = at + size
    if (!(size > 0 && end <= bytes.length)) return false
    const time = ++at
    number()
    if (at - time > MAX_VARLONG_BYTES) return false
    const offset = number()
    if (!(offset >= before && offset <= lastOffsetDelta)) return false
    before = offset
    if (!skip(end) || !skip(end)) return false
    const headers = number()
    if (!(headers >= 0)) return false
    for (let n = 0; n < headers; n++) if (!skip(end) || !skip(end)) return false
    at = end
  }
  return true
}

/** So many records with a null key and a null value, the first at this offset of the batch: the reader counts them as malformed and goes on. */
export function emptyRecords (count: number, firstOffsetDelta = 0): Buffer {
  const records: number[] = []
  for (let i = 0; i < count; i++) {
    const offset = varint(firstOffsetDelta + i)
    // Length, attributes, timestamp delta, offset delta, key length -1, value length -1, no headers.
    records.push(...varint(5 + offset.length), 0, 0, ...offset, 1, 1, 0)
  }
  return Buffer.from(records)
}

/** A zigzag varint of a non-negative number. */
function varint (value: number): number[] {
  const bytes: number[] = []
  let rest = value * 2
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80)
  return [...bytes, rest]
}
