/** From a client's message over the IM Service to its ack. */
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'

const CONNECTIONS = 500
const IN_FLIGHT = 4
const WARM_UP_MS = 2_000
const LOOP_MS = 4_000
const HALF_LOAD_MS = 4_000
const MIN_PER_SECOND = 40_000
const MAX_P99_MS = 5
const MAX_STALL_MS = 10

export const S6: Scenario = {
  id: 'S6',
  title: `CPU of a message from ${CONNECTIONS} connections to the IM Service and its ack`,
  units: { cpu: 'us', p99: 'ms', stall: 'ms' },
  peers: [GATEWAY, 'ws', '@fastify/websocket', 'Socket.IO', 'Centrifugo'],
  without: { 'coder/websocket': 'it has no client of the IM Service', 'socket.write': 'it is `ws` but for broadcasts', C: 'it speaks no gRPC' },
  repeats: 5,
  async measure ({ peer, server, load }) {
    const isGateway = peer.name === GATEWAY
    await load.open(CONNECTIONS)
    await load.closedLoop(IN_FLIGHT, WARM_UP_MS)
    await load.reset()
    const before = server.cpuUs
    const { replies, ms } = await load.closedLoop(IN_FLIGHT, LOOP_MS)
    const cpu = (server.cpuUs - before) / replies
    await check(load)
    // Half of what was reached here, where services and clients share a core.
    await load.reset()
    if (isGateway) await server.ask('watchLoop')
    await load.openLoop(replies / ms * 1000 / 2, HALF_LOAD_MS)
    const { p99Us } = await check(load)
    if (!isGateway) return { cpu, p99: p99Us / 1000 }
    const { p999Ms } = await server.ask<{ p999Ms: number }>('loopDelays')
    return { cpu, p99: p99Us / 1000, stall: p999Ms }
  },
  judge: (results) => {
    const perSecond = 1e6 / medianOf(results, GATEWAY, 'cpu')
    const [p99, stall] = [medianOf(results, GATEWAY, 'p99'), medianOf(results, GATEWAY, 'stall')]
    return [
      { target: `at least ${MIN_PER_SECOND.toLocaleString('en')} a second and core`, met: perSecond >= MIN_PER_SECOND, seen: Math.round(perSecond).toLocaleString('en') },
      { target: `p99 at half load at most ${MAX_P99_MS} ms`, met: p99 <= MAX_P99_MS, seen: `${p99.toFixed(2)} ms` },
      { target: `p99.9 of the event-loop delay at half load at most ${MAX_STALL_MS} ms`, met: stall <= MAX_STALL_MS, seen: `${stall.toFixed(1)} ms` }
    ]
  }
}

type Stats = Awaited<ReturnType<Parameters<Scenario['measure']>[0]['load']['stats']>>

async function check (load: Parameters<Scenario['measure']>[0]['load']): Promise<Stats> {
  const stats = await load.stats()
  if (stats.sent !== stats.replies || stats.repeats + stats.closed > 0) throw new Error(`${stats.sent} sent, ${stats.replies} answered, ${stats.repeats} twice, ${stats.closed} closed`)
  return stats
}
