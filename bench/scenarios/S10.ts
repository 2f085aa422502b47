/** One client in a hundred stops reading while a group goes on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { residentBytes } from '../lib/machine.ts'
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, extremesOf, type Scenario } from '../lib/scenario.ts'
import type { Stage } from '../lib/world.ts'

const MEMBERS = 1_000
const DEAF = MEMBERS / 100
/** The kernel takes some 4.5 MB for each of those who stop before a server sees anything of it. */
const CONTENT_BYTES = 8_000
const PER_SECOND = 30
const WARM_UP = 10 * PER_SECOND
/** Longer than WRITE_WAIT, and than the kernel takes all. */
const MESSAGES = 25 * PER_SECOND
const PATIENCE_MS = 10_000
const CLOSE_MS = 2_000
const MEGABYTE = 1024 ** 2
/** OUTBOX_BYTES, as it is unless it is set. */
const MAX_HELD_MB = 1
const MAX_RATIO = 1.2

export const S10: Scenario = {
  id: 'S10',
  title: `One client in a hundred of ${MEMBERS.toLocaleString('en')} stops reading, ${PER_SECOND} messages of ${CONTENT_BYTES.toLocaleString('en')} bytes a second go on`,
  units: { p99: 'ms', before: 'ms', change: '×', held: 'MB each', closed: `of ${DEAF}` },
  peers: [GATEWAY, 'ws', 'Socket.IO'],
  without: { '@fastify/websocket': 'it is `ws` here', 'socket.write': 'it is `ws` here', Centrifugo: 'its messages have one size', 'coder/websocket': 'it waits for each client in turn', C: 'it drops what the kernel does not take' },
  repeats: 5,
  async measure (stage) {
    const { server, load, services } = stage
    services.members = MEMBERS
    await server.ask('content', CONTENT_BYTES)
    await load.open(MEMBERS)
    await flow(stage, WARM_UP, MEMBERS)
    const before = await flow(stage, MESSAGES, MEMBERS)
    await load.deaf(DEAF)
    const after = await flow(stage, MESSAGES, MEMBERS - DEAF)
    // They read again, up to the end where the server has closed them.
    await load.deaf(0)
    await sleep(CLOSE_MS)
    const { up, closed } = await load.stats()
    if (up !== MEMBERS - closed || closed > DEAF) throw new Error(`${up} of ${MEMBERS} are up, ${closed} closed`)
    return { p99: after.p99Ms, before: before.p99Ms, change: after.p99Ms / before.p99Ms, held: Math.max(0, after.peakBytes - before.peakBytes) / DEAF / MEGABYTE, closed }
  },
  judge: (results) => {
    const [change, held, closed] = [medianOf(results, GATEWAY, 'change'), medianOf(results, GATEWAY, 'held'), extremesOf(results, GATEWAY, 'closed').least]
    return [
      { target: `p99 of the others at most ${MAX_RATIO} × what it was`, met: change <= MAX_RATIO, seen: `${change.toFixed(2)} ×` },
      { target: `at most ${MAX_HELD_MB} MB held for each that does not read`, met: held <= MAX_HELD_MB, seen: `${held.toFixed(2)} MB` },
      { target: 'each of them closed', met: closed === DEAF, seen: `${closed} of ${DEAF}` }
    ]
  }
}

/** So many messages, evenly, to so many who read. Throws where these did not get all, once and in order. */
async function flow ({ server, load }: Stage, messages: number, readers: number): Promise<{ p99Ms: number, peakBytes: number }> {
  await load.reset()
  const started = performance.now()
  let peakBytes = 0
  for (let sent = 1; sent <= messages; sent++) {
    await server.ask('broadcast', 1)
    if (sent % PER_SECOND === 0) peakBytes = Math.max(peakBytes, residentBytes(server.pid))
    await sleep(Math.max(0, started + sent * 1000 / PER_SECOND - performance.now()))
  }
  await load.awaitData(messages * readers, PATIENCE_MS)
  const { data, gaps, repeats, p99Us } = await load.stats()
  if (data !== messages * readers || gaps + repeats > 0) throw new Error(`${data} of ${messages * readers} deliveries, ${gaps} missing, ${repeats} twice`)
  return { p99Ms: p99Us / 1000, peakBytes }
}
