/** A burst of messages to one group. */
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'
import { deliveries } from './S3.ts'

const MEMBERS = 5_000
const BURST = 16
const BURSTS = 10
const ONE_BY_ONE = 40
const MIN_RATIO = 6

export const S4: Scenario = {
  id: 'S4',
  title: `CPU per delivery of bursts of ${BURST} messages to a group of ${MEMBERS.toLocaleString('en')}`,
  units: { cpu: 'us', gain: '×' },
  peers: [GATEWAY, 'ws', '@fastify/websocket', 'Socket.IO', 'Centrifugo', 'coder/websocket', 'socket.write', 'C'],
  repeats: 5,
  async measure (stage) {
    const single = await deliveries(stage, MEMBERS, ONE_BY_ONE, 1)
    const cpu = await deliveries(stage, MEMBERS, BURSTS, BURST)
    return { cpu, gain: single / cpu }
  },
  judge: (results) => {
    const gain = medianOf(results, GATEWAY, 'gain')
    return [{ target: `at least ${MIN_RATIO} × the deliveries of one by one for the same CPU`, met: gain >= MIN_RATIO, seen: `${gain.toFixed(1)} ×` }]
  }
}
