/**
 * The edge of a node alone: guard, route, sessions and sockets on a real port, with a registry, an authenticator and an
 * IM Service that are given. For tests and benchmarks that look at connections and at nothing else.
 */
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import connections, { type ConnectionsOptions } from '../../plugins/connections.ts'
import metrics from '../../plugins/metrics.ts'
import rateLimit from '../../plugins/rate-limit.ts'
import tls, { type TlsOptions } from '../../plugins/tls.ts'
import upstream from '../../plugins/upstream.ts'
import { createHttpServer } from '../../plugins/lib/http-server.ts'
import wsRoute, { type WsRouteOptions } from '../../routes/ws.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import type { AuthResult, Clock, ImService, Registry, UserService } from '../../src/ports.ts'
import { FakeHealth, FakeLogger } from './fakes.ts'

export interface EdgeOptions {
  readonly registry: Registry
  /** An address of a real service, or a ready one. */
  readonly im: string | ImService
  /** Default: `identityOf`. */
  readonly authenticate?: (token: string) => Promise<AuthResult>
  readonly clock?: Clock
  readonly connections?: Partial<ConnectionsOptions>
  readonly core?: Partial<ConnectionsOptions['core']>
  readonly ws?: Partial<WsRouteOptions>
  /** Handshakes a minute; 0: no limit. */
  readonly perAddress?: number
  readonly perUser?: number
  readonly tls?: TlsOptions
}

export interface Edge {
  readonly app: FastifyInstance
  readonly port: number
  /** `ws://127.0.0.1:PORT/ws`. */
  readonly url: string
}

const MAX_CONNECTIONS = 50_000

/** Tokens are `user` or `user/device`. */
export function identityOf (token: string): AuthResult {
  const [userId = '', deviceId] = token.split('/')
  return { ok: true, identity: { userId, deviceId, expiresAtMs: Date.now() + 600_000, issuedAtMs: 0 } }
}

const noUsers: UserService = {
  groupMembers: () => Promise.reject(new Error('the edge has no User Service')),
  isMember: () => Promise.reject(new Error('the edge has no User Service'))
}

/** Listens on a free port; the caller closes the app. */
export async function startEdge (options: EdgeOptions): Promise<Edge> {
  const { clock = systemClock } = options
  const app = createHttpServer({ maxConnections: MAX_CONNECTIONS, trustedProxies: [], readBufferBytes: 4_096, tls: options.tls, logger: undefined })
  await app.register(metrics, { version: 'test', processMetrics: false })
  if (options.tls !== undefined) await app.register(tls, options.tls)
  await app.register(fp(async (fastify) => { fastify.decorate('registry', options.registry as never) }, { name: 'registry' }))
  await app.register(upstream, {
    im: options.im,
    users: noUsers,
    imTimeoutMs: 5_000,
    imAttemptTimeoutMs: 2_000,
    userTimeoutMs: 1_000,
    maxInFlight: options.core?.maxSendsInFlight ?? 1_000,
    clock,
    meter: app.meter,
    health: new FakeHealth(),
    logger: new FakeLogger()
  })
  await app.register(fp(async (fastify) => {
    fastify.decorate('authenticator', { authenticate: options.authenticate ?? (async (token) => identityOf(token)) })
  }, { name: 'auth' }))
  await app.register(rateLimit, { windowMs: 60_000, perAddress: options.perAddress ?? 0, perUser: options.perUser ?? 0, redis: undefined, clock })
  await app.register(connections, {
    clock,
    path: '/ws',
    maxMessageBytes: 10_240,
    closeTimeoutMs: 500,
    handshakeTimeoutMs: 5_000,
    maxPendingHandshakes: 100,
    maxPendingHandshakesPerAddress: 100,
    maxConnectionsPerAddress: 0,
    trustedProxies: [],
    ...options.connections,
    core: {
      nodeId: 'n1',
      startId: 's1',
      maxMessageBytes: 10_240,
      heartbeatIntervalMs: 30_000,
      heartbeatTimeoutMs: 90_000,
      messagesPerSecond: 100,
      outboxBytes: 1_000_000,
      outboxTotalBytes: 10_000_000,
      writeBufferBytes: 4_096,
      writeWaitMs: 10_000,
      maxSendsInFlight: 1_000,
      sendQueueTimeoutMs: 5_000,
      maxPendingPushes: 1_000,
      maxPendingBytes: 1_000_000,
      explain: { entries: 1_000, bytes: 1_048_576 },
      random: Math.random,
      ...options.core
    }
  })
  await app.register(wsRoute, {
    clock,
    path: '/ws',
    allowQueryToken: false,
    allowedOrigins: [],
    allowEmptyOrigin: true,
    refusal: () => undefined,
    onAccepted: () => {},
    ...options.ws
  })
  app.get('/healthz', async () => 'ok')
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  return { app, port, url: `ws://127.0.0.1:${port}/ws` }
}
