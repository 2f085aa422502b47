/** Pings and pongs (Autobahn 2), and what a control frame may not be (RFC 6455 section 5.5). */
import t from 'tap'
import { ack, closed, FrameNode, message, pong } from '../helpers/frame-cases.ts'
import { closePayload, cutAt, fragmented, frame, octets, OP, upTo } from '../helpers/frames.ts'

const MAX_BYTES = 125
const MANY = 1_000
const node = await FrameNode.start(t)
const payloadOf = (bytes: number): Buffer => Buffer.from(upTo(bytes).map((n) => n * 7 & 255))
const full = frame(OP.ping, payloadOf(MAX_BYTES))

node.group(t, 'pings within the frame bucket are answered with what they carry [GW-SND-1]', [
  ...[0, ...upTo(MAX_BYTES)].map((bytes) => ({ id: `2.1.${bytes}`, name: `a ping of ${bytes} bytes`, write: frame(OP.ping, payloadOf(bytes)), answers: [pong(payloadOf(bytes))] })),
  { id: '2.2', name: 'a ping of text', write: frame(OP.ping, 'Hello, world!'), answers: [pong('Hello, world!')] },
  { id: '2.3', name: 'a ping of bytes that are no text', write: frame(OP.ping, Buffer.from([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff])), answers: [pong(Buffer.from([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff]))] },
  { id: '2.6', name: 'the largest ping, each byte a write', write: octets(full), answers: [pong(payloadOf(MAX_BYTES))] },
  ...upTo(full.length - 1).map((at) => ({ id: `2.6.${at}`, name: `the largest ping in two writes, cut at ${at}`, write: cutAt(full, at), answers: [pong(payloadOf(MAX_BYTES))] })),
  { id: '2.10', name: 'ten pings', write: Buffer.concat(upTo(10).map((n) => frame(OP.ping, `payload-${n}`))), answers: upTo(10).map((n) => pong(`payload-${n}`)) },
  { id: '2.11', name: 'ten pings, each byte a write', write: octets(Buffer.concat(upTo(10).map((n) => frame(OP.ping, `payload-${n}`)))), answers: upTo(10).map((n) => pong(`payload-${n}`)) },
  { id: '2.12', name: `${MANY} pings`, write: Buffer.concat(upTo(MANY).map((n) => frame(OP.ping, String(n)))), answers: upTo(MANY).map((n) => pong(String(n))) }
])

node.group(t, 'pongs that nobody asked for are passed over', [
  { id: '2.7', name: 'an empty pong', write: frame(OP.pong), answers: [] },
  { id: '2.8', name: 'a pong with a payload', write: frame(OP.pong, 'unsolicited'), answers: [] },
  { id: '2.8.125', name: 'the largest pong', write: frame(OP.pong, payloadOf(MAX_BYTES)), answers: [] },
  { id: '2.9', name: 'a pong, then a ping', write: Buffer.concat([frame(OP.pong, 'unsolicited'), frame(OP.ping, 'ping')]), answers: [pong('ping')] },
  { id: '2.9.many', name: `${MANY} pongs, then a message`, write: Buffer.concat([...upTo(MANY).map((n) => frame(OP.pong, String(n))), frame(OP.text, message('hi'))]), answers: [ack()], contents: ['hi'] }
])

node.group(t, 'a control frame over 125 bytes is a violation', [
  ...[['ping', OP.ping], ['pong', OP.pong], ['close', OP.close]].flatMap(([name, opcode]) => [126, 127, 1_000, 65_535, 65_536].map((bytes) => (
    { id: `2.5.${name}.${bytes}`, name: `a ${name} of ${bytes} bytes`, write: frame(opcode as number, Buffer.alloc(bytes, 0x20)), answers: closed(1002) }
  ))),
  ...[['ping', OP.ping], ['pong', OP.pong], ['close', OP.close]].flatMap(([name, opcode]) => ([2, 8] as const).map((lengthBytes) => (
    { id: `2.5.${name}.length.${lengthBytes}`, name: `a short ${name} that writes its length in ${lengthBytes} bytes`, write: frame(opcode as number, closePayload(1000), { lengthBytes }), answers: closed(1002) }
  ))),
  { id: '2.5.octets', name: 'a ping of 126 bytes, each byte a write', write: octets(frame(OP.ping, Buffer.alloc(126))), answers: closed(1002) },
  { id: '2.5.inside', name: 'between fragments', write: fragmented(['a', 'b'], frame(OP.ping, Buffer.alloc(126))), answers: closed(1002) }
])

node.group(t, 'a control frame in fragments is a violation', [
  ...[['5.1', 'ping', OP.ping], ['5.2', 'pong', OP.pong], ['5.2.close', 'close', OP.close]].flatMap(([id, name, opcode]) => [
    { id: `${id}`, name: `a ${name} in two fragments`, write: fragmented([closePayload(1000), 'b'], undefined, opcode as number), answers: closed(1002) },
    { id: `${id}.empty`, name: `an empty ${name} without FIN`, write: frame(opcode as number, '', { fin: false }), answers: closed(1002) },
    { id: `${id}.octets`, name: `a ${name} in two fragments, each byte a write`, write: octets(fragmented([closePayload(1000), 'b'], undefined, opcode as number)), answers: closed(1002) },
    { id: `${id}.inside`, name: `a ${name} without FIN between the fragments of a text`, write: fragmented(cutAt(message('hi'), 10), frame(opcode as number, closePayload(1000), { fin: false })), answers: closed(1002) }
  ])
])
