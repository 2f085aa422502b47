/** Messages of Kafka from before 0.11 (magic 0 and 1), which may be in a compressed one, as the library reads them. */
import { MAX_RECORDS } from './kafka-records.ts'

const MAGIC_AT = 16
/** To the length of the key: offset, size, checksum, magic, attributes; of magic 1 a time as well. */
const KEY_AT = [18, 26] as const

/** Offset 0, magic 0, no key and no value: within a message that has an offset the library gives that to it. */
export const EMPTY_MESSAGE: Buffer = Buffer.from('0000000000000000' + '0000000e' + '00000000' + '0000' + 'ffffffff' + 'ffffffff', 'hex')

/** Whether there is nothing but messages here, and no more than of records in a batch: a length that is negative leads the library back to where it was, again and again. */
export function areMessages (bytes: Buffer): boolean {
  let at = 0
  for (let count = 0; at < bytes.length; count++) {
    const keyAt = KEY_AT[bytes[at + MAGIC_AT] ?? -1]
    if (keyAt === undefined || count === MAX_RECORDS) return false
    const end = at + 12 + bytes.readInt32BE(at + 8)
    at += keyAt
    for (let field = 0; field < 2; field++) {
      if (at + 4 > bytes.length) return false
      const length = bytes.readInt32BE(at)
      if (length < -1) return false
      at += 4 + Math.max(length, 0)
    }
    if (at !== end || end > bytes.length) return false
  }
  return bytes.length > 0
}
