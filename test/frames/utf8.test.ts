/**
 * Text is UTF-8 (Autobahn 6; the classes are those of Markus Kuhn's decoder stress test). The check is made of whole
 * messages: failing at the first bad fragment is the receiver's choice (RFC 6455 section 8.1). Short and long texts
 * are looked at by different code, so each sequence comes in both.
 */
import t from 'tap'
import { ack, closed, error, FrameNode, message, type FrameCase } from '../helpers/frame-cases.ts'
import { cutAt, fragmented, frame, octets, OP, upTo } from '../helpers/frames.ts'

const node = await FrameNode.start(t)
const MARK = '@'
const MAX_FRAGMENTS = 16
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const range = (from: number, to: number): number[] => upTo(to - from + 1).map((n) => from + n - 1)
/** The message whose content is `before`, these bytes, `after`; and where they begin. */
function around (bytes: Buffer): { readonly text: Buffer, readonly at: number } {
  const template = message(`κόσμε${MARK}é`)
  const at = Buffer.byteLength(template.slice(0, template.indexOf(MARK)))
  const whole = Buffer.from(template)
  return { text: Buffer.concat([whole.subarray(0, at), bytes, whole.subarray(at + 1)]), at }
}

/** Alone, in a message, at its end, cut everywhere by fragments and by writes. */
function invalid (id: string, name: string, bytes: Buffer): FrameCase[] {
  const { text, at } = around(bytes)
  const answers = closed(1007)
  const borders = [0, ...upTo(bytes.length)]
  return [
    { id: `${id}.alone`, name: `${name}, alone`, write: frame(OP.text, bytes), answers },
    { id: `${id}.json`, name: `${name}, in a short JSON string`, write: frame(OP.text, Buffer.concat([Buffer.from('"'), bytes, Buffer.from('"')])), answers },
    { id: `${id}.content`, name: `${name}, in a message`, write: frame(OP.text, text), answers },
    { id: `${id}.end`, name: `${name}, behind a message`, write: frame(OP.text, Buffer.concat([Buffer.from(message('hi')), bytes])), answers },
    { id: `${id}.octets`, name: `${name}, in a message, each byte a write`, write: octets(frame(OP.text, text)), answers },
    ...(bytes.length > MAX_FRAGMENTS ? [] : [{ id: `${id}.bytes`, name: `${name}, alone, each byte a fragment`, write: fragmented(octets(bytes)), answers }]),
    ...borders.map((offset) => ({ id: `${id}.cut.${offset}`, name: `${name}, in a message of two fragments, cut ${offset} bytes into it`, write: fragmented(cutAt(text, at + offset)), answers }))
  ]
}

function group (name: string, id: string, sequences: Iterable<string>): void {
  node.group(t, name, [...sequences].flatMap((each, n) => invalid(`${id}.${n + 1}`, each, hex(each))))
}

const byte = (value: number): string => value.toString(16).padStart(2, '0')

group('bytes that continue nothing', '6.12', ['80', 'bf', '80 bf', '80 bf 80', '80 bf 80 bf', '80 bf 80 bf 80', '80 bf 80 bf 80 bf', range(0x80, 0xbf).map(byte).join(' '), 'c3 a9 80', 'e2 82 ac bf'])
group('starts without what continues them', '6.13', ['c2 20', 'df 20', 'e0 20', 'ef 20', 'f0 20', 'f4 20', range(0xc0, 0xdf).map((start) => `${byte(start)} 20`).join(' '), range(0xe0, 0xef).map((start) => `${byte(start)} 20`).join(' '), range(0xf0, 0xf7).map((start) => `${byte(start)} 20`).join(' ')])
group('characters without their last bytes', '6.14', ['c2', 'df', 'e0', 'e0 a0', 'e2', 'e2 82', 'ed 9f', 'ef', 'ef bf', 'f0', 'f0 90', 'f0 90 80', 'f0 9f 98', 'f4', 'f4 8f', 'f4 8f bf', 'e2 82 f0 9f 98', 'df ef bf f4 8f bf'])
group('bytes in the middle that continue nothing', '6.15', ['e2 28 ac', 'e2 82 28', 'e2 c2 ac', 'f0 28 98 80', 'f0 9f 28 80', 'f0 9f 98 28', 'f0 9f 98 c0', 'f4 8f ff bf', 'c3 c3', 'c3 c3 a9'])
group('bytes that are never UTF-8', '6.16', ['c0', 'c1', ...range(0xf5, 0xff).map(byte), 'fe fe ff ff'])
group('the same character in too many bytes', '6.17', ['c0 af', 'e0 80 af', 'f0 80 80 af', 'f8 80 80 80 af', 'fc 80 80 80 80 af'])
group('the last character before each length, in too many bytes', '6.18', ['c1 bf', 'e0 9f bf', 'f0 8f bf bf', 'f8 87 bf bf bf', 'fc 83 bf bf bf bf'])
group('zero in too many bytes', '6.19', ['c0 80', 'e0 80 80', 'f0 80 80 80', 'f8 80 80 80 80', 'fc 80 80 80 80 80'])
group('surrogates', '6.20', ['ed a0 80', 'ed ad bf', 'ed ae 80', 'ed af bf', 'ed b0 80', 'ed be 80', 'ed bf bf', 'ed a0 80 ed b0 80', 'ed a0 80 ed bf bf', 'ed ad bf ed b0 80', 'ed ae 80 ed bf bf', 'ed af bf ed b0 80', 'ed af bf ed bf bf'])
group('beyond U+10FFFF', '6.4', ['f4 90 80 80', 'f4 bf bf bf', 'f5 80 80 80', 'f7 bf bf bf', 'f8 88 80 80 80', 'fb bf bf bf bf', 'fc 84 80 80 80 80', 'fd bf bf bf bf bf'])

const [head = Buffer.alloc(0), tail = Buffer.alloc(0)] = cutAt(message('€'), message('€').indexOf('€') + 1)
node.group(t, 'a character is not finished by what is no part of its message', [
  { id: '6.over.1', name: 'by the next message', write: Buffer.concat([frame(OP.text, head), frame(OP.text, tail)]), answers: closed(1007) },
  { id: '6.over.2', name: 'by a ping between', write: Buffer.concat([frame(OP.text, head, { fin: false }), frame(OP.ping, hex('82ac')), frame(OP.continuation, tail.subarray(2))]), answers: ['pong 82ac', ...closed(1007)] },
  { id: '6.over.3', name: 'by a whole message before it', write: Buffer.concat([frame(OP.text, message('€')), frame(OP.text, hex('82ac'))]), answers: closed(1007), contents: ['€'] },
  { id: '6.4.1', name: 'a good fragment, a bad one, a good one', write: fragmented(cutAt(around(hex('f4 90 80 80')).text, around(Buffer.alloc(0)).at, around(Buffer.alloc(0)).at + 4)), answers: closed(1007) },
  { id: '6.4.2', name: 'the same, each frame a write', write: cutAt(around(hex('f4 90 80 80')).text, around(Buffer.alloc(0)).at, around(Buffer.alloc(0)).at + 4).map((part, n) => frame(n === 0 ? OP.text : OP.continuation, part, { fin: n === 2 })), answers: closed(1007) },
  { id: '6.over.4', name: 'a bad text behind a good one that has no answer', write: Buffer.concat([frame(OP.text, '{"type":"ack","msg_id":"m1"}'), frame(OP.text, hex('ff'))]), answers: closed(1007) }
])

/** Characters of every length, first and last of each, and around the surrogates. */
const BORDERS = [0x20, 0x7e, 0x7f, 0x80, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd000, 0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xffff, 0x10000, 0x3ffff, 0x40000, 0xfffff, 0x100000, 0x10ffff]
const NON_CHARACTERS = [...range(0xfdd0, 0xfdef), ...range(0, 16).flatMap((plane) => [plane * 0x10000 + 0xfffe, plane * 0x10000 + 0xffff])]

/** A character comes as it is, in a short text and in a message, wherever it is cut. */
function valid (id: string, codePoint: number): FrameCase[] {
  const character = String.fromCodePoint(codePoint)
  const content = `<${character}>`
  const text = Buffer.from(message(content))
  const at = text.indexOf('<') + 1
  const taken = { answers: [ack()], contents: [content] }
  const name = `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`
  return [
    { id: `${id}.${name}.short`, name: `${name} in a short text`, write: frame(OP.text, `{"type":"${character}"}`), answers: [error('UNKNOWN_MESSAGE_TYPE')] },
    { id: `${id}.${name}`, name: `${name} in a message`, write: frame(OP.text, text), ...taken },
    { id: `${id}.${name}.octets`, name: `${name}, each byte a fragment`, write: fragmented(cutAt(text, ...range(at, at + Buffer.byteLength(character)))), ...taken },
    ...range(0, Buffer.byteLength(character)).map((offset) => ({ id: `${id}.${name}.cut.${offset}`, name: `${name}, cut ${offset} bytes into it`, write: fragmented(cutAt(text, at + offset)), ...taken }))
  ]
}

node.group(t, 'the borders of what is UTF-8', BORDERS.flatMap((codePoint) => valid('6.7', codePoint)))
node.group(t, 'characters that are none are UTF-8 all the same', NON_CHARACTERS.flatMap((codePoint) => valid('6.22', codePoint)))

const PER_MESSAGE = 2_048
node.group(t, 'every character there is', range(0, 16).map((plane) => {
  const contents = upTo(0x10000 / PER_MESSAGE).map((n) => range(plane * 0x10000 + (n - 1) * PER_MESSAGE, plane * 0x10000 + n * PER_MESSAGE - 1)
    .filter((codePoint) => codePoint >= 0x20 && (codePoint < 0xd800 || codePoint > 0xdfff))
    .map((codePoint) => String.fromCodePoint(codePoint)).join('')).filter((content) => content !== '')
  return {
    id: `6.23.${plane}`,
    name: `plane ${plane}`,
    write: Buffer.concat(contents.map((content, n) => frame(OP.text, message(content, `m${n}`)))),
    answers: contents.map((_, n) => ack(`m${n}`, n + 1)),
    contents
  }
}))

// RFC 8259 has no raw control characters in strings; the byte order mark is no part of JSON, and passed over before it.
node.group(t, 'valid UTF-8 that is no JSON leaves the connection as it is', [
  ...range(0, 0x1f).map((code) => ({ id: `6.json.${code}`, name: `the raw control character ${code} in a string`, write: frame(OP.text, message('a@b').replace('@', String.fromCharCode(code))), answers: [error('INVALID_MESSAGE')] })),
  { id: '6.json.escaped', name: 'escaped they are content', write: frame(OP.text, message(String.fromCharCode(...range(0, 0x1f)))), answers: [ack()], contents: [String.fromCharCode(...range(0, 0x1f))] },
  { id: '6.json.bom', name: 'a byte order mark before a message', write: frame(OP.text, `\ufeff${message('hi')}`), answers: [ack()], contents: ['hi'] },
  { id: '6.2', name: 'the sample of the suite', write: frame(OP.text, message('Hello-µ@ßöäüàá-UTF-8!!')), answers: [ack()], contents: ['Hello-µ@ßöäüàá-UTF-8!!'] }
])
