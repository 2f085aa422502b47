import * as lz4 from 'lz4js'
import t from 'tap'
import { inflateLz4 } from '../../../plugins/lib/lz4-frame.ts'

const TEXT = Buffer.from('a chat is mostly the same words again, '.repeat(4_000))
const SMALL = Buffer.from(lz4.compress(TEXT))

t.test('a frame stops at its bound, and holds no more than it says', (t) => {
  t.ok(inflateLz4(SMALL, 10_000_000).equals(TEXT))
  t.throws(() => inflateLz4(SMALL, 1_000), RangeError)
  t.throws(() => inflateLz4(Buffer.from('not lz4 at all'), 1_000), /no lz4 frame/)
  // A frame that says 10 bytes, and has more.
  const lying = Buffer.concat([SMALL.subarray(0, 4), Buffer.from([0x48, SMALL[5] as number, 10, 0, 0, 0, 0, 0, 0, 0, 0]), SMALL.subarray(7)])
  t.throws(() => inflateLz4(lying, 1_000_000), /longer than it says/)
  t.end()
})

t.test('a block that is longer than its frame is refused, not looked for past the end', (t) => {
  t.throws(() => inflateLz4(SMALL.subarray(0, -4), 10_000_000), RangeError)
  // Two thousand million bytes would take an hour.
  const lying = Buffer.from(SMALL)
  lying.writeUInt32LE(0x7fffffff, 7)
  t.throws(() => inflateLz4(lying, 10_000_000), RangeError)
  t.end()
})

/** A frame of one compressed block, whose blocks make 64 KiB at most. */
function frameOf (...parts: readonly Buffer[]): Buffer {
  const block = Buffer.concat(parts)
  const head = Buffer.from('04224d18' + '4040' + '00' + '00000000', 'hex')
  head.writeUInt32LE(block.length, 7)
  return Buffer.concat([head, block, Buffer.alloc(4)])
}

/** One literal, then a match that repeats it: 15, 4, so many times 255, and a rest. */
function match (times: number, rest: number): Buffer {
  return frameOf(Buffer.from([0x1f, 0x61, 1, 0]), Buffer.alloc(times, 255), Buffer.from([rest]))
}

const TOO_LONG = { message: /^an lz4 (frame|block) is longer than (it|its frame) says$/ }

t.test('a match is no longer than a block may be, and nothing is copied to find out', (t) => {
  const full = inflateLz4(match(256, 236), 1_000_000)
  t.equal(full.length, 65_536)
  t.ok(full.every((byte) => byte === 0x61))
  t.throws(() => inflateLz4(match(256, 237), 1_000_000), TOO_LONG)
  // 255 MB of one: copied, for seconds, past the end of what they are copied to.
  t.throws(() => inflateLz4(match(1_000_000, 0), 10_000_000), TOO_LONG)
  t.end()
})

t.test('literals count as well, whether they are there or not', (t) => {
  t.throws(() => inflateLz4(frameOf(Buffer.from([0xf0]), Buffer.alloc(300, 255), Buffer.from([0])), 10_000_000), TOO_LONG)
  t.end()
})

t.test('the checksum that follows each block is passed over, and all blocks are read', (t) => {
  // A compressed one of "aaaaaa" and one as it is, each with its sum; that of the frame at the end.
  const frame = Buffer.from('04224d18' + '5440' + '00' + '05000000' + '1161' + '0100' + '00' + 'dddddddd' + '02000080' + '6263' + 'dddddddd' + '00000000' + 'dddddddd', 'hex')
  t.equal(inflateLz4(frame, 1_000_000).toString(), 'aaaaaabc')
  t.end()
})

t.test('a frame ends at the first block that is more than it says it holds, whatever comes behind it', (t) => {
  const block = match(256, 236).subarray(7, -4)
  const head = Buffer.from('04224d18' + '4840' + '0000010000000000' + '00', 'hex')
  t.equal(inflateLz4(Buffer.concat([head, block, Buffer.alloc(4)]), 1_000_000).length, 65_536)
  const past = Buffer.from('ffffff7f', 'hex')
  t.throws(() => inflateLz4(Buffer.concat([head, block, block, past]), 1_000_000), TOO_LONG)
  t.throws(() => inflateLz4(Buffer.concat([head, block, Buffer.from('01000080' + '61', 'hex'), past]), 1_000_000), TOO_LONG)
  t.end()
})

t.test('a frame of more blocks than any writer makes is refused before it is inflated', (t) => {
  const frame = (count: number): Buffer => Buffer.concat([Buffer.from('04224d18404000', 'hex'), Buffer.alloc(5 * count, Buffer.from('0100008061', 'hex')), Buffer.alloc(4)])
  t.equal(inflateLz4(frame(10_000), 1_000_000).length, 10_000)
  t.throws(() => inflateLz4(frame(10_001), 1_000_000), /too many blocks/)
  t.end()
})
