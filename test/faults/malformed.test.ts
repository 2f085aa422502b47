/** Frames that are none, and JSON that nobody should send: each is answered as it must be, and a neighbour hears nothing of it. */
import { eventually } from '../helpers/bus-conformance.ts'
import { SECRET } from '../helpers/app.ts'
import { closePayload, frame, OP } from '../helpers/frames.ts'
import { OPCODE, RawClient } from '../helpers/raw-client.ts'
import { casesOf, MAX_SERIES, TARGETS } from '../fuzz/fuzz.ts'
import type { Subject } from '../fuzz/target.ts'
import { pause, type FaultWorld } from './harness/fault-world.ts'
import { PATIENCE_MS, row } from './harness/row.ts'

const MALFORMED = 10_000
const RANDOM = 10_000
const LANES = 16
const PEACE_MS = 5_000
const SEND_EVERY_MS = 20
const MAX_MESSAGE_BYTES = 10_240

type Random = (below: number) => number
const bytes = (random: Random, length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)))
const letters = (random: Random, length: number): Buffer => Buffer.from(Array.from({ length }, () => 97 + random(26)))
const pick = <T> (random: Random, list: readonly T[]): T => list[random(list.length)] as T
const opcodes = Object.values(OP)
/** Of UTF-8 that begins well: lone continuations, over-long forms, halves of surrogates, what is past the last code point. */
const NO_UTF8 = ['80', 'c080', 'c1bf', 'e08080', 'eda080', 'edbfbf', 'f0808080', 'f4908080', 'f880808080', 'ff'].map((hex) => Buffer.from(hex, 'hex'))

/** Kinds of malformed frames, with the code that each is closed with (RFC 6455 sections 5 and 7.4). */
const KINDS: ReadonlyArray<readonly [kind: string, code: number, make: (random: Random) => Buffer]> = [
  ['a reserved bit', 1002, (random) => frame(pick(random, opcodes), letters(random, random(100)), { rsv: 1 + random(7) })],
  ['a reserved opcode', 1002, (random) => frame(pick(random, [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), letters(random, random(100)))],
  ['no mask', 1002, (random) => frame(OP.text, letters(random, random(200)), { masked: false })],
  ['a control frame in parts', 1002, (random) => frame(pick(random, [OP.close, OP.ping, OP.pong]), letters(random, random(50)), { fin: false })],
  ['a control frame that is too long', 1002, (random) => frame(pick(random, [OP.ping, OP.pong]), letters(random, 126 + random(500)))],
  ['a continuation of nothing', 1002, (random) => frame(OP.continuation, letters(random, random(100)), { fin: random(2) === 0 })],
  ['a message within another', 1002, (random) => Buffer.concat([frame(OP.text, letters(random, 1 + random(50)), { fin: false }), frame(OP.text, letters(random, random(50)))])],
  ['text that is no UTF-8', 1007, (random) => frame(OP.text, Buffer.concat([letters(random, random(50)), pick(random, NO_UTF8), letters(random, random(50))]))],
  ['a binary frame', 1003, (random) => frame(OP.binary, bytes(random, random(300)))],
  ['more than a message may have', 1009, (random) => frame(OP.text, letters(random, MAX_MESSAGE_BYTES + 1 + random(2_000)))],
  ['half a close code', 1002, (random) => frame(OP.close, bytes(random, 1))],
  ['a close code that nobody may send', 1002, (random) => frame(OP.close, closePayload(pick(random, [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])))]
]

/** What came back for one frame: its close code; 0: none. */
async function closeCodeFor (port: number, token: string, malformed: Buffer): Promise<number> {
  let code = 0
  const client = await RawClient.connect({ port, token, onFrame: (_client, opcode, payload) => { if (opcode === OPCODE.close) code = payload.length < 2 ? 0 : payload.readUInt16BE() } })
  client.socket.write(malformed)
  await client.closed
  return code
}

async function inLanes (count: number, one: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: LANES }, async () => { while (next < count) await one(next++) }))
}

/** From sent to acknowledged, of messages that were sent since. */
function p99Ms (world: FaultWorld, sinceMs: number): number {
  const sent = new Map(world.ledger.entries.flatMap((entry) => entry.kind === 'sent' && entry.atMs >= sinceMs ? [[entry.msgId, entry.atMs] as const] : []))
  const times = world.ledger.entries.flatMap((entry) => entry.kind === 'acked' && sent.has(entry.msgId) ? [entry.atMs - (sent.get(entry.msgId) ?? 0)] : []).sort((a, b) => a - b)
  return Math.round((times[Math.floor(times.length * 0.99)] ?? Infinity) * 10) / 10
}

// The cases of the fuzz carry tokens of their own.
row('F1', '[GW-SND-2] malformed frames are closed with the right code and random JSON is borne; a neighbour is served all the while, and nothing is kept', { nodes: ['node-a'], settings: { AUTH_MODE: 'local', JWT_SECRET_PREVIOUS: SECRET } }, async (t, world) => {
  const port = world.nodes[0]?.port ?? 0
  const neighbours = ['ann', 'bob'].map((name) => `${name}-${world.run}`) as [string, string]
  for (const user of neighbours) world.world.users.addUser(user)
  const [ann] = await world.connect(t, neighbours, PATIENCE_MS)
  const answers: Array<Promise<unknown>> = []
  const chatter = setInterval(() => { if (ann !== undefined) answers.push(ann.send(neighbours[1], 'hi')) }, SEND_EVERY_MS)
  t.teardown(() => { clearInterval(chatter) })
  const peaceMs = performance.now()
  await pause(PEACE_MS)
  const peaceP99Ms = p99Ms(world, peaceMs)

  const stormMs = performance.now()
  const random: Random = (below) => Math.floor(world.random() * below)
  const wrong: string[] = []
  await inLanes(MALFORMED, async (i) => {
    const [kind, code, make] = KINDS[i % KINDS.length] as (typeof KINDS)[number]
    const malformed = make(random)
    const seen = await closeCodeFor(port, world.world.auth.mint(`malformed${i % 500}-${world.run}`, `d${i % LANES}`).accessToken, malformed)
    if (seen !== code) wrong.push(`${kind}: ${seen} instead of ${code} for ${malformed.toString('hex').slice(0, 200)}`)
  })
  t.strictSame(wrong.slice(0, 5), [], 'each malformed frame is closed with its code')

  const subject: Subject = { port, grpcPort: 0, call: async () => { throw new Error('nothing of this target asks the node') } }
  let json = 0
  const cases = casesOf('frames', random(2 ** 31))
  const { play } = TARGETS['frames'] as { play: (subject: Subject, one: unknown) => Promise<void> }
  await Promise.all(Array.from({ length: LANES }, async () => {
    while (json < RANDOM) {
      const { value } = cases.next() as { value: { readonly frames: readonly unknown[] } }
      json += value.frames.length
      await play(subject, value)
    }
  }))
  clearInterval(chatter)
  const stormP99Ms = p99Ms(world, stormMs)
  await Promise.all(answers)
  await eventually(async () => await world.count('connections ') === neighbours.length, PATIENCE_MS)
  const series = (await world.metrics(port)).split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
  t.ok(series < MAX_SERIES, `${series} metric series`)
  const closes = world.ledger.entries.filter(({ kind }) => kind === 'closed').length
  t.equal(closes, 0, 'the neighbours stay')
  return { malformed: MALFORMED, wrongCodes: wrong.length, json, neighbourMessages: answers.length, peaceP99Ms, stormP99Ms, series, closes }
})
