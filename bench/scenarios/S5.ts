/** From the publishing of a group message to the last of its members. */
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'
import { deliveries } from './S3.ts'

const MEMBERS = 10_000
const MESSAGES = 30
const MAX_RATIO = 1.5
const MAX_STALL_MS = 10

export const S5: Scenario = {
  id: 'S5',
  title: `Time from a group message to its members, ${MEMBERS.toLocaleString('en')} of them`,
  units: { p99: 'ms', last: 'ms', stall: 'ms' },
  peers: [GATEWAY, 'ws', 'Socket.IO', 'socket.write', 'C'],
  without: { '@fastify/websocket': 'it is `ws` here', Centrifugo: 'its publishing is a call of its own', 'coder/websocket': 'it has no clock in common' },
  repeats: 5,
  async measure (stage) {
    const isGateway = stage.peer.name === GATEWAY
    // All of them come, and all paths are compiled.
    await deliveries(stage, MEMBERS, MESSAGES, 1)
    if (isGateway) await stage.server.ask('watchLoop')
    await deliveries(stage, MEMBERS, MESSAGES, 1)
    const { p99Us, maxUs } = await stage.load.stats()
    const { p999Ms } = isGateway ? await stage.server.ask<{ p999Ms: number }>('loopDelays') : { p999Ms: NaN }
    return { p99: p99Us / 1000, last: maxUs / 1000, ...(isGateway && { stall: p999Ms }) }
  },
  judge: (results) => {
    const own = medianOf(results, GATEWAY, 'p99')
    const loop = medianOf(results, 'socket.write', 'p99')
    const stall = medianOf(results, GATEWAY, 'stall')
    return [
      { target: `p99 at most ${MAX_RATIO} × that of a bare loop of socket.write`, met: own <= MAX_RATIO * loop, seen: `${(own / loop).toFixed(2)} ×` },
      { target: `p99.9 of the event-loop delay at most ${MAX_STALL_MS} ms`, met: stall <= MAX_STALL_MS, seen: `${stall.toFixed(1)} ms` }
    ]
  }
}
