/** What is measured side by side: how each is started, and what its clients say. */
import { join } from 'node:path'
import { compiled, type Protocol } from './load.ts'
import { Centrifugo } from './centrifugo.ts'
import { centrifugo, goPeer } from './go.ts'
import type { ServiceName } from './real-services.ts'
import { Server, type MeasuredServer } from './server.ts'
import { SECRET } from './tokens.ts'
import { CONTENT } from '../peers/control.ts'

/** Addresses of what stands around a server. */
export interface Surroundings {
  /** Stand-in IM and User Service over gRPC. */
  readonly services: string
  /** What callers of the gateway's own gRPC show. */
  readonly bearer: string
  /** Addresses of real services that the gateway uses; what others would do is in its own process. */
  readonly real: Readonly<Partial<Record<ServiceName, string>>>
}

export interface NodeSurroundings extends Surroundings {
  /** A name that no node before has had. */
  readonly node: string
  readonly nodeFlags: readonly string[]
}

export interface Peer {
  readonly name: string
  readonly protocol: Protocol
  /** Builds what it is started from. Throws, with what to do, where it cannot be built here. */
  prepare? (): void
  start (surroundings: NodeSurroundings): Promise<MeasuredServer>
}

/** One set of flags for every row that runs on Node, of a scenario that names no other. */
export const NODE_FLAGS = ['--expose-gc'] as const
/** Where memory is measured: what a new space happened to grow to, and what was left between live objects, is nobody's connection. */
export const MEMORY_FLAGS = [...NODE_FLAGS, '--max-semi-space-size=1', '--compact-on-every-full-gc'] as const
/** The gateway at the top, the floor at the end. */
export const GATEWAY = 'im-gateway'
export const FLOOR = 'C'

const MESSAGE = `"recipient":"u{n}","content":"${CONTENT}","timestamp":1`
const BEARER = ['Authorization: Bearer {token}']
const FRAMES: Protocol = {
  path: '/ws',
  headers: BEARER,
  data: '"sequence_number":',
  stamp: '"timestamp":',
  send: `{"type":"send_msg","msg_id":"{s}-{n}",${MESSAGE}}`,
  reply: '"type":"ack","msg_id":'
}

async function node (script: string, nodeFlags: readonly string[], ...args: string[]): Promise<Server> {
  return await Server.start(process.execPath, [...nodeFlags, join(import.meta.dirname, `../peers/${script}.js`), ...args])
}

export const PEERS: readonly Peer[] = [
  {
    name: GATEWAY,
    protocol: { ...FRAMES, ready: '"type":"welcome"', ack: ['"msg_id":"', '{"type":"ack","msg_id":"{id}"}', '"'] },
    start: ({ nodeFlags, services, bearer, node: name, real: { etcd = '' } }) => node('gateway', nodeFlags, services, bearer, name, etcd)
  },
  { name: 'ws', protocol: FRAMES, start: ({ nodeFlags, services }) => node('ws', nodeFlags, services) },
  { name: '@fastify/websocket', protocol: FRAMES, start: ({ nodeFlags, services }) => node('fastify-websocket', nodeFlags, services) },
  {
    name: 'Socket.IO',
    protocol: {
      path: '/socket.io/?EIO=4&transport=websocket',
      headers: BEARER,
      hello: ['40'],
      ready: '40{"sid"',
      echo: ['2', '3'],
      data: '"sequence_number":',
      stamp: '"timestamp":',
      ack: ['42', '43{id}[]', '['],
      send: `42["send",{"msg_id":"{s}-{n}",${MESSAGE}}]`,
      reply: '"type":"ack","msg_id":'
    },
    start: ({ nodeFlags, services }) => node('socket-io', nodeFlags, services)
  },
  {
    name: 'Centrifugo',
    protocol: {
      path: '/connection/websocket',
      hello: ['{"id":1,"connect":{"token":"{token}"}}', '{"id":2,"subscribe":{"channel":"group"}}'],
      ready: '"subscribe":{',
      echo: ['{}', '{}'],
      data: '"sequence_number":',
      stamp: '"timestamp":',
      send: `{"id":{s},"rpc":{"method":"send","data":{"msg_id":"{s}-{n}",${MESSAGE}}}}`,
      reply: '"type":"ack","msg_id":'
    },
    prepare: () => { centrifugo() },
    start: ({ services }) => Centrifugo.start(services)
  },
  { name: 'coder/websocket', protocol: FRAMES, prepare: () => { goPeer() }, start: () => Server.start(goPeer(), [], { BENCH_SECRET: SECRET }) },
  { name: 'socket.write', protocol: FRAMES, start: ({ nodeFlags, services }) => node('ws', nodeFlags, services, 'loop') },
  { name: FLOOR, protocol: FRAMES, start: () => Server.start(compiled('bench/peers/floor.c', 'floor'), []) }
]
