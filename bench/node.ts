/**
 * The node that is measured, in a process of its own: all of it, with registry and bus in the process and the services at
 * the address of the first argument. Over IPC it does what it is told and says what it has used.
 */
import type { AddressInfo } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { pino } from 'pino'
import type WebSocket from 'ws'
import { build } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { MemoryBroker } from '../src/embedded/memory-bus.ts'
import { MemoryKv } from '../src/embedded/memory-kv.ts'
import { MemoryStore } from '../src/embedded/memory-store.ts'
import { systemClock as clock } from '../src/embedded/system-clock.ts'
import { SECRET } from './world.ts'

/** `groupMessages`: records to the group; `naive`: the same frames, made and sent one by one to everybody connected. */
export interface Command { readonly do: 'usage' | 'groupMessages' | 'naive', readonly count?: number, readonly groupId?: string }
export interface Usage { readonly cpuUs: number, readonly heapBytes: number, readonly externalBytes: number, readonly rssBytes: number, readonly longestStallMs: number }

const address = process.argv[2] ?? ''
const config = loadConfig({
  GATEWAY_NODE_ID: 'bench',
  WS_HOST: '127.0.0.1',
  WS_PORT: '0',
  GRPC_PORT: '0',
  AUTH_MODE: 'local',
  JWT_SECRET: SECRET,
  IM_SERVICE_ADDR: address,
  USER_SERVICE_ADDR: address,
  HANDSHAKE_LIMITER: 'local',
  MAX_PENDING_HANDSHAKES_PER_IP: '1000',
  HANDSHAKES_PER_IP: '0',
  HANDSHAKES_PER_USER: '0',
  MAX_MESSAGES_PER_SECOND: '100000',
  MAX_CONNECTIONS: '19000'
}, { requireServices: false })
const logger = pino({ level: 'warn' }, pino.destination(2))
const broker = new MemoryBroker({ clock, logger })
const app = await build(config, { kv: new MemoryKv({ clock, store: new MemoryStore({ clock }) }), bus: broker.consumer(), sharedCache: null, logger })
await app.listen({ host: '127.0.0.1', port: 0 })
const delays = monitorEventLoopDelay({ resolution: 1 })
delays.enable()
/** CPU that the collections of `usage` took so far. */
let collectionsUs = 0

process.on('message', (command: Command) => { void obey(command).then((answer) => { process.send?.(answer) }) })
process.on('disconnect', () => { process.exit() })
process.send?.((app.server.address() as AddressInfo).port)

async function obey ({ do: what, count = 0, groupId = '' }: Command): Promise<Usage | true> {
  if (what === 'usage') return usage()
  for (let n = 0; n < count; n++) {
    if (what === 'groupMessages') await broker.produce('group_msg', groupId, JSON.stringify(record(groupId, n)))
    else naive(groupId, n)
    if (what === 'naive') await new Promise((resolve) => { setImmediate(resolve) })
  }
  return true
}

function usage (): Usage {
  // Before the collections below, which are not of the work that is measured.
  const { user, system } = process.cpuUsage()
  const longestStallMs = delays.max / 1e6
  global.gc?.()
  global.gc?.()
  const { heapUsed, external, rss } = process.memoryUsage()
  delays.reset()
  const after = process.cpuUsage({ user, system })
  const cpuUs = user + system - collectionsUs
  collectionsUs += after.user + after.system
  return { cpuUs, heapBytes: heapUsed, externalBytes: external, rssBytes: rss, longestStallMs }
}

function record (groupId: string, n: number): object {
  return {
    group_id: groupId, msg_id: `m${n}`, sender_id: 'u0', content: 'x'.repeat(200), message_type: 'text', sequence_number: n + 1, timestamp: Date.now()
  }
}

/** What a first version would do. */
function naive (groupId: string, n: number): void {
  for (const connection of app.gateway.hub.all) {
    const frame = { type: 'message', msg_id: `m${n}`, sender: 'u0', recipient: groupId, content: 'x'.repeat(200), message_type: 'text', sequence_number: n + 1, timestamp: Date.now(), ack_required: false }
    const socket = connection.socket as unknown as WebSocket
    socket.send(JSON.stringify(frame))
  }
}
