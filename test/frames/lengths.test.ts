/** Lengths of messages and how they are written, the limit of a message, binary messages (Autobahn 1 and 9). */
import t from 'tap'
import { ack, closed, error, FrameNode, message, messageOf, type FrameCase } from '../helpers/frame-cases.ts'
import { cutAt, fragmented, frame, octets, OP, upTo } from '../helpers/frames.ts'

const MAX_BYTES = 10_240
const BINARY = ['close 1003 binary_frame']
const node = await FrameNode.start(t)

const whole = (bytes: number): Pick<FrameCase, 'write' | 'answers' | 'contents'> => {
  const { text, content } = messageOf(bytes)
  return { write: frame(OP.text, text), answers: [ack()], contents: [content] }
}
const evenly = (bytes: number, parts: number): Buffer[] => cutAt(messageOf(bytes).text, ...upTo(parts - 1).map((n) => Math.floor(n * bytes / parts)))
const taken = { answers: [ack()], contents: [messageOf(125).content] }
const { text, content } = messageOf(MAX_BYTES)

node.group(t, 'text messages of all lengths', [
  { id: '1.1.1', name: 'an empty text is no JSON', write: frame(OP.text), answers: [error('INVALID_MESSAGE')] },
  ...[124, 125, 126, 127, 128, 255, 256, 4_095, 4_096, 4_097, MAX_BYTES - 1, MAX_BYTES].map((bytes) => ({ id: `1.1.${bytes}`, name: `a text of ${bytes} bytes`, ...whole(bytes) })),
  ...[MAX_BYTES + 1, 65_535, 65_536, 1_048_576].map((bytes) => ({ id: `1.1.${bytes}`, name: `a text of ${bytes} bytes is too large`, write: frame(OP.text, 'x'.repeat(bytes)), answers: closed(1009) })),
  { id: '1.1.8', name: 'a text of 256 bytes, each byte a write', ...whole(256), write: octets(frame(OP.text, messageOf(256).text)) },
  ...[997, 1_000, 4_096].map((step) => ({ id: `9.3.${step}`, name: `a text as large as allowed, in writes of ${step} bytes`, write: cutAt(frame(OP.text, text), ...upTo(Math.floor(MAX_BYTES / step)).map((n) => n * step)), answers: [ack()], contents: [content] }))
])

node.group(t, 'the limit counts the bytes of the whole message', [
  ...[2, 3, 15, 16].map((parts) => ({ id: `9.1.${parts}`, name: `10 KiB in ${parts} fragments`, write: fragmented(evenly(MAX_BYTES, parts)), answers: [ack()], contents: [content] })),
  ...[2, 3, 15, 16].map((parts) => ({ id: `9.2.${parts}`, name: `one byte more in ${parts} fragments`, write: fragmented(evenly(MAX_BYTES + 1, parts)), answers: closed(1009) })),
  { id: '9.2.empty', name: '10 KiB, then empty fragments', write: fragmented([text, '', '']), answers: [ack()], contents: [content] },
  { id: '9.2.head', name: 'the head of a frame that is too large is enough', write: frame(OP.text, '', { declared: BigInt(MAX_BYTES + 1) }), answers: closed(1009) },
  { id: '9.2.head.continuation', name: 'the head of a continuation that is too large is enough', write: Buffer.concat([frame(OP.text, 'x', { fin: false }), frame(OP.continuation, '', { declared: BigInt(MAX_BYTES) })]), answers: closed(1009) },
  { id: '9.2.ping', name: 'a ping between the fragments does not count', write: fragmented(cutAt(text, 5_000), frame(OP.ping, 'y'.repeat(125))), answers: [`pong ${'79'.repeat(125)}`, ack()], contents: [content] },
  { id: '9.2.next', name: 'each message has the whole limit', write: Buffer.concat([frame(OP.text, text), frame(OP.text, messageOf(MAX_BYTES).text.replace('"m1"', '"m2"'))]), answers: [ack(), ack('m2', 2)], contents: [content, content] },
  { id: '9.2.binary', name: 'a binary message that is too large', write: frame(OP.binary, Buffer.alloc(MAX_BYTES + 1)), answers: closed(1009) }
])

// RFC 6455 section 5.2 binds the sender to the fewest bytes; what a receiver does is its choice: here it reads them.
node.group(t, 'lengths written otherwise', [
  { id: 'length.2', name: '125 in two bytes', write: frame(OP.text, messageOf(125).text, { lengthBytes: 2 }), ...taken },
  { id: 'length.8', name: '125 in eight bytes', write: frame(OP.text, messageOf(125).text, { lengthBytes: 8 }), ...taken },
  { id: 'length.8.10240', name: 'as many as allowed in eight bytes', write: frame(OP.text, text, { lengthBytes: 8 }), answers: [ack()], contents: [content] },
  ...[2, 8].map((lengthBytes) => ({ id: `length.0.${lengthBytes}`, name: `an empty text, its length in ${lengthBytes} bytes`, write: frame(OP.text, '', { lengthBytes: lengthBytes as 2 | 8 }), answers: [error('INVALID_MESSAGE')] })),
  ...[2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n].map((declared) => ({ id: `length.${declared}`, name: 'far more than allowed', write: frame(OP.text, '', { declared }), answers: closed(1009) })),
  // The RFC wants the top bit to be zero and names no code.
  ...[2n ** 63n, 2n ** 63n + 5n, 2n ** 64n - 1n].map((declared) => ({ id: `length.${declared}`, name: 'the top bit is set', write: frame(OP.text, '', { declared }), answers: closed(1009) })),
  ...upTo(14).map((at) => ({
    id: `length.cut.${at}`, name: `the head of a frame comes in two writes, cut at ${at}`, write: cutAt(frame(OP.text, messageOf(300).text, { lengthBytes: 8 }), at), answers: [ack()], contents: [messageOf(300).content]
  }))
])

node.group(t, 'binary messages', [
  ...[0, 1, 125, 126, 127, 128, MAX_BYTES].map((bytes) => ({ id: `1.2.${bytes}`, name: `a binary message of ${bytes} bytes is refused`, write: frame(OP.binary, Buffer.alloc(bytes, 0xfe)), answers: BINARY, answersClose: true })),
  { id: '1.2.8', name: 'a binary message, each byte a write', write: octets(frame(OP.binary, Buffer.alloc(64, 0xff))), answers: BINARY, answersClose: true },
  { id: '1.2.json', name: 'the text of a good message is refused as binary', write: frame(OP.binary, message('hi')), answers: BINARY, answersClose: true },
  { id: '1.2.fragments', name: 'in fragments', write: fragmented([Buffer.alloc(3, 0xfe), '', 'x'], undefined, OP.binary), answers: BINARY, answersClose: true },
  { id: '1.2.after', name: 'after a text, which is still sent on', write: [frame(OP.text, message('hi')), frame(OP.binary, 'x')], answers: BINARY, answersClose: true, contents: ['hi'] }
])
