/** `/drain`, `/connections` (to list and to disconnect) and `/explain`: for operators, on the admin port alone [GW-OBS-5]. */
import fp from 'fastify-plugin'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isLoopback } from '../src/config/addresses.ts'
import { MAX_REASON_LENGTH } from '../src/delivery/field-limits.ts'
import { GatewayError } from '../src/errors.ts'
import type { ExplainQuery } from '../src/explain/explanation.ts'
import type { ConnectionQuery, DisconnectQuery, Operations } from '../src/operations.ts'
import { ID_PATTERN, PARTY_PATTERN } from '../src/protocol/frames.ts'
import { SharedSecret } from '../src/secrets.ts'

export interface AdminRoutesOptions {
  readonly operations: Operations
  /** Bearer token that is asked for; undefined: whoever reaches the loopback address may. */
  readonly token: string | undefined
}

const MAX_LISTED = 1000
const AT_LEAST_0 = { type: 'integer', minimum: 0 } as const
const CONNECTIONS_QUERY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    user: { type: 'string', minLength: 1, maxLength: 128 },
    device: { type: 'string', minLength: 1, maxLength: 64 },
    node: { type: 'string', minLength: 1, maxLength: 128, description: 'Of this node, with all its workers, or of this worker, alone' },
    state: { type: 'string', enum: ['opening', 'open'], description: 'opening: it waits for the registry' },
    paused: { type: 'boolean', description: 'true: not read, because it sends faster than its messages are taken' },
    min_queued_bytes: { ...AT_LEAST_0, description: 'Slow readers: so many bytes wait for it, at least' },
    min_age_ms: { ...AT_LEAST_0, description: 'Open for at least so long' },
    max_age_ms: { ...AT_LEAST_0, description: 'Open for so long at most' },
    min_idle_ms: { ...AT_LEAST_0, description: 'No sign of life for at least so long, no pong either' },
    limit: { type: 'integer', minimum: 1, maximum: MAX_LISTED, default: 100 }
  }
} as const

const DISCONNECT_QUERY = {
  type: 'object',
  additionalProperties: false,
  required: ['user'],
  properties: {
    user: { type: 'string', pattern: PARTY_PATTERN },
    device: { type: 'string', pattern: ID_PATTERN },
    reason: { type: 'string', maxLength: MAX_REASON_LENGTH }
  }
} as const
const EXPLAIN_QUERY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    msg_id: { type: 'string', pattern: ID_PATTERN },
    user: { type: 'string', pattern: PARTY_PATTERN },
    scope: { type: 'string', enum: ['cluster', 'local'], default: 'cluster' }
  }
} as const

export default fp<AdminRoutesOptions>(async function adminRoutes (fastify, { operations, token }) {
  const secret = token === undefined ? undefined : new SharedSecret(token)

  const onRequest = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    if (secret === undefined) return isLocalTool(request) ? undefined : reply.code(403).send({ error: 'not from a browser' })
    if (secret.matchesBearer(request.headers.authorization)) return undefined
    request.log.warn({ address: request.ip }, 'admin request without the token')
    return reply.code(401).header('www-authenticate', 'Bearer').send({ error: 'the admin token is required' })
  }

  fastify.get('/drain', { onRequest }, async () => await operations.drain())

  fastify.post('/drain', { onRequest }, async (_request, reply) => reply.code(202).send(await operations.startDrain()))

  fastify.delete('/drain', { onRequest }, async (_request, reply) => {
    const { cancelled, progress } = await operations.cancelDrain()
    if (!cancelled) reply.code(409)
    return progress
  })

  fastify.get<{ Querystring: ConnectionQuery }>('/connections', { onRequest, schema: { querystring: CONNECTIONS_QUERY } }, async (request) => await operations.connections(request.query))

  fastify.delete<{ Querystring: DisconnectQuery }>('/connections', { onRequest, schema: { querystring: DISCONNECT_QUERY } }, async (request, reply) => {
    try {
      return await operations.disconnect(request.query)
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error
      return reply.code(503).send({ error: error.message })
    }
  })

  fastify.get<{ Querystring: ExplainQuery }>('/explain', { onRequest, schema: { querystring: EXPLAIN_QUERY } }, async (request) => {
    const { msg_id: msgId, user } = request.query
    if ((msgId === undefined) === (user === undefined)) throw Object.assign(new Error('querystring must have msg_id or user, and not both'), { statusCode: 400, code: 'ONE_ID' })
    return await operations.explain(request.query)
  })
}, { name: 'admin-routes', fastify: '5.x' })

/** A page in a browser on this machine can reach loopback too, under a name of its own: it shows by Origin or Host. */
function isLocalTool (request: FastifyRequest): boolean {
  const host = request.hostname.replace(/^\[|\]$/g, '')
  return request.headers.origin === undefined && request.headers['sec-fetch-site'] === undefined && isLoopback(host)
}
