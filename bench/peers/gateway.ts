/** This gateway: a whole node, with the bus in the process, IM and User Service at the address of the first argument, named by the third one, and the registry in etcd where the fourth one names it. */
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate } from 'node:timers/promises'
import { pino } from 'pino'
import { build } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { MemoryBroker } from '../../src/embedded/memory-bus.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { MemoryStore } from '../../src/embedded/memory-store.ts'
import { systemClock as clock } from '../../src/embedded/system-clock.ts'
import { gatewayEnvironment } from '../lib/gateway-environment.ts'
import { control, groupRecord } from './control.ts'

const [, , services = '', bearer = '', node = '', etcd = ''] = process.argv
const config = loadConfig({
  ...gatewayEnvironment({ node, bearer, services }),
  WS_PORT: '0',
  GRPC_PORT: '0',
  ...(etcd !== '' && { ETCD_ENDPOINTS: etcd }),
  MAX_MESSAGES_PER_SECOND: '100000',
  MAX_CONNECTIONS: '19000'
}, { requireServices: false })
const logger = pino({ level: 'warn' }, pino.destination(2))
const broker = new MemoryBroker({ clock, logger })
const bus = broker.consumer()
const start = bus.start.bind(bus)
let read = 0
bus.start = (handler) => start((record) => {
  read++
  return handler(record)
})
const app = await build(config, { ...(etcd === '' && { kv: new MemoryKv({ clock, store: new MemoryStore({ clock }) }) }), bus, sharedCache: null, logger })
await app.listen({ host: config.ws.host, port: config.ws.port })
const FOREIGN_GROUPS = 1_000
/** Records that nobody has read yet: the bus refuses to hold more than 10,000 of a partition. */
const MAX_AHEAD = 1_000
const delays = monitorEventLoopDelay({ resolution: 1 })

let sent = 0
control((app.server.address() as AddressInfo).port, {
  grpcPort: () => app.pushServer.port,
  broadcast: async (count, groupId = 'group') => { for (let i = 0; i < Number(count); i++) await broker.produce('group_msg', groupId, groupRecord(groupId, ++sent)) },
  /** Records of groups that nobody is in; answers once all of them were read. */
  foreign: async (count) => {
    const records = Array.from({ length: FOREIGN_GROUPS }, (_, n) => [`elsewhere-${n}`, groupRecord(`elsewhere-${n}`, 1)] as const)
    const before = read
    for (let i = 0; i < Number(count); i++) {
      if (i % MAX_AHEAD === 0) await untilRead(before + i)
      const [groupId, value] = records[i % FOREIGN_GROUPS] as typeof records[number]
      await broker.produce('group_msg', groupId, value)
    }
    await untilRead(before + Number(count))
  },
  watchLoop: () => {
    delays.enable()
    delays.reset()
  },
  loopDelays: () => ({ p999Ms: delays.percentile(99.9) / 1e6 })
})

async function untilRead (count: number): Promise<void> {
  for (;;) {
    if (read >= count) return
    await setImmediate()
  }
}
