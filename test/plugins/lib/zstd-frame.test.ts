import t from 'tap'
import { fitZstdWindows } from '../../../plugins/lib/zstd-frame.ts'

/** A frame with this window, of one block. */
const frame = (window: string, ...blocks: string[]): string => `28b52ffd00${window}${blocks.join('')}`
/** Little-endian: whether it is the last one, its type, its length. */
const head = (type: 0 | 1 | 2, length: number, isLast = true): string => {
  const bytes = Buffer.alloc(3)
  bytes.writeUIntLE(length << 3 | type << 1 | Number(isLast), 0, 3)
  return bytes.toString('hex')
}
const fitted = (hex: string): string => fitZstdWindows(Buffer.from(hex, 'hex'), 1_000_000).toString('hex')

t.test('a window is as large as what comes of the frame, where it asks for more', (t) => {
  const raw = (length: number, isLast = true): string => head(0, length, isLast) + '61'.repeat(length)
  const repeated = (length: number, isLast = true): string => `${head(1, length, isLast)}61`
  const compressed = `${head(2, 2)}0000`
  // An exponent of two above 1 KB, times eight.
  for (const [window, fits, ...blocks] of [
    ['58', '00', raw(0)],
    ['58', '00', raw(3)],
    ['58', '00', raw(1_024)],
    ['58', '08', raw(1_025)],
    ['58', '30', repeated(50_000)],
    ['58', '38', compressed],
    ['58', '40', raw(1, false), compressed],
    ['58', '40', repeated(131_072, false), compressed],
    ['58', '48', repeated(131_073, false), compressed],
    ['3f', '38', compressed],
    ['38', '38', compressed],
    ['00', '00', compressed],
    ['08', '08', repeated(2_000_000)]
  ] as const) t.equal(fitted(frame(window, ...blocks)), frame(fits, ...blocks), `${window}: ${blocks.join(' ').slice(0, 40)}`)
  t.end()
})

t.test('each frame for itself, and the bytes that were given stay as they are', (t) => {
  const bytes = Buffer.from(`502a4d1803000000aabbcc${frame('58', `${head(1, 3)}61`)}${frame('50', `${head(1, 2_000)}61`)}`, 'hex')
  const before = bytes.toString('hex')
  t.equal(fitZstdWindows(bytes, 1_000_000).toString('hex'), before.replace('0058', '0000').replace('0050', '0008'))
  t.equal(bytes.toString('hex'), before)
  // A segment is its own window.
  t.equal(fitted('28b52ffd2003190000616263'), '28b52ffd2003190000616263')
  t.end()
})
