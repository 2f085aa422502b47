/** Values that passed all checks, laid out by concern. */
import { readVersion } from '../version.ts'
import type { Config, PublicTlsConfig, TlsClientConfig, TlsServerConfig } from '../config.ts'
import { parseRedisAddress } from './addresses.ts'
import type { Derived } from './derive.ts'
import type { Values, VariableName } from './table.ts'

/** `fileOf`: the path that the environment gives instead of a value. */
export function buildConfig (v: Values, derived: Derived, fileOf: (name: VariableName) => string | undefined): Config {
  return deepFreeze<Config>({
    node: { nodeId: derived.nodeId, version: readVersion() },
    workers: { count: v.WORKERS, index: derived.worker },
    log: { level: v.LOG_LEVEL },
    tracing: { endpoint: v.OTEL_EXPORTER_OTLP_ENDPOINT, sampleRatio: Number(v.OTEL_TRACES_SAMPLER_ARG) },
    ws: { host: v.WS_HOST, port: v.WS_PORT, readBufferBytes: v.READ_BUFFER_SIZE, writeBufferBytes: v.WRITE_BUFFER_SIZE, maxMessageBytes: v.MAX_MESSAGE_SIZE, closeTimeoutMs: v.CLOSE_TIMEOUT, tls: publicTls(v, fileOf('WS_TLS_CERT'), fileOf('WS_TLS_KEY')) },
    outbox: { outboxBytes: v.OUTBOX_BYTES, outboxTotalBytes: v.OUTBOX_TOTAL_BYTES, writeWaitMs: v.WRITE_WAIT },
    heartbeat: { intervalMs: derived.heartbeatIntervalMs, timeoutMs: derived.heartbeatTimeoutMs },
    limits: { messagesPerSecond: v.MAX_MESSAGES_PER_SECOND, devicesPerUser: v.MAX_DEVICES_PER_USER, maxConnections: derived.maxConnections, maxConnectionsPerIp: v.MAX_CONNECTIONS_PER_IP },
    handshake: {
      timeoutMs: v.HANDSHAKE_TIMEOUT,
      maxPending: v.MAX_PENDING_HANDSHAKES,
      maxPendingPerIp: v.MAX_PENDING_HANDSHAKES_PER_IP,
      perIp: v.HANDSHAKES_PER_IP,
      perUser: v.HANDSHAKES_PER_USER,
      windowMs: v.HANDSHAKE_WINDOW,
      limiter: v.HANDSHAKE_LIMITER,
      allowedOrigins: v.ALLOWED_ORIGINS,
      allowEmptyOrigin: v.ALLOW_EMPTY_ORIGIN,
      allowQueryToken: v.ALLOW_QUERY_TOKEN,
      trustedProxies: v.TRUSTED_PROXIES
    },
    auth: {
      mode: v.AUTH_MODE,
      serviceAddr: v.AUTH_SERVICE_ADDR,
      timeoutMs: v.AUTH_TIMEOUT,
      cacheTtlMs: v.AUTH_CACHE_TTL,
      cacheEntries: v.AUTH_CACHE_SIZE,
      maxPendingCalls: v.MAX_PENDING_AUTH_CALLS,
      jwt: {
        secret: v.JWT_SECRET,
        previousSecret: v.JWT_SECRET_PREVIOUS,
        publicKey: v.JWT_PUBLIC_KEY,
        jwksUrl: v.JWKS_URL,
        jwksTimeoutMs: v.JWKS_TIMEOUT,
        issuer: v.JWT_ISSUER,
        audience: v.JWT_AUDIENCE,
        clockToleranceMs: v.JWT_CLOCK_TOLERANCE
      }
    },
    im: { serviceAddr: v.IM_SERVICE_ADDR, timeoutMs: v.IM_TIMEOUT, attemptTimeoutMs: v.IM_ATTEMPT_TIMEOUT, maxInFlight: v.MAX_SENDS_IN_FLIGHT },
    user: { serviceAddr: v.USER_SERVICE_ADDR, timeoutMs: v.USER_TIMEOUT },
    upstream: {
      channels: v.UPSTREAM_CHANNELS,
      keepaliveIntervalMs: v.UPSTREAM_KEEPALIVE_INTERVAL,
      keepaliveTimeoutMs: v.UPSTREAM_KEEPALIVE_TIMEOUT,
      tls: tlsClient(v.UPSTREAM_TLS, v.UPSTREAM_TLS_CA, v.UPSTREAM_TLS_CERT, v.UPSTREAM_TLS_KEY)
    },
    grpc: {
      host: derived.grpcHost,
      port: derived.grpcPort,
      // The checks refuse a configuration that leaves it open.
      advertiseAddr: derived.grpcAdvertiseAddr as string,
      authToken: v.GRPC_AUTH_TOKEN,
      previousAuthToken: v.GRPC_AUTH_TOKEN_PREVIOUS,
      tls: tlsServer(v),
      reflection: v.GRPC_REFLECTION,
      maxConnectionAgeMs: v.GRPC_MAX_CONNECTION_AGE
    },
    push: { ackTimeoutMs: v.ACK_TIMEOUT, maxPendingPushes: v.MAX_PENDING_PUSHES, maxPendingBytes: v.MAX_PENDING_PUSH_BYTES },
    etcd: {
      endpoints: v.ETCD_ENDPOINTS,
      username: v.ETCD_USERNAME,
      password: v.ETCD_PASSWORD,
      tls: tlsClient(v.ETCD_ENDPOINTS.some((endpoint) => endpoint.startsWith('https:')), v.ETCD_TLS_CA, v.ETCD_TLS_CERT, v.ETCD_TLS_KEY),
      timeoutMs: v.ETCD_TIMEOUT
    },
    registry: {
      ttlMs: v.REGISTRY_TTL,
      renewIntervalMs: v.REGISTRY_RENEW_INTERVAL,
      admissionTimeoutMs: v.ADMISSION_TIMEOUT,
      registrationTimeoutMs: v.REGISTRATION_TIMEOUT,
      routeCacheEntries: v.ROUTE_CACHE_SIZE
    },
    redis: {
      address: v.REDIS_ADDR === undefined ? undefined : parseRedisAddress(v.REDIS_ADDR),
      username: v.REDIS_USERNAME,
      password: v.REDIS_PASSWORD,
      sentinelPassword: v.REDIS_SENTINEL_PASSWORD,
      db: v.REDIS_DB,
      tls: tlsClient(v.REDIS_TLS, v.REDIS_TLS_CA, v.REDIS_TLS_CERT, v.REDIS_TLS_KEY),
      timeoutMs: v.REDIS_TIMEOUT
    },
    kafka: {
      brokers: v.KAFKA_BROKERS,
      groupId: v.KAFKA_GROUP_ID,
      topics: { groupMessages: v.KAFKA_TOPIC, membership: v.KAFKA_MEMBERSHIP_TOPIC, receipts: v.KAFKA_RECEIPTS_TOPIC },
      minBytes: v.KAFKA_MIN_BYTES,
      maxBytes: v.KAFKA_MAX_BYTES,
      maxWaitMs: v.KAFKA_MAX_WAIT,
      commitIntervalMs: v.KAFKA_COMMIT_INTERVAL,
      sessionTimeoutMs: v.KAFKA_SESSION_TIMEOUT,
      metadataMaxAgeMs: v.KAFKA_METADATA_MAX_AGE,
      readyTimeoutMs: v.KAFKA_READY_TIMEOUT,
      sasl: v.KAFKA_SASL_MECHANISM === undefined ? undefined : { mechanism: v.KAFKA_SASL_MECHANISM, username: v.KAFKA_SASL_USERNAME ?? '', password: v.KAFKA_SASL_PASSWORD ?? '' },
      tls: tlsClient(v.KAFKA_TLS, v.KAFKA_TLS_CA, v.KAFKA_TLS_CERT, v.KAFKA_TLS_KEY)
    },
    groups: {
      largeGroupSize: v.LARGE_GROUP_SIZE,
      membershipCacheBytes: v.MEMBERSHIP_CACHE_BYTES,
      cacheTtlMs: v.CACHE_TTL,
      maxWaitingRecords: v.MAX_WAITING_GROUP_RECORDS,
      maxWaitingBytes: v.MAX_WAITING_GROUP_BYTES
    },
    overload: { memoryLimitBytes: derived.processMemoryBytes, maxMemoryBytes: derived.maxMemoryBytes, maxResidentBytes: derived.maxResidentBytes, maxEventLoopDelayMs: v.MAX_EVENT_LOOP_DELAY },
    explain: { entries: v.EXPLAIN_ENTRIES, bytes: v.EXPLAIN_BYTES },
    drain: { delayMs: v.DRAIN_DELAY, timeoutMs: v.DRAIN_TIMEOUT },
    // The primary answers for all workers.
    admin: v.ADMIN_PORT === undefined || derived.worker !== undefined ? undefined : { host: v.ADMIN_HOST, port: v.ADMIN_PORT, token: v.ADMIN_TOKEN }
  })
}

function tlsClient (on: boolean, ca: string | undefined, cert?: string, key?: string): TlsClientConfig | undefined {
  if (!on && ca === undefined) return undefined
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && key !== undefined && { cert, key }) }
}

function tlsServer (v: Values): TlsServerConfig | undefined {
  if (v.GRPC_TLS_CERT === undefined || v.GRPC_TLS_KEY === undefined) return undefined
  return { cert: v.GRPC_TLS_CERT, key: v.GRPC_TLS_KEY, ca: v.GRPC_TLS_CA, allowedSans: v.GRPC_TLS_ALLOWED_SANS }
}

function publicTls (v: Values, certFile: string | undefined, keyFile: string | undefined): PublicTlsConfig | undefined {
  if (v.WS_TLS_CERT === undefined || v.WS_TLS_KEY === undefined) return undefined
  const files = certFile === undefined || certFile === '' || keyFile === undefined || keyFile === '' ? undefined : { cert: certFile, key: keyFile }
  return { cert: v.WS_TLS_CERT, key: v.WS_TLS_KEY, files }
}

function deepFreeze<T> (value: T): T {
  if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}
