/**
 * One node, put together: plugins in the order of their dependencies, then routes. What is opened first is closed last,
 * so the order below read backwards is the shutdown [GW-END-1]: gRPC, Kafka, leases and node key, etcd, Redis, metrics.
 */
import { randomBytes, randomInt } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import admin from '../plugins/admin.ts'
import auth from '../plugins/auth.ts'
import cache from '../plugins/cache.ts'
import connections from '../plugins/connections.ts'
import drain from '../plugins/drain.ts'
import groups from '../plugins/groups.ts'
import health from '../plugins/health.ts'
import kafka, { type KafkaOptions } from '../plugins/kafka.ts'
import metrics from '../plugins/metrics.ts'
import peers from '../plugins/peers.ts'
import pushGrpc from '../plugins/push-grpc.ts'
import rateLimit from '../plugins/rate-limit.ts'
import registry from '../plugins/registry.ts'
import tls from '../plugins/tls.ts'
import tracing from '../plugins/tracing.ts'
import upstream from '../plugins/upstream.ts'
import { createHttpServer } from '../plugins/lib/http-server.ts'
import adminRoutes from '../routes/admin.ts'
import healthRoutes from '../routes/healthz.ts'
import metricsRoute from '../routes/metrics.ts'
import wsRoute from '../routes/ws.ts'
import type { Config } from './config.ts'
import type { Hub } from './connections/hub.ts'
import { Presence } from './delivery/presence.ts'
import { Push } from './delivery/push.ts'
import { ClusterExplainer } from './explain/cluster-explainer.ts'
import { Explainer } from './explain/explainer.ts'
import { systemClock } from './embedded/system-clock.ts'
import { dependenciesOf } from './health.ts'
import { NodeOperations, type Operations, type Status } from './operations.ts'
import type { Clock, GroupBus, KvStore, SharedCache } from './ports.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What operators ask of this node. */
    operations: Operations
  }
}

/** Ready adapters instead of those that the configuration names: for the demo and for tests. */
export interface Overrides {
  readonly kv?: KvStore | undefined
  readonly bus?: GroupBus | undefined
  readonly openKafka?: KafkaOptions['open']
  /** null: none. */
  readonly sharedCache?: SharedCache | null | undefined
  readonly clock?: Clock
  readonly logger?: FastifyBaseLogger
  /** What `/readyz` and `/metrics` tell instead of this node's own: that of all workers. */
  readonly status?: Status
}

const WS_PATH = '/ws'

/** Everything but listening. Rejects where a plugin refuses its options, a port is taken or the node id is. */
export async function build (config: Config, overrides: Overrides = {}): Promise<FastifyInstance> {
  const clock = overrides.clock ?? systemClock
  const startId = randomBytes(6).toString('base64url')
  const random = (): number => randomInt(2 ** 32) / 2 ** 32
  const app = createHttpServer({ ...config.limits, ...config.handshake, ...config.ws, logger: overrides.logger })
  try {
    await assemble(app, config, overrides, { clock, startId, random })
    await app.ready()
    return app
  } catch (error) {
    await app.close()
    throw error
  }
}

interface Node { readonly clock: Clock, readonly startId: string, readonly random: () => number }

async function assemble (app: FastifyInstance, config: Config, overrides: Overrides, { clock, startId, random }: Node): Promise<void> {
  const { handshake, node: { nodeId, version } } = config
  await app.register(metrics, { version, processMetrics: true, worker: config.workers.index?.toString() })
  await app.register(tracing, { ...config.tracing, nodeId, version })
  const { meter, tracer, log: logger } = app
  // Known once the connections are; health is asked before.
  const known: { hub?: Hub } = {}
  await app.register(health, {
    clock,
    dependencies: dependenciesOf({ auth: config.auth.mode === 'service', etcd: overrides.kv === undefined, redis: overrides.sharedCache === undefined && config.redis.address !== undefined, kafka: overrides.bus === undefined }),
    maxConnections: config.limits.maxConnections,
    maxEventLoopDelayMs: config.overload.maxEventLoopDelayMs,
    maxMemoryBytes: config.overload.maxMemoryBytes,
    maxResidentBytes: config.overload.maxResidentBytes,
    connections: () => known.hub?.connectionCount ?? 0
  })
  if (config.ws.tls?.files !== undefined) await app.register(tls, { ...config.ws.tls, files: config.ws.tls.files, clock })
  const common = { clock, meter, logger, health: app.health }

  await app.register(cache, { ...common, ...config.redis, cache: overrides.sharedCache, nodeId, ttlMs: config.groups.cacheTtlMs, random })
  await app.register(registry, {
    ...common, ...config.etcd, ...config.registry, kv: overrides.kv, nodeId, startId, version, maxDevicesPerUser: config.limits.devicesPerUser, cacheTtlMs: config.groups.cacheTtlMs, random
  })
  const channels = { ...common, channels: config.upstream.channels, tls: config.upstream.tls, keepaliveTimeMs: config.upstream.keepaliveIntervalMs, keepaliveTimeoutMs: config.upstream.keepaliveTimeoutMs }
  await app.register(upstream, {
    ...channels,
    im: required(config.im.serviceAddr, 'IM_SERVICE_ADDR'),
    users: required(config.user.serviceAddr, 'USER_SERVICE_ADDR'),
    imTimeoutMs: config.im.timeoutMs,
    imAttemptTimeoutMs: config.im.attemptTimeoutMs,
    userTimeoutMs: config.user.timeoutMs,
    maxInFlight: config.im.maxInFlight
  })
  await app.register(auth, {
    ...channels, ...config.auth, service: config.auth.serviceAddr, isRevoked: (userId, deviceId, issuedAtMs) => app.registry.isRevoked(userId, deviceId, issuedAtMs)
  })
  await app.register(rateLimit, {
    clock, windowMs: handshake.windowMs, perAddress: handshake.perIp, perUser: handshake.perUser, redis: handshake.limiter === 'redis' ? app.redisClient : undefined
  })
  await app.register(connections, {
    clock,
    path: WS_PATH,
    maxMessageBytes: config.ws.maxMessageBytes,
    closeTimeoutMs: config.ws.closeTimeoutMs,
    handshakeTimeoutMs: handshake.timeoutMs,
    maxPendingHandshakes: handshake.maxPending,
    maxPendingHandshakesPerAddress: handshake.maxPendingPerIp,
    maxConnectionsPerAddress: config.limits.maxConnectionsPerIp,
    trustedProxies: handshake.trustedProxies,
    core: {
      nodeId,
      startId,
      random,
      ...config.outbox,
      maxMessageBytes: config.ws.maxMessageBytes,
      heartbeatIntervalMs: config.heartbeat.intervalMs,
      heartbeatTimeoutMs: config.heartbeat.timeoutMs,
      messagesPerSecond: config.limits.messagesPerSecond,
      writeBufferBytes: config.ws.writeBufferBytes,
      maxSendsInFlight: config.im.maxInFlight,
      sendQueueTimeoutMs: config.im.timeoutMs,
      maxPendingPushes: config.push.maxPendingPushes,
      maxPendingBytes: config.push.maxPendingBytes,
      explain: config.explain
    }
  })
  const { hub, outbox, recorder, sessions, tracker } = app.gateway
  known.hub = hub
  await app.register(drain, { core: app.gateway, clock, random })
  await app.register(kafka, { ...common, ...config.kafka, bus: overrides.bus, open: overrides.openKafka, nodeId, startId })
  await app.register(groups, { ...common, ...config.groups })
  await app.register(peers, { authToken: config.grpc.authToken, tls: config.grpc.tls, ackTimeoutMs: config.push.ackTimeoutMs, clock, onNodeStarted: (call) => { app.registry.onNodeStarted(call) } })
  const outside = { nodeId, hub, registry: app.registry, peers: app.peers, logger }
  const presence = new Presence({ ...outside, disconnect: (connection) => { sessions.close(connection, 'disconnected') } })
  const explainer = new Explainer({ nodeId, clock, recorder })
  const push = new Push({ ...outside, outbox, tracker, clock, meter, tracer, recorder, ackTimeoutMs: config.push.ackTimeoutMs, maxPending: config.push.maxPendingPushes, maxPendingBytes: config.push.maxPendingBytes })
  await app.register(pushGrpc, { ...common, ...config.grpc, isTraced: tracer !== undefined, push, presence, explainer })
  app.decorate('operations', new NodeOperations({
    nodeId, clock, heartbeat: app.gateway.heartbeat, drain: app.drain, times: config.drain, hub, idOf: (connection) => sessions.idOf(connection), presence, explainer: new ClusterExplainer({ nodeId, explainer, peers: app.peers, otherNodes: () => app.registry.otherNodes })
  }))

  const status = overrides.status ?? { health: async () => app.health.report(), metrics: app.metrics.expose }
  await app.register(healthRoutes, { status })
  await app.register(metricsRoute, { status })
  await app.register(wsRoute, {
    clock,
    path: WS_PATH,
    allowQueryToken: handshake.allowQueryToken,
    allowedOrigins: handshake.allowedOrigins,
    allowEmptyOrigin: handshake.allowEmptyOrigin,
    refusal: () => {
      if (app.drain.refusesUpgrades) return 'SERVER_SHUTDOWN'
      return app.overload.shouldRefuse() === undefined ? undefined : 'OVERLOADED'
    },
    onAccepted: () => { app.groupBus.firstClientAt(clock.unixMs()) }
  })
  if (config.admin !== undefined) await addAdmin(app, config.admin, status)
  // The address that others call is known once the gRPC server listens.
  await app.registry.start(config.grpc.advertiseAddr.replace(/:0$/, `:${app.pushServer.port}`))
  app.health.waitForBus(app.groupBus.ready, config.kafka.readyTimeoutMs)
}

async function addAdmin (app: FastifyInstance, { host, port, token }: NonNullable<Config['admin']>, status: Status): Promise<void> {
  await app.register(admin, {
    host,
    port,
    routes: async (server) => {
      await server.register(healthRoutes, { status })
      await server.register(metricsRoute, { status })
      await server.register(adminRoutes, { operations: app.operations, token })
    }
  })
}

function required (address: string | undefined, name: string): string {
  if (address === undefined) throw new RangeError(`${name} is missing`)
  return address
}
