/** `/drain` and `/connections`: for operators, on the admin port alone [GW-OBS-5]. */
import fp from 'fastify-plugin'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isLoopback } from '../src/config/addresses.ts'
import type { Connection } from '../src/connections/connection.ts'
import type { Drain, DrainTimes } from '../src/connections/drain.ts'
import type { Hub } from '../src/connections/hub.ts'
import { SharedSecret } from '../src/secrets.ts'

export interface AdminRoutesOptions {
  readonly drain: Drain
  readonly times: DrainTimes
  readonly hub: Hub
  readonly idOf: (connection: Connection) => string
  /** Bearer token that is asked for; undefined: whoever reaches the loopback address may. */
  readonly token: string | undefined
}

const MAX_LISTED = 1000
const CONNECTIONS_QUERY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    user: { type: 'string', minLength: 1, maxLength: 128 },
    device: { type: 'string', minLength: 1, maxLength: 64 },
    limit: { type: 'integer', minimum: 1, maximum: MAX_LISTED, default: 100 }
  }
} as const
interface ConnectionsQuery { readonly user?: string, readonly device?: string, readonly limit: number }

export default fp<AdminRoutesOptions>(async function adminRoutes (fastify, { drain, times, hub, idOf, token }) {
  const secret = token === undefined ? undefined : new SharedSecret(token)

  const onRequest = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    if (secret === undefined) return isLocalTool(request) ? undefined : reply.code(403).send({ error: 'not from a browser' })
    if (secret.matchesBearer(request.headers.authorization)) return undefined
    request.log.warn({ address: request.ip }, 'admin request without the token')
    return reply.code(401).header('www-authenticate', 'Bearer').send({ error: 'the admin token is required' })
  }

  fastify.get('/drain', { onRequest }, async () => drain.progress)

  fastify.post('/drain', { onRequest }, async (request, reply) => {
    drain.start(times).catch((error: unknown) => { request.log.error({ err: error }, 'drain failed') })
    return reply.code(202).send(drain.progress)
  })

  fastify.delete('/drain', { onRequest }, async (_request, reply) => {
    // The process is ending: there is nothing to go back to.
    if (!drain.cancel()) reply.code(409)
    return drain.progress
  })

  fastify.get<{ Querystring: ConnectionsQuery }>('/connections', { onRequest, schema: { querystring: CONNECTIONS_QUERY } }, async (request) => {
    const { user, device, limit } = request.query
    const candidates = user === undefined ? hub.all : hub.user(user)?.connections ?? []
    const listed: object[] = []
    for (const connection of candidates) {
      if (device !== undefined && connection.deviceId !== device) continue
      if (listed.push(describe(connection, idOf)) >= limit) break
    }
    return { total: hub.connectionCount, listed: listed.length, connections: listed }
  })
}, { name: 'admin-routes', fastify: '5.x' })

function describe (connection: Connection, idOf: (connection: Connection) => string): object {
  return {
    connection_id: idOf(connection),
    user_id: connection.user.userId,
    device_id: connection.deviceId,
    state: connection.state,
    opened_at: connection.openedAtUnixMs,
    token_expires_at: connection.tokenExpiresAtMs,
    queued_bytes: connection.queuedBytes + connection.stalledBytes,
    paused: connection.paused
  }
}

/** A page in a browser on this machine can reach loopback too, under a name of its own: it shows by Origin or Host. */
function isLocalTool (request: FastifyRequest): boolean {
  const host = request.hostname.replace(/^\[|\]$/g, '')
  return request.headers.origin === undefined && request.headers['sec-fetch-site'] === undefined && isLoopback(host)
}
