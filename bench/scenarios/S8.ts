/** A handshake with a token that is checked. */
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'

const WARM_UP = 6_000
const HANDSHAKES = 4_000
const AT_ONCE = 50
const MAX_RATIO = 1.3

export const S8: Scenario = {
  id: 'S8',
  title: 'CPU of a handshake with an HS256 token, to its end',
  units: { cpu: 'us' },
  peers: [GATEWAY, 'ws', '@fastify/websocket', 'Socket.IO', 'Centrifugo', 'coder/websocket', 'C'],
  without: { 'socket.write': 'it is `ws` but for broadcasts' },
  repeats: 5,
  async measure ({ server, load }) {
    const run = async (count: number): Promise<void> => {
      const { handshakes, failed } = await load.churn(count, AT_ONCE)
      if (handshakes !== count || failed > 0) throw new Error(`${handshakes} of ${count} handshakes, ${failed} failed`)
    }
    await run(WARM_UP)
    const before = server.cpuUs
    await run(HANDSHAKES)
    return { cpu: (server.cpuUs - before) / HANDSHAKES }
  },
  judge: (results) => {
    const ratio = medianOf(results, GATEWAY, 'cpu') / medianOf(results, 'ws', 'cpu')
    return [{ target: `at most ${MAX_RATIO} × bare ws with the same check`, met: ratio <= MAX_RATIO, seen: `${ratio.toFixed(2)} ×` }]
  }
}
