/** Owns the second HTTP listener, for operators: the public status routes and those that are its own. */
import fastifyServer, { LogController, type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AddressInfo } from 'node:net'

declare module 'fastify' {
  interface FastifyInstance {
    admin: {
      /** Where it listens; undefined before it does. */
      readonly address: AddressInfo | undefined
    }
  }
}

export interface AdminOptions {
  readonly host: string
  readonly port: number
  /** Adds the routes. */
  readonly routes: (admin: FastifyInstance) => void | Promise<void>
}

const REQUEST_TIMEOUT_MS = 5000
const BODY_LIMIT_BYTES = 1024
const MAX_CONNECTIONS = 64

export default fp<AdminOptions>(async function admin (fastify, options) {
  const server = fastifyServer({
    loggerInstance: fastify.log,
    logController: new LogController({ disableRequestLogging: true }),
    // A parameter that is misspelt is refused: without it an order would hold for more than was meant.
    ajv: { customOptions: { removeAdditional: false } },
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: 2 * REQUEST_TIMEOUT_MS,
    keepAliveTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true
  })
  server.server.maxConnections = MAX_CONNECTIONS
  await options.routes(server)

  fastify.decorate('admin', {
    get address () { return server.server.address() as AddressInfo | null ?? undefined }
  })
  fastify.addHook('onReady', async () => {
    await server.listen({ host: options.host, port: options.port })
  })
  fastify.addHook('onClose', async () => { await server.close() })
}, { name: 'admin', fastify: '5.x' })
