/** Reserved bits and opcodes, frames that are not masked, extensions (Autobahn 3, 4, 12 and 13). */
import t from 'tap'
import { ack, closed, expected, FrameNode, message, pong, type FrameCase } from '../helpers/frame-cases.ts'
import { closePayload, cutAt, fragmented, frame, octets, OP, upTo, type FrameShape } from '../helpers/frames.ts'

const node = await FrameNode.start(t)
const RESERVED = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]
const hi = message('hi')
const [head, tail] = cutAt(hi, 20) as [Buffer, Buffer]
const start = frame(OP.text, head, { fin: false })

/** One bad frame in every place where a frame may stand. A message before it is whole, and goes its way. */
function everywhere (id: string, name: string, bad: Buffer): FrameCase[] {
  const answers = closed(1002)
  return [
    { id, name, write: bad, answers },
    { id: `${id}.octets`, name: `${name}, each byte a write`, write: octets(bad), answers },
    { id: `${id}.after`, name: `${name}, after a message`, write: Buffer.concat([frame(OP.text, hi), bad]), answers, contents: ['hi'] },
    { id: `${id}.ping`, name: `${name}, after a ping`, write: Buffer.concat([frame(OP.ping, 'x'), bad]), answers: [pong('x'), ...answers] },
    { id: `${id}.inside`, name: `${name}, inside a fragmented message`, write: Buffer.concat([start, bad, frame(OP.continuation, tail)]), answers }
  ]
}

node.group(t, 'reserved bits are clear where no extension was agreed on', [1, 2, 3, 4, 5, 6, 7].flatMap((rsv) => [
  ...everywhere(`3.1.${rsv}`, `a text with RSV ${rsv}`, frame(OP.text, hi, { rsv })),
  ...everywhere(`3.1.${rsv}.empty`, `an empty text with RSV ${rsv}`, frame(OP.text, '', { rsv })),
  ...everywhere(`3.1.${rsv}.open`, `a first fragment with RSV ${rsv}`, frame(OP.text, head, { rsv, fin: false })),
  ...everywhere(`3.5.${rsv}`, `a binary frame with RSV ${rsv}`, frame(OP.binary, 'x', { rsv })),
  ...everywhere(`3.6.${rsv}`, `a ping with RSV ${rsv}`, frame(OP.ping, 'x', { rsv })),
  ...everywhere(`3.6.${rsv}.pong`, `a pong with RSV ${rsv}`, frame(OP.pong, 'x', { rsv })),
  ...everywhere(`3.7.${rsv}`, `a close with RSV ${rsv}`, frame(OP.close, closePayload(1000), { rsv })),
  ...everywhere(`3.8.${rsv}`, `a continuation with RSV ${rsv}`, frame(OP.continuation, tail, { rsv })),
  ...everywhere(`3.8.${rsv}.open`, `a continuation with RSV ${rsv} that is not the last`, frame(OP.continuation, 'x', { rsv, fin: false }))
]))

node.group(t, 'reserved opcodes', RESERVED.flatMap((opcode) => {
  const id = opcode < 8 ? `4.1.${opcode - 2}` : `4.2.${opcode - 10}`
  return [
    ...everywhere(id, `opcode ${opcode}`, frame(opcode)),
    ...everywhere(`${id}.payload`, `opcode ${opcode} with a payload`, frame(opcode, 'reserved opcode payload')),
    ...everywhere(`${id}.open`, `opcode ${opcode} without FIN`, frame(opcode, 'x', { fin: false })),
    ...everywhere(`${id}.rsv`, `opcode ${opcode} with reserved bits`, frame(opcode, 'x', { rsv: 7 }))
  ]
}))

const bare: FrameShape = { masked: false }
node.group(t, 'a frame of a client is masked', [
  ...everywhere('mask.text', 'a text', frame(OP.text, hi, bare)),
  ...everywhere('mask.text.empty', 'an empty text', frame(OP.text, '', bare)),
  ...everywhere('mask.text.open', 'a first fragment', frame(OP.text, head, { ...bare, fin: false })),
  ...everywhere('mask.text.long', 'a text of 200 bytes', frame(OP.text, message('x'.repeat(200)), bare)),
  ...everywhere('mask.binary', 'a binary frame', frame(OP.binary, 'x', bare)),
  ...everywhere('mask.ping', 'a ping', frame(OP.ping, 'x', bare)),
  ...everywhere('mask.pong', 'a pong', frame(OP.pong, 'x', bare)),
  ...everywhere('mask.close', 'a close', frame(OP.close, closePayload(1000), bare)),
  ...everywhere('mask.continuation', 'a continuation', frame(OP.continuation, tail, bare))
])

for (const [at, offer] of [
  'permessage-deflate',
  'permessage-deflate; client_max_window_bits',
  'permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9',
  'permessage-deflate; client_max_window_bits=99, permessage-bzip2, x-webkit-deflate-frame'
].entries()) {
  // The answer to the upgrade is compared whole: it names no extension.
  const headers = `Sec-WebSocket-Extensions: ${offer}\r\n`
  const plain = { id: `12.1.${at + 1}`, name: 'an offered extension is not taken', write: frame(OP.text, hi), answers: [ack()], contents: ['hi'] }
  t.test(`${plain.id} ${plain.name}: ${offer}`, async (t) => { t.strictSame(await node.run(plain, headers), expected(plain)) })
  const compressed = { id: `13.1.${at + 1}`, name: 'a compressed frame is a violation after it', write: frame(OP.text, Buffer.from('f248cdc9c907', 'hex'), { rsv: 4 }), answers: closed(1002) }
  t.test(`${compressed.id} ${compressed.name}: ${offer}`, async (t) => { t.strictSame(await node.run(compressed, headers), expected(compressed)) })
}

const early = { id: 'early', name: '', write: [], answers: [ack()], contents: ['hi'] }
for (const cut of [0, ...upTo(8)]) {
  t.test(`early.${cut} a message that begins in the write of the upgrade, ${cut} bytes of it, is kept`, async (t) => {
    const [first, ...rest] = cutAt(fragmented([head, tail]), cut) as [Buffer, ...Buffer[]]
    t.strictSame(await node.run({ ...early, write: rest }, '', first), expected(early))
  })
}
