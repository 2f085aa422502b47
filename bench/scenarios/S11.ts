/** Group records of groups that nobody here is in. */
import { GATEWAY } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'

const CONNECTIONS = 1_000
const WARM_UP = 50_000
const RECORDS = 300_000
const MIN_PER_SECOND = 60_000

export const S11: Scenario = {
  id: 'S11',
  title: 'CPU of a group record without a local member',
  units: { cpu: 'us' },
  peers: [GATEWAY],
  without: { 'all others': 'they read no bus' },
  repeats: 5,
  async measure ({ server, load, services }) {
    services.members = 0
    await load.open(CONNECTIONS)
    await server.ask('foreign', WARM_UP)
    const before = server.cpuUs
    await server.ask('foreign', RECORDS)
    const cpu = (server.cpuUs - before) / RECORDS
    const { data, closed } = await load.stats()
    if (data + closed > 0) throw new Error(`${data} deliveries of foreign records, ${closed} closed`)
    return { cpu }
  },
  judge: (results) => {
    const perSecond = 1e6 / medianOf(results, GATEWAY, 'cpu')
    return [{ target: `at least ${MIN_PER_SECOND.toLocaleString('en')} a second and core`, met: perSecond >= MIN_PER_SECOND, seen: Math.round(perSecond).toLocaleString('en') }]
  }
}
