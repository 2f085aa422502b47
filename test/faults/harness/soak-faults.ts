/** What a soak draws from: each does its harm for some seconds and undoes it. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Gateway } from '../../../demo/gateway.ts'
import { RawClient } from '../../helpers/raw-client.ts'
import type { FaultWorld, Line } from './fault-world.ts'
import type { WaysIn } from './ways-in.ts'

/** The lines that it cuts. */
export const SOAK_LINES: readonly Line[] = ['etcd', 'auth', 'im', 'user']
/** The one that is killed and restarted; the others live through it all, so that it can be seen what they keep. */
export const MORTAL = 'node-c'

const HARM_MS = 3_000
const STALL_MS = 2_000
const SLOW_MS = 500
const HOSTILE = 200

type Harm = (world: FaultWorld, ways: WaysIn) => Promise<void>

const cut = (name: Line): Harm => async (world) => {
  world.line(name).cut()
  await pause(HARM_MS)
  world.line(name).heal()
}

const killed = (service: 'etcd' | 'redis' | 'kafka'): Harm => async ({ services }) => {
  await services.kill(`${service}1`)
  await pause(HARM_MS)
  await services.restart(service)
}

const frozen = (service: 'etcd' | 'redis' | 'kafka'): Harm => async ({ services }) => {
  await services.freeze(`${service}1`)
  await pause(HARM_MS)
  await services.thaw(`${service}1`)
}

const replaced = (end: (world: FaultWorld, node: Gateway) => Promise<void>): Harm => async (world) => {
  const node = world.nodes.find(({ nodeId }) => nodeId === MORTAL)
  if (node === undefined) throw new Error(`${MORTAL} does not run`)
  await end(world, node)
  await world.startNode(node.nodeId, {}, { ws: node.port, grpc: Number(node.grpc.split(':').at(-1)) })
}

export const SOAK_FAULTS: Readonly<Record<string, Harm>> = {
  'etcd killed': killed('etcd'),
  'etcd frozen': frozen('etcd'),
  'etcd cut off': cut('etcd'),
  'Redis killed': killed('redis'),
  'Redis frozen': frozen('redis'),
  'Kafka killed': killed('kafka'),
  'Kafka frozen': frozen('kafka'),
  'Auth Service cut off': cut('auth'),
  'IM Service cut off': cut('im'),
  'User Service cut off': cut('user'),
  'IM Service slow': async (world) => {
    world.beforeAnswer = () => pause(world.random() * SLOW_MS)
    await pause(HARM_MS)
    world.beforeAnswer = undefined
  },
  'clients cut off': async (_, ways) => { ways.cut() },
  'node killed': replaced((world, node) => world.kill(node)),
  'node restarted': replaced((world, node) => world.stop(node)),
  'node stalled': async ({ nodes }) => {
    const [pid] = nodes.flatMap(({ pid }) => pid ?? [])
    if (pid === undefined) throw new Error('no node is a process of its own')
    process.kill(pid, 'SIGSTOP')
    await pause(STALL_MS)
    process.kill(pid, 'SIGCONT')
  },
  'hostile clients': async (world) => {
    for (let i = 0; i < HOSTILE; i++) {
      const port = world.nodes[i % world.nodes.length]?.port ?? 0
      const { client } = RawClient.open({ port, token: world.world.auth.mint(`hostile${i}-${world.run}`, 'phone').accessToken })
      client.socket.write(Buffer.from(Array.from({ length: 64 }, () => Math.floor(world.random() * 256))))
      await Promise.race([client.closed, pause(HARM_MS / HOSTILE)])
      client.reset()
    }
  }
}
