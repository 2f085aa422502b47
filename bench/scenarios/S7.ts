/** From a push to the client's ack and the report of it. */
import { pushAll } from '../lib/callers.ts'
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'
import type { Stage } from '../lib/world.ts'

const CONNECTIONS = 500
const AT_ONCE = 2_000
const UNARY_AT_ONCE = 200
const WARM_UP = 20_000
const PUSHES = 60_000
const UNARY_PUSHES = 20_000
const MIN_STREAMED = 40_000
const MIN_UNARY = 8_000

export const S7: Scenario = {
  id: 'S7',
  title: `CPU of a push to one of ${CONNECTIONS} clients, its ack and the report`,
  units: { cpu: 'us', unary: 'us' },
  peers: [GATEWAY, 'Socket.IO'],
  without: { Centrifugo: 'it knows no acks', 'coder/websocket': 'it knows no acks', ws: 'it knows no acks', '@fastify/websocket': 'it knows no acks', 'socket.write': 'it knows no acks', C: 'it knows no acks' },
  repeats: 5,
  acks: true,
  async measure (stage) {
    const { peer, server, load, surroundings } = stage
    await load.open(CONNECTIONS)
    if (peer.name !== GATEWAY) return { cpu: await perPush(stage, WARM_UP, PUSHES, (count, from) => server.ask('push', from, count, AT_ONCE, CONNECTIONS)) }
    const port = await server.ask<number>('grpcPort')
    const cpu = await perPush(stage, WARM_UP, PUSHES, (count, from) => pushAll(port, surroundings.bearer, 'stream', { from, count, atOnce: AT_ONCE, users: CONNECTIONS }))
    const unary = await perPush(stage, 0, UNARY_PUSHES, (count) => pushAll(port, surroundings.bearer, 'unary', { from: WARM_UP + PUSHES, count, atOnce: UNARY_AT_ONCE, users: CONNECTIONS }))
    return { cpu, unary }
  },
  judge: (results) => {
    const [streamed, unary] = [1e6 / medianOf(results, GATEWAY, 'cpu'), 1e6 / medianOf(results, GATEWAY, 'unary')]
    return [
      { target: `at least ${MIN_STREAMED.toLocaleString('en')} a second and core by PushStream`, met: streamed >= MIN_STREAMED, seen: Math.round(streamed).toLocaleString('en') },
      { target: `at least ${MIN_UNARY.toLocaleString('en')} by unary calls`, met: unary >= MIN_UNARY, seen: Math.round(unary).toLocaleString('en') }
    ]
  }
}

/** CPU of the server for each push, microseconds. Throws where one was not acknowledged, or came twice, or before another. */
export async function perPush ({ server, load }: Stage, warmUp: number, count: number, push: (count: number, from: number) => Promise<number>): Promise<number> {
  if (warmUp > 0) await push(warmUp, 0)
  await load.reset()
  const before = server.cpuUs
  const acknowledged = await push(count, warmUp)
  const cpuUs = server.cpuUs - before
  const { data, gaps, repeats, closed } = await load.stats()
  if (acknowledged !== count || data !== count || gaps + repeats + closed > 0) throw new Error(`${acknowledged} of ${count} acknowledged, ${data} received, ${gaps} missing, ${repeats} twice, ${closed} closed`)
  return cpuUs / count
}
