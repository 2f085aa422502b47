/** Opens the channels to the other gateway nodes, each at its first use, and closes them last. */
import fp from 'fastify-plugin'
import type { PeerNodes } from '../src/delivery/peers.ts'
import { PeerClients, type PeerClientsOptions } from './lib/peer-clients.ts'

declare module 'fastify' {
  interface FastifyInstance {
    peers: PeerNodes
  }
}

/** The credentials are those of the node's own gRPC server: all nodes share them. */
export interface PeersOptions extends PeerClientsOptions {
  /** A ready client (tests, embedding); it is not closed here. */
  readonly client?: PeerNodes
  /** Has a function called with the address of each node that starts. */
  readonly onNodeStarted?: (call: (address: string) => void) => void
}

export default fp<PeersOptions>(async function peers (fastify, options) {
  if (options.client !== undefined) {
    fastify.decorate('peers', options.client)
    return
  }
  const clients = new PeerClients(options)
  fastify.decorate('peers', clients)
  options.onNodeStarted?.((address) => { clients.started(address) })
  fastify.addHook('onClose', async () => { clients.close() })
}, { name: 'peers', fastify: '5.x' })
