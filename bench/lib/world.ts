/** What stands around a server that is measured, on the core of the load: services, tokens, clients. */
import { randomBytes } from 'node:crypto'
import { Etcd } from './etcd.ts'
import { Load } from './load.ts'
import type { Peer, Surroundings } from './peers.ts'
import type { Scenario } from './scenario.ts'
import type { MeasuredServer } from './server.ts'
import { Services } from './services.ts'
import { tokensFile } from './tokens.ts'

export const MAX_CLIENTS = 18_000

/** A server with its clients, for one measurement. */
export interface Stage { readonly peer: Peer, readonly server: MeasuredServer, readonly load: Load, readonly services: Services, readonly surroundings: Surroundings }

export class World {
  readonly services = new Services()
  readonly #tokens = tokensFile(MAX_CLIENTS)
  #etcd: Etcd | undefined
  readonly #bearer = randomBytes(16).toString('base64url')

  async start (): Promise<this> {
    await this.services.start()
    return this
  }

  /** Starts a server and clients that are not connected yet, and ends both. */
  async with<T> (peer: Peer, { acks = false, etcd = false }: Pick<Scenario, 'acks' | 'etcd'>, use: (stage: Stage) => Promise<T>): Promise<T> {
    if (etcd) this.#etcd ??= Etcd.start()
    const surroundings = { services: this.services.address, bearer: this.#bearer, etcd: etcd ? this.#etcd?.endpoint : undefined }
    const server = await peer.start(surroundings)
    try {
      const load = await Load.start(server.port, acks ? peer.protocol : { ...peer.protocol, ack: undefined }, this.#tokens)
      try {
        return await use({ peer, server, load, services: this.services, surroundings })
      } finally {
        await load.stop()
      }
    } finally {
      await server.stop()
    }
  }

  stop (): void {
    this.services.stop()
    this.#etcd?.stop()
  }
}
