/** A handshake with a token that is checked. */
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, spreadOf, type Scenario } from '../lib/scenario.ts'

/** As many as V8 needs to have compiled what a handshake runs: after 6,000 half of it was interpreted yet. */
const WARM_UP = 20_000
/** The median batch counts: one that shared its core with something else says nothing. */
const BATCHES = 9
const HANDSHAKES = 1_000
/** Enough that none of the servers ever waits for the next: one that sleeps half of the time pays for waking up as well. */
const AT_ONCE = 200
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
    const costs: number[] = []
    for (let n = 0; n < BATCHES; n++) {
      const before = server.cpuUs
      await run(HANDSHAKES)
      costs.push((server.cpuUs - before) / HANDSHAKES)
    }
    return { cpu: spreadOf(costs).median }
  },
  judge: (results) => {
    const ratio = medianOf(results, GATEWAY, 'cpu') / medianOf(results, 'ws', 'cpu')
    return [{ target: `at most ${MAX_RATIO} × bare ws with the same check`, met: ratio <= MAX_RATIO, seen: `${ratio.toFixed(2)} ×` }]
  }
}
