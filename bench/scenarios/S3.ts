/** One message to all members of a group that are here. */
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'
import type { Stage } from '../lib/world.ts'

const MEMBERS = 5_000
const WARM_UP = 20
const MESSAGES = 40
const PATIENCE_MS = 30_000
const MAX_RATIO = 1.1
const MAX_STALL_MS = 10

/** CPU of the server for each delivery, microseconds, of so many rounds with a burst each. Throws where the clients did not get all, once and in order. */
export async function deliveries ({ server, load, services }: Stage, members: number, rounds: number, burst: number): Promise<number> {
  services.members = members
  await load.open(members)
  const run = async (count: number): Promise<void> => {
    await load.reset()
    for (let round = 1; round <= count; round++) {
      await server.ask('broadcast', burst)
      await load.awaitData(members * burst * round, PATIENCE_MS)
    }
  }
  await run(Math.ceil(WARM_UP / burst))
  const before = server.cpuUs
  await run(rounds)
  const cpuUs = server.cpuUs - before
  const { data, gaps, repeats, closed } = await load.stats()
  if (data !== members * burst * rounds || gaps + repeats + closed > 0) throw new Error(`${data} of ${members * burst * rounds} deliveries, ${gaps} missing, ${repeats} twice, ${closed} closed`)
  return cpuUs / data
}

export const S3: Scenario = {
  id: 'S3',
  title: `CPU per delivery of one message of 200 bytes to a group of ${MEMBERS.toLocaleString('en')}`,
  units: { cpu: 'us', p99: 'ms', stall: 'ms' },
  peers: [GATEWAY, 'ws', '@fastify/websocket', 'Socket.IO', 'Centrifugo', 'coder/websocket', 'socket.write', 'C'],
  repeats: 5,
  async measure (stage) {
    const isGateway = stage.peer.name === GATEWAY
    const cpu = await deliveries(stage, MEMBERS, MESSAGES, 1)
    const { p99Us } = await stage.load.stats()
    if (!isGateway) return { cpu, p99: p99Us / 1000 }
    await stage.server.ask('watchLoop')
    await deliveries(stage, MEMBERS, MESSAGES, 1)
    const { p999Ms } = await stage.server.ask<{ p999Ms: number }>('loopDelays')
    return { cpu, p99: p99Us / 1000, stall: p999Ms }
  },
  judge: (results) => {
    const own = medianOf(results, GATEWAY, 'cpu')
    const loop = medianOf(results, 'socket.write', 'cpu')
    const stall = medianOf(results, GATEWAY, 'stall')
    return [
      { target: `at most ${MAX_RATIO} × a bare loop of socket.write`, met: own <= MAX_RATIO * loop, seen: `${(own / loop).toFixed(2)} ×` },
      { target: `p99.9 of the event-loop delay at most ${MAX_STALL_MS} ms`, met: stall <= MAX_STALL_MS, seen: `${stall.toFixed(1)} ms` }
    ]
  }
}
