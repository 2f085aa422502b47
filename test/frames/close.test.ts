/** The closing handshake: codes, reasons, what comes behind a close (Autobahn 7). */
import t from 'tap'
import { closed, error, FrameNode, message, messageOf, pong } from '../helpers/frame-cases.ts'
import { closePayload, cutAt, fragmented, frame, octets, OP, upTo } from '../helpers/frames.ts'

const node = await FrameNode.start(t)
const close = (code: number, reason: string | Buffer = ''): Buffer => frame(OP.close, closePayload(code, reason))
const bye = close(1000, 'bye')
const BYE = ['close 1000 bye']
const text = frame(OP.text, message('hi'))

// 1012 to 1014 were registered with IANA after the RFC; 3000 to 4999 belong to libraries and applications.
const VALID = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4001, 4403, 4999]
// 1004 to 1006 and 1015 must not be sent, 1016 to 2999 are nobody's yet.
const INVALID = [0, 1, 100, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1100, 1999, 2000, 2999, 5000, 5001, 9999, 32_768, 65_534, 65_535]

node.group(t, 'what comes behind a close is not looked at', [
  { id: '7.1.1', name: 'a message before it is sent on', write: Buffer.concat([text, bye]), answers: BYE, contents: ['hi'] },
  { id: '7.1.2', name: 'a second close', write: Buffer.concat([bye, close(1001, 'again')]), answers: BYE },
  { id: '7.1.2.write', name: 'a second close, in a write of its own', write: [bye, close(1001, 'again')], answers: BYE },
  { id: '7.1.3', name: 'a ping', write: Buffer.concat([bye, frame(OP.ping, 'x')]), answers: BYE },
  { id: '7.1.3.write', name: 'a ping, in a write of its own', write: [bye, frame(OP.ping, 'x')], answers: BYE },
  { id: '7.1.4', name: 'a message', write: Buffer.concat([bye, text]), answers: BYE },
  { id: '7.1.4.write', name: 'a message, in a write of its own', write: [bye, text], answers: BYE },
  { id: '7.1.5', name: 'the rest of a message', write: [frame(OP.text, message('hi').slice(0, 9), { fin: false }), bye, frame(OP.continuation, message('hi').slice(9))], answers: BYE },
  { id: '7.1.6', name: 'a large message before it, a ping behind it', write: Buffer.concat([frame(OP.text, messageOf(10_240).text), bye, frame(OP.ping)]), answers: BYE, contents: [messageOf(10_240).content] },
  { id: '7.1.6.large', name: 'a message over every limit', write: Buffer.concat([bye, frame(OP.text, 'x'.repeat(262_144))]), answers: BYE },
  { id: '7.1.7', name: 'bytes that are no frame', write: Buffer.concat([bye, Buffer.alloc(1_000, 0xff)]), answers: BYE },
  { id: '7.1.8', name: 'a ping before it is answered', write: Buffer.concat([frame(OP.ping, 'x'), bye]), answers: [pong('x'), ...BYE] },
  { id: '7.1.9', name: 'a binary message', write: Buffer.concat([bye, frame(OP.binary, 'x')]), answers: BYE }
])

node.group(t, 'an answer that is due leaves before the close that comes in the same read', [
  { id: 'close.after-answer', name: 'of the client', write: Buffer.concat([frame(OP.text, '{}'), bye]), answers: [error('INVALID_MESSAGE'), ...BYE] },
  { id: 'close.after-answers', name: 'of the client, all of them', write: Buffer.concat([frame(OP.text, '{}'), frame(OP.text, '{}'), bye]), answers: [error('INVALID_MESSAGE'), error('INVALID_MESSAGE'), ...BYE] },
  { id: 'violation.after-answer', name: 'for a reserved opcode', write: Buffer.concat([frame(OP.text, '{}'), frame(3, '')]), answers: [error('INVALID_MESSAGE'), ...closed(1002)] },
  { id: 'violation.after-answer.utf8', name: 'for what is no UTF-8', write: Buffer.concat([frame(OP.text, '{}'), frame(OP.text, Buffer.from([0xff]))]), answers: [error('INVALID_MESSAGE'), ...closed(1007)] },
  { id: 'violation.after-answer.large', name: 'for a message over every limit', write: Buffer.concat([frame(OP.text, '{}'), frame(OP.text, 'x'.repeat(262_144))]), answers: [error('INVALID_MESSAGE'), ...closed(1009)] }
])

node.group(t, 'what a close carries', [
  { id: '7.3.1', name: 'nothing', write: frame(OP.close), answers: ['close'] },
  ...[0x00, 0x03, 0x20, 0x61, 0xff].map((byte) => ({ id: `7.3.2.${byte}`, name: `the one byte ${byte} is half a code`, write: frame(OP.close, Buffer.from([byte])), answers: closed(1002) })),
  { id: '7.3.3', name: 'a code alone', write: close(1000), answers: closed(1000) },
  { id: '7.3.4', name: 'a code and a reason', write: close(1000, 'Hello World!'), answers: ['close 1000 Hello World!'] },
  ...upTo(123).map((bytes) => ({ id: `7.3.5.${bytes}`, name: `a reason of ${bytes} bytes`, write: close(1000, '*'.repeat(bytes)), answers: [`close 1000 ${'*'.repeat(bytes)}`] })),
  { id: '7.3.6', name: 'a reason of 124 bytes is too long', write: close(1000, '*'.repeat(124)), answers: closed(1002) },
  { id: '7.3.7', name: 'each byte a write', write: octets(close(1001, 'going away')), answers: ['close 1001 going away'] },
  ...upTo(bye.length - 1).map((at) => ({ id: `7.3.8.${at}`, name: `in two writes, cut at ${at}`, write: cutAt(bye, at), answers: BYE }))
])

node.group(t, 'the reason is UTF-8', [
  { id: '7.5.1', name: 'the sample of the suite', write: close(1000, Buffer.from('cebae1bdb9cf83cebcceb5eda080656469746564', 'hex')), answers: closed(1007) },
  ...['80', 'bf', 'c3', 'e282', 'f09f98', 'c080', 'c1bf', 'e09fbf', 'f08fbfbf', 'eda080', 'edbfbf', 'f4908080', 'f5808080', 'fe', 'ff'].flatMap((hex) => {
    const bad = Buffer.from(hex, 'hex')
    return [
      { id: `7.5.${hex}`, name: `${hex} alone`, write: close(1000, bad), answers: closed(1007) },
      { id: `7.5.${hex}.last`, name: `${hex} at the end of the longest reason`, write: close(1000, Buffer.concat([Buffer.alloc(123 - bad.length, 0x2a), bad])), answers: closed(1007) },
      { id: `7.5.${hex}.first`, name: `${hex} at its start`, write: close(1000, Buffer.concat([bad, Buffer.alloc(123 - bad.length, 0x2a)])), answers: closed(1007) }
    ]
  }),
  ...['é', '€', '😀', '\u0000', '\ud7ff', '\ue000', '\ufffe', '\uffff', '\u{10ffff}'].map((good) => ({ id: `7.5.valid.${good.codePointAt(0)}`, name: 'a character of any length comes back', write: close(1000, `<${good}>`), answers: [`close 1000 <${good}>`] })),
  { id: '7.5.invalid-code', name: 'the code is looked at first', write: close(999, Buffer.from([0xff])), answers: closed(1002) }
])

node.group(t, 'codes', [
  ...VALID.flatMap((code) => [
    { id: `7.7.${code}`, name: `${code} comes back`, write: close(code), answers: closed(code) },
    { id: `7.7.${code}.reason`, name: `${code} comes back with its reason`, write: close(code, 'why'), answers: [`close ${code} why`] }
  ]),
  ...INVALID.flatMap((code) => [
    { id: `7.9.${code}`, name: `${code} is a violation`, write: close(code), answers: closed(1002) },
    { id: `7.9.${code}.reason`, name: `${code} is a violation, whatever its reason`, write: close(code, 'why'), answers: closed(1002) }
  ])
])

node.group(t, 'a close inside a message', [
  { id: 'close.inside', name: 'ends it', write: fragmented(cutAt(message('hi'), 9), bye), answers: BYE },
  { id: 'close.inside.code', name: 'has to have a code that is one', write: fragmented(cutAt(message('hi'), 9), close(1005)), answers: closed(1002) }
])
