/** Messages in fragments, cut everywhere, with control frames between, nested and out of place (Autobahn 5). */
import t from 'tap'
import { ack, closed, error, FrameNode, message, pong } from '../helpers/frame-cases.ts'
import { closePayload, cutAt, fragmented, frame, octets, OP, upTo } from '../helpers/frames.ts'

const MAX_FRAGMENTS = 16
const CONTENT = 'aéß€한😀\u{10ffff}z'
const node = await FrameNode.start(t)
const text = Buffer.from(message(CONTENT))
const taken = { answers: [ack()], contents: [CONTENT] }
const borders = upTo(text.length - 1)
const evenly = (parts: number): Buffer[] => cutAt(text, ...upTo(parts - 1).map((n) => Math.floor(n * text.length / parts)))
const [first, second] = evenly(2) as [Buffer, Buffer]
const open = frame(OP.text, first, { fin: false })
const end = frame(OP.continuation, second)
const whole = frame(OP.text, text)

node.group(t, 'a message is the same wherever it is cut', [
  ...borders.map((at) => ({ id: `5.3.${at}`, name: `two fragments, cut at ${at}`, write: fragmented(cutAt(text, at)), ...taken })),
  ...borders.map((at) => ({ id: `5.4.${at}`, name: `two fragments, cut at ${at}, each a write`, write: [frame(OP.text, text.subarray(0, at), { fin: false }), frame(OP.continuation, text.subarray(at))], ...taken })),
  ...borders.map((at) => ({ id: `5.6.${at}`, name: `a ping between two fragments, cut at ${at}`, write: fragmented(cutAt(text, at), frame(OP.ping, 'x')), answers: [pong('x'), ack()], contents: [CONTENT] })),
  ...upTo(text.length - 2).map((at) => ({ id: `5.3.${at}.1`, name: `three fragments, the second of the one byte at ${at}`, write: fragmented(cutAt(text, at, at + 1)), ...taken })),
  ...upTo(whole.length - 1).map((at) => ({ id: `5.20.${at}`, name: `one frame in two writes, cut at ${at}`, write: cutAt(whole, at), ...taken })),
  ...upTo(open.length + end.length - 1).map((at) => ({ id: `5.20.fragments.${at}`, name: `two fragments in two writes, cut at ${at}`, write: cutAt(Buffer.concat([open, end]), at), ...taken })),
  { id: '5.5', name: 'two fragments, each byte a write', write: octets(Buffer.concat([open, end])), ...taken },
  ...upTo(MAX_FRAGMENTS - 1).map((n) => n + 1).map((parts) => ({ id: `5.3.parts.${parts}`, name: `${parts} fragments`, write: fragmented(evenly(parts)), ...taken })),
  { id: '5.3.bytes', name: 'a text of 12 bytes in as many fragments', write: fragmented(octets(Buffer.from('{"type":"x"}'))), answers: [error('UNKNOWN_MESSAGE_TYPE')] }
])

node.group(t, 'empty fragments', [
  { id: 'empty.1', name: 'one before', write: fragmented(['', text]), ...taken },
  { id: 'empty.2', name: 'one behind', write: fragmented([text, '']), ...taken },
  { id: 'empty.3', name: 'one between', write: fragmented([first, '', second]), ...taken },
  { id: 'empty.4', name: 'everywhere', write: fragmented(['', '', first, '', second, '', '']), ...taken },
  { id: 'empty.5', name: 'three empty fragments are an empty text', write: fragmented(['', '', '']), answers: [error('INVALID_MESSAGE')] },
  { id: 'empty.6', name: 'nothing but the last is empty, with pings between', write: fragmented([first, second, ''], frame(OP.ping)), answers: [pong(), pong(), ack()], contents: [CONTENT] }
])

node.group(t, 'control frames between fragments', [
  { id: '5.7', name: 'a ping, each frame a write', write: [open, frame(OP.ping, 'ping payload'), end], answers: [pong('ping payload'), ack()], contents: [CONTENT] },
  { id: '5.8', name: 'a ping, each byte a write', write: octets(Buffer.concat([open, frame(OP.ping, 'ping payload'), end])), answers: [pong('ping payload'), ack()], contents: [CONTENT] },
  { id: '5.19', name: 'five fragments with pings between', write: fragmented(evenly(5), frame(OP.ping, 'p')), answers: [...upTo(4).map(() => pong('p')), ack()], contents: [CONTENT] },
  { id: '5.19.pong', name: 'five fragments with pongs between', write: fragmented(evenly(5), frame(OP.pong, 'p')), ...taken },
  { id: '5.19.full', name: 'sixteen fragments with full pings and pongs between', write: fragmented(evenly(16), Buffer.concat([frame(OP.ping, 'y'.repeat(125)), frame(OP.pong, 'z'.repeat(125))])), answers: [...upTo(15).map(() => pong('y'.repeat(125))), ack()], contents: [CONTENT] },
  { id: '5.19.close', name: 'a close ends it, and the message with it', write: Buffer.concat([open, frame(OP.close, closePayload(1000)), end]), answers: closed(1000) }
])

const later = frame(OP.text, message('later'))
node.group(t, 'a continuation of nothing', [
  ...[true, false].flatMap((fin) => {
    const stray = frame(OP.continuation, 'non-continuation payload', { fin })
    const name = fin ? 'with FIN' : 'without FIN'
    const id = fin ? 9 : 12
    return [
      { id: `5.${id}`, name: `${name}, then a message`, write: Buffer.concat([stray, later]), answers: closed(1002) },
      { id: `5.${id + 1}`, name: `${name}, each frame a write`, write: [stray, later], answers: closed(1002) },
      { id: `5.${id + 2}`, name: `${name}, each byte a write`, write: octets(stray), answers: closed(1002) },
      { id: `5.${id}.empty`, name: `${name}, empty`, write: frame(OP.continuation, '', { fin }), answers: closed(1002) },
      { id: `5.${id}.after`, name: `${name}, after a whole message`, write: Buffer.concat([whole, stray]), answers: closed(1002), contents: [CONTENT] },
      { id: `5.15.${fin ? 'fin' : 'open'}`, name: `${name}, after a message in fragments`, write: Buffer.concat([open, end, stray, later]), answers: closed(1002), contents: [CONTENT] },
      { id: `5.${id}.ping`, name: `${name}, after a ping`, write: Buffer.concat([frame(OP.ping, 'x'), stray]), answers: [pong('x'), ...closed(1002)] }
    ]
  }),
  { id: '5.16', name: 'without FIN, then a first fragment and its end', write: Buffer.concat([frame(OP.continuation, 'x', { fin: false }), open, end]), answers: closed(1002) },
  { id: '5.17', name: 'with FIN, then a first fragment and its end', write: Buffer.concat([frame(OP.continuation, 'x'), open, end]), answers: closed(1002) }
])

node.group(t, 'a new message inside another', [
  ...([['text', OP.text], ['binary', OP.binary]] as const).flatMap(([name, opcode]) => [true, false].flatMap((fin) => {
    const nested = frame(opcode, message('nested'), { fin })
    const id = `5.18.${name}.${fin ? 'fin' : 'open'}`
    const what = fin ? `a whole ${name}` : `the first fragment of a ${name}`
    return [
      { id, name: what, write: Buffer.concat([open, nested]), answers: closed(1002) },
      { id: `${id}.octets`, name: `${what}, each byte a write`, write: octets(Buffer.concat([open, nested])), answers: closed(1002) },
      { id: `${id}.late`, name: `${what}, after a continuation`, write: Buffer.concat([open, frame(OP.continuation, 'x', { fin: false }), nested]), answers: closed(1002) },
      { id: `${id}.ping`, name: `${what}, after a ping`, write: Buffer.concat([open, frame(OP.ping, 'x'), nested]), answers: [pong('x'), ...closed(1002)] },
      { id: `${id}.empty`, name: `${what}, empty, after an empty fragment`, write: Buffer.concat([frame(OP.text, '', { fin: false }), frame(opcode, '', { fin })]), answers: closed(1002) },
      { id: `${id}.binary`, name: `${what} inside a binary message`, write: Buffer.concat([frame(OP.binary, 'x', { fin: false }), nested]), answers: closed(1002) }
    ]
  }))
])

// A policy of ours, which RFC 6455 section 7.4.1 has 1008 for.
node.group(t, `a message has ${MAX_FRAGMENTS} fragments at most`, [
  ...[1, 2, 100, 5_000].map((more) => ({ id: `parts.${MAX_FRAGMENTS + more}`, name: `${MAX_FRAGMENTS + more} empty fragments are too many`, write: fragmented(Array.from({ length: MAX_FRAGMENTS + more }, () => '')), answers: closed(1008) })),
  { id: 'parts.17.text', name: 'a good message in 17 fragments', write: fragmented(evenly(17)), answers: closed(1008) },
  { id: 'parts.17.ping', name: 'a ping is no fragment', write: fragmented(evenly(16), frame(OP.ping)), answers: [...upTo(15).map(() => pong()), ack()], contents: [CONTENT] },
  { id: 'parts.open', name: 'the 17th is too many, though the message has no end', write: Buffer.concat([open, ...upTo(16).map(() => frame(OP.continuation, '', { fin: false }))]), answers: closed(1008) },
  { id: 'parts.next', name: 'each message may have as many', write: Buffer.concat([fragmented(evenly(16)), fragmented(cutAt(message(CONTENT, 'm2'), ...upTo(15)))]), answers: [ack(), ack('m2', 2)], contents: [CONTENT, CONTENT] }
])
