/** Memory of an idle connection that is authenticated and registered, and of the server before the first one (base). */
import { slabBytes } from '../lib/machine.ts'
import { GATEWAY, MEMORY_FLAGS } from '../lib/peers.ts'
import { medianOf, type Scenario } from '../lib/scenario.ts'

const FROM = 3_000
const TO = 18_000
const KILOBYTE = 1024
const MEGABYTE = 1024 ** 2
const TARGET_KB = 4.1

export const S1: Scenario = {
  id: 'S1',
  title: 'Memory per idle connection, between 3,000 and 18,000 of them',
  units: { resident: 'KB', kernel: 'KB', base: 'MB' },
  peers: [GATEWAY, 'ws', '@fastify/websocket', 'Socket.IO', 'Centrifugo', 'coder/websocket', 'C'],
  without: { 'socket.write': 'it is `ws` but for broadcasts' },
  repeats: 5,
  real: ['etcd'],
  nodeFlags: MEMORY_FLAGS,
  async measure ({ server, load }) {
    const base = await server.residentBytes() / MEGABYTE
    await load.open(FROM)
    const [before, slabBefore] = [await server.residentBytes(), slabBytes()]
    await load.open(TO)
    const [after, slabAfter] = [await server.residentBytes(), slabBytes()]
    const per = (bytes: number): number => bytes / (TO - FROM) / KILOBYTE
    // The clients' ends are sockets of this kernel as well.
    return { resident: per(after - before), kernel: per(slabAfter - slabBefore) / 2, base }
  },
  judge: (results) => {
    const own = medianOf(results, GATEWAY, 'resident')
    return [{ target: `at most ${TARGET_KB} KB of resident memory`, met: own <= TARGET_KB, seen: `${own.toFixed(2)} KB` }]
  }
}
