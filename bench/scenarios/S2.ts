/** What idle connections cost: heartbeats every 30 seconds and nothing else. */
import { setTimeout as sleep } from 'node:timers/promises'
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'

const CONNECTIONS = 10_000
/** A heartbeat of each, and the collections with which V8 gives back what the handshakes took, half a minute after them. */
const SETTLE_MS = 45_000
/** A heartbeat of each. */
const WATCH_MS = 31_000
const TARGET_US = 0.8

export const S2: Scenario = {
  id: 'S2',
  title: `CPU of an idle connection with heartbeats every 30 s, of ${CONNECTIONS.toLocaleString('en')}`,
  units: { cpu: 'us/s' },
  peers: [GATEWAY, 'ws', '@fastify/websocket', 'Socket.IO', 'Centrifugo', 'coder/websocket', 'C'],
  without: { 'socket.write': 'it is `ws` but for broadcasts' },
  repeats: 3,
  async measure ({ server, load }) {
    await load.open(CONNECTIONS)
    await sleep(SETTLE_MS)
    await load.reset()
    const before = server.cpuUs
    const started = performance.now()
    await sleep(WATCH_MS)
    const cpuUs = server.cpuUs - before
    const seconds = (performance.now() - started) / 1000
    const { pings, closed } = await load.stats()
    if (closed > 0 || pings < CONNECTIONS) throw new Error(`${pings} pings for ${CONNECTIONS} connections, ${closed} closed`)
    return { cpu: cpuUs / CONNECTIONS / seconds }
  },
  judge: (results) => {
    const own = medianOf(results, GATEWAY, 'cpu')
    return [{ target: `at most ${TARGET_US} us a second`, met: own <= TARGET_US, seen: `${own.toFixed(2)} us` }]
  }
}
