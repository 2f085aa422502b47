/** A hundred thousand connections of one machine, over several processes behind one port. */
import { setTimeout as sleep } from 'node:timers/promises'
import { GatewayProgram } from '../lib/gateway-program.ts'
import type { LoadStats } from '../lib/load.ts'
import { slabBytes } from '../lib/machine.ts'
import { GATEWAY } from '../lib/peers.ts'
import { extremesOf, type Scenario } from '../lib/scenario.ts'
import { tokensFile } from '../lib/tokens.ts'

/** A process may open 20,000 files here. */
const PROCESSES = 6
const EACH = 16_700
const TOTAL = PROCESSES * EACH
const AT_ONCE = 10
/** All heartbeats once, and what the busy machine is late. */
const HEARTBEAT_MS = 33_000
const PATIENCE_MS = 60_000
const KILOBYTE = 1024
const MEGABYTE = 1024 ** 2

export const S12: Scenario = {
  id: 'S12',
  title: `${TOTAL.toLocaleString('en')} connections on one machine, over ${PROCESSES} workers behind one port, with real etcd, Kafka and Redis`,
  units: { worker: 'MB', kernel: 'KB', open: 's', pinged: '%', broadcast: 's', reached: '%' },
  peers: [GATEWAY],
  without: { 'all others': 'they run as one process' },
  repeats: 5,
  real: ['etcd', 'kafka', 'redis'],
  // Its own program, as it is started anywhere.
  nodeFlags: [],
  start: (surroundings) => GatewayProgram.start(surroundings, PROCESSES),
  async measure ({ server, load, services, anotherLoad }) {
    services.members = TOTAL
    const loads = [load]
    while (loads.length < PROCESSES) loads.push(await anotherLoad(tokensFile(EACH, loads.length * EACH)))
    const slab = slabBytes()
    const opening = performance.now()
    await Promise.all(loads.map((each) => each.open(EACH, AT_ONCE)))
    const open = (performance.now() - opening) / 1000
    await Promise.all(loads.map((each) => each.reset()))
    await sleep(HEARTBEAT_MS)
    const [resident, kernel] = [await server.residentBytes(), slabBytes() - slab]
    const sending = performance.now()
    await server.ask('broadcast')
    await Promise.all(loads.map((each) => each.awaitData(EACH, PATIENCE_MS)))
    const broadcast = (performance.now() - sending) / 1000
    const stats = await Promise.all(loads.map((each) => each.stats()))
    const sum = (of: (stats: LoadStats) => number): number => stats.reduce((all, each) => all + of(each), 0)
    const faults = sum(({ closed, repeats, gaps }) => closed + repeats + gaps)
    if (faults > 0) throw new Error(`${faults} closed, doubled or missing`)
    return {
      worker: resident / PROCESSES / MEGABYTE,
      // The clients' ends are sockets of this kernel as well.
      kernel: kernel / TOTAL / 2 / KILOBYTE,
      open,
      pinged: 100 * sum(({ pinged }) => pinged) / TOTAL,
      broadcast,
      reached: 100 * sum(({ data }) => data) / TOTAL
    }
  },
  judge: (results) => {
    const [pinged, reached] = [extremesOf(results, GATEWAY, 'pinged').least, extremesOf(results, GATEWAY, 'reached').least]
    return [
      { target: 'all up', met: !Number.isNaN(pinged), seen: TOTAL.toLocaleString('en') },
      { target: 'all pinged within one heartbeat', met: pinged === 100, seen: `${pinged.toFixed(2)} %` },
      { target: 'a broadcast reaches all', met: reached === 100, seen: `${reached.toFixed(2)} %` }
    ]
  }
}
