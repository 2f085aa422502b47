/** What stands around a server that is measured, on the core of the load: services, tokens, clients. */
import { randomBytes } from 'node:crypto'
import { Load, sourcesOf } from './load.ts'
import { NODE_FLAGS, type Peer, type Surroundings } from './peers.ts'
import { RealServices } from './real-services.ts'
import type { Scenario } from './scenario.ts'
import type { MeasuredServer } from './server.ts'
import { Services } from './services.ts'
import { tokensFile } from './tokens.ts'

export const MAX_CLIENTS = 18_000

/** A server with its clients, for one measurement. */
export interface Stage {
  readonly peer: Peer
  readonly server: MeasuredServer
  /** Not connected yet. */
  readonly load: Load
  readonly services: Services
  readonly surroundings: Surroundings
  /** Another server of the same kind, which ends with the stage. */
  anotherServer (): Promise<MeasuredServer>
  /** More clients, which end with the stage: in a process of their own, from other addresses, with other tokens. */
  anotherLoad (tokens: string): Promise<Load>
}

export class World {
  readonly services = new Services()
  readonly #tokens = tokensFile(MAX_CLIENTS)
  readonly #real = new RealServices()
  readonly #bearer = randomBytes(16).toString('base64url')
  #nodes = 0

  async start (): Promise<this> {
    await this.services.start()
    return this
  }

  /** Starts a server and clients that are not connected yet, and ends both. */
  async with<T> (peer: Peer, { acks = false, real = [], nodeFlags = NODE_FLAGS, start = peer.start }: Pick<Scenario, 'acks' | 'real' | 'nodeFlags' | 'start'>, use: (stage: Stage) => Promise<T>): Promise<T> {
    const [servers, loads]: [MeasuredServer[], Load[]] = [[], []]
    const around = { services: this.services.address, bearer: this.#bearer, real: Object.fromEntries(real.map((name) => [name, this.#real.address(name)])) }
    const anotherServer = async (): Promise<MeasuredServer> => {
      // The name of a node that was killed is taken for a while.
      const server = await start({ ...around, nodeFlags, node: `bench-${++this.#nodes}` })
      servers.push(server)
      return server
    }
    const anotherLoad = async (tokens: string): Promise<Load> => {
      const protocol = acks ? peer.protocol : { ...peer.protocol, ack: undefined }
      const load = await Load.start({ port: server.port, protocol, tokens, sources: sourcesOf(loads.length) })
      loads.push(load)
      return load
    }
    const server = await anotherServer()
    try {
      const load = await anotherLoad(this.#tokens)
      return await use({ peer, server, load, services: this.services, surroundings: around, anotherServer, anotherLoad })
    } finally {
      for (const load of loads) await load.stop()
      for (const each of servers) await each.stop()
    }
  }

  stop (): void {
    this.services.stop()
  }
}
