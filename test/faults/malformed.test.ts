/** Frames that are none, and JSON that nobody should send: each is answered as it must be, and a neighbour hears nothing of it. */
import { setTimeout as pause } from 'node:timers/promises'
import fc from 'fast-check'
import { frames } from '../fuzz/frames.ts'
import { MAX_SERIES } from '../fuzz/fuzz.ts'
import { SECRET } from '../helpers/app.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { closePayload, frame, OP } from '../helpers/frames.ts'
import { OPCODE, RawClient } from '../helpers/raw-client.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { quantileMs } from './harness/knock.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'

const MALFORMED = 10_000
const JSON_FRAMES = 10_000
const SESSIONS_AT_A_TIME = 100
/** They leave a core of the node idle for the most part: what is looked at is faults, not load. */
const [MALFORMED_A_SECOND, SESSIONS_A_SECOND] = [150, 100]
const PEACE_MS = 10_000
const SEND_EVERY_MS = 20
/** Of the neighbour's p99: a tenth, and what a shared machine adds. */
const SLOWER = 1.1
const NOISE_MS = isLong ? 5 : 50
const MAX_MESSAGE_BYTES = 10_240

type Random = (below: number) => number
const bytes = (random: Random, length: number): Buffer => Buffer.from(Array.from({ length }, () => random(256)))
const letters = (random: Random, length: number): Buffer => Buffer.from(Array.from({ length }, () => 97 + random(26)))
const pick = <T> (random: Random, list: readonly T[]): T => list[random(list.length)] as T
/** A lone continuation, over-long forms, halves of surrogates, what is past the last code point. */
const NO_UTF8 = ['80', 'c080', 'c1bf', 'e08080', 'eda080', 'edbfbf', 'f0808080', 'f4908080', 'f880808080', 'ff'].map((hex) => Buffer.from(hex, 'hex'))

/** Kinds of malformed frames, with the code that each is closed with (RFC 6455 sections 5 and 7.4). */
const KINDS: ReadonlyArray<readonly [kind: string, code: number, make: (random: Random) => Buffer]> = [
  ['a reserved bit', 1002, (random) => frame(pick(random, Object.values(OP)), letters(random, random(100)), { rsv: 1 + random(7) })],
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

/** The code of the close frame that came back for these bytes; 0: none came. */
async function closeCodeFor (port: number, token: string, malformed: Buffer): Promise<number> {
  let code = 0
  const client = await RawClient.connect({ port, token, onFrame: (_client, opcode, payload) => { if (opcode === OPCODE.close && payload.length >= 2) code = payload.readUInt16BE() } })
  client.socket.write(malformed)
  await client.closed
  return code
}

/** Begins so many a second, whether those before have ended or not; resolves when all have. */
async function paced (count: number, perSecond: number, one: (i: number) => Promise<void>): Promise<void> {
  const startedMs = performance.now()
  await Promise.all(Array.from({ length: count }, async (_, i) => {
    await pause(startedMs + i / perSecond * 1_000 - performance.now())
    await one(i)
  }))
}

/** From sent to acknowledged, of messages that were sent from the one moment to the other. */
function p99Ms ({ ledger }: FaultWorld, fromMs: number, untilMs: number): number {
  const sentMs = new Map(ledger.entries.flatMap((entry) => entry.kind === 'sent' && entry.atMs >= fromMs && entry.atMs < untilMs ? [[entry.msgId, entry.atMs]] : []))
  return quantileMs(ledger.entries.flatMap((entry) => entry.kind === 'acked' && sentMs.has(entry.msgId) ? [{ tookMs: entry.atMs - (sentMs.get(entry.msgId) ?? 0) }] : []), 0.99)
}

// The sessions of the fuzz carry tokens of their own.
row('F1', '[GW-SND-2] malformed frames are closed with the right code and random JSON is borne; a neighbour is served all the while, and nothing is kept', { nodes: ['node-a'], settings: { AUTH_MODE: 'local', JWT_SECRET_PREVIOUS: SECRET } }, async (t, world) => {
  const port = world.nodes[0]?.port ?? 0
  const random: Random = (below) => Math.floor(world.random() * below)
  const malformed = Array.from({ length: MALFORMED }, (_, i) => (KINDS[i % KINDS.length] as (typeof KINDS)[number])[2](random))
  const seed = random(2 ** 31)
  const sessions: Array<Parameters<typeof frames.play>[1]> = []
  let json = 0
  for (let batch = 0; json < JSON_FRAMES; batch++) {
    for (const session of fc.sample(frames.cases, { seed: seed + batch, numRuns: SESSIONS_AT_A_TIME })) {
      sessions.push(session)
      json += session.frames.length
    }
  }
  const neighbours = ['ann', 'bob'].map((name) => `${name}-${world.run}`) as [string, string]
  for (const user of neighbours) world.world.users.addUser(user)
  const clients = await world.connect(t, neighbours, PATIENCE_MS)
  const answers: Array<Promise<unknown>> = []
  const chatter = setInterval(() => {
    const answer = clients[0]?.send(neighbours[1], 'hi')
    // Awaited below.
    answer?.catch(() => {})
    answers.push(answer ?? Promise.resolve())
  }, SEND_EVERY_MS)
  t.teardown(() => { clearInterval(chatter) })
  await pause(PEACE_MS)
  const peaceMs = performance.now()
  await pause(PEACE_MS)
  const stormMs = performance.now()

  const wrong: string[] = []
  await paced(MALFORMED, MALFORMED_A_SECOND, async (i) => {
    const [kind, code] = KINDS[i % KINDS.length] as (typeof KINDS)[number]
    const seen = await closeCodeFor(port, world.world.auth.mint(`malformed${i}-${world.run}`, 'phone').accessToken, malformed[i] as Buffer)
    if (seen !== code) wrong.push(`${kind}: ${seen} instead of ${code} for ${(malformed[i] as Buffer).toString('hex').slice(0, 200)}`)
  })
  t.strictSame(wrong.slice(0, 5), [], 'each malformed frame is closed with its code')
  await paced(sessions.length, SESSIONS_A_SECOND, async (i) => {
    await frames.play({ port, grpcPort: 0, call: async () => { throw new Error('nothing of this target asks the node') } }, sessions[i] as (typeof sessions)[number])
  })
  clearInterval(chatter)
  await Promise.all(answers)
  const [peaceP99Ms, stormP99Ms] = [p99Ms(world, peaceMs, stormMs), p99Ms(world, stormMs, Infinity)]
  t.ok(stormP99Ms <= peaceP99Ms * SLOWER + NOISE_MS, `the neighbour's p99 was ${peaceP99Ms} ms, and ${stormP99Ms} ms`)
  await eventually(async () => await world.count('connections ') === neighbours.length, PATIENCE_MS)
  const series = (await world.metrics(port)).split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
  t.ok(series < MAX_SERIES, `${series} metric series`)
  const closes = clients.filter(({ sessions: own, state }) => own !== 1 || state !== 'open').length
  t.equal(closes, 0, 'the neighbours stay')
  return { malformed: MALFORMED, wrongCodes: wrong.length, json, neighbourMessages: answers.length, peaceP99Ms, stormP99Ms, series, closes }
})
