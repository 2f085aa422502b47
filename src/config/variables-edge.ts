/** Variables of the node itself and of its public side. */
import type { Variable } from './variable.ts'

export const NODE = {
  GATEWAY_NODE_ID: { kind: 'text', form: 'name', otherwise: 'the host name', about: 'Name of this node, unique in the cluster and the same after a restart' },
  WORKERS: { kind: 'integer', default: 1, min: 1, max: 64, about: 'Processes behind one WebSocket port, each a node with the id GATEWAY_NODE_ID-i and the gRPC port GRPC_PORT + i; limits count for each of them; needs ADMIN_PORT' },
  LOG_LEVEL: { kind: 'choice', default: 'info', choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], about: 'Least severe log lines that are written' },
  OTEL_EXPORTER_OTLP_ENDPOINT: { kind: 'text', form: 'url', about: 'Base URL of an OTLP collector (HTTP, protobuf) that gets the traces; without it there are none, and nothing is spent on them' },
  OTEL_TRACES_SAMPLER_ARG: { kind: 'text', form: 'ratio', default: '1', about: 'Share of the traces that is recorded, of those that begin here or with a client; callers and Kafka records that come with a decision are followed' }
} as const satisfies Record<string, Variable>

export const WEBSOCKET = {
  WS_HOST: { kind: 'text', form: 'host', default: '0.0.0.0', about: 'Address that the HTTP and WebSocket server binds' },
  WS_PORT: { kind: 'integer', default: 8080, min: 0, max: 65535, original: 'WSPort', about: 'Port of the HTTP and WebSocket server; 0 takes a free one' },
  WS_TLS_CERT: { kind: 'text', form: 'pem', file: true, about: 'Certificate chain of the HTTP and WebSocket server (PEM): turns TLS on; with WS_TLS_CERT_FILE and WS_TLS_KEY_FILE both are read again every 10s, and what has changed holds for new connections. The memory that TLS takes is not in the sums of MAX_CONNECTIONS' },
  WS_TLS_KEY: { kind: 'text', form: 'pem', secret: true, about: 'Its private key (PEM)' },
  READ_BUFFER_SIZE: { kind: 'size', default: '4096', min: '1KB', max: '1MB', original: 'ReadBufferSize', about: 'Bytes that are read from a client socket at a time (its highWaterMark)' },
  WRITE_BUFFER_SIZE: { kind: 'size', default: '4096', min: '512', max: '1MB', original: 'WriteBufferSize', about: 'Frames are joined into writes of at most this size; a larger frame leaves alone' },
  MAX_MESSAGE_SIZE: { kind: 'size', default: '10KB', min: '256', max: '1MB', original: 'MaxMessageSize', about: 'Largest frame a client may send, as a whole; a larger one closes the socket with 1009' },
  WRITE_WAIT: { kind: 'duration', default: '10s', min: '100ms', max: '5m', original: 'WriteWait', about: 'Age that unsent bytes of a connection may reach before it is closed as slow (4001)' },
  CLOSE_TIMEOUT: { kind: 'duration', default: '5s', min: '100ms', max: '30s', about: 'How long a peer may take to answer a close frame before its socket is destroyed' },
  OUTBOX_BYTES: { kind: 'size', default: '1MB', min: '16KB', max: '64MB', about: 'Bytes that may wait for one connection before it is closed as slow (4001)' },
  OUTBOX_TOTAL_BYTES: { kind: 'size', default: '64MB', min: '1MB', max: '16GB', about: 'Bytes that may wait for all connections together; past it the largest backlog is closed first' },
  HEARTBEAT_INTERVAL: { kind: 'duration', default: '30s', min: '100ms', max: '1h', original: 'HeartbeatInterval', about: 'Time between two pings to a client' },
  HEARTBEAT_TIMEOUT: { kind: 'duration', default: '90s', min: '200ms', max: '3h', original: 'HeartbeatTimeout', about: 'Time without a sign of life after which a client is closed (4000)' },
  PING_PERIOD: { kind: 'duration', min: '100ms', max: '1h', original: 'PingPeriod', about: 'Older name of HEARTBEAT_INTERVAL; where it is set it overrides' },
  PONG_WAIT: { kind: 'duration', min: '200ms', max: '3h', original: 'PongWait', about: 'Older name of HEARTBEAT_TIMEOUT; where it is set it overrides' },
  MAX_MESSAGES_PER_SECOND: { kind: 'integer', default: 100, min: 1, max: 100_000, original: 'MaxMessagesPerSecond', about: 'Messages that one user may send a second, over all devices on this node' },
  MAX_DEVICES_PER_USER: { kind: 'integer', default: 5, min: 1, max: 1000, original: 'MaxDevicesPerUser', about: 'Devices of one user that may be connected in the whole cluster' }
} as const satisfies Record<string, Variable>

export const HANDSHAKE = {
  HANDSHAKE_TIMEOUT: { kind: 'duration', default: '5s', min: '500ms', max: '1m', about: 'Deadline of a whole upgrade, from its first byte to the answer; then the socket is destroyed' },
  MAX_PENDING_HANDSHAKES: { kind: 'integer', default: 1000, min: 1, max: 100_000, about: 'Upgrades that may be under way at once' },
  MAX_PENDING_HANDSHAKES_PER_IP: { kind: 'integer', default: 50, min: 1, max: 100_000, about: 'The same for one address (IPv6: one /64)' },
  HANDSHAKES_PER_IP: { kind: 'integer', default: 600, min: 0, max: 10_000_000, about: 'Upgrades of one address in HANDSHAKE_WINDOW before 429; 0 is off' },
  HANDSHAKES_PER_USER: { kind: 'integer', default: 60, min: 0, max: 1_000_000, about: 'Upgrades of one user in HANDSHAKE_WINDOW before 429; 0 is off' },
  HANDSHAKE_WINDOW: { kind: 'duration', default: '1m', min: '1s', max: '1h', about: 'Window of the two limits above' },
  HANDSHAKE_LIMITER: { kind: 'choice', default: 'redis', choices: ['redis', 'local'], about: 'Where upgrades are counted: for the cluster in Redis, or on each node alone' },
  MAX_CONNECTIONS_PER_IP: { kind: 'integer', default: 0, min: 0, max: 10_000_000, about: 'Open connections of one address; 0 is off, for many clients may share one' },
  ALLOWED_ORIGINS: { kind: 'list', form: 'origin', about: 'Origins of browsers that may connect: exact, or https://*.example.com; empty allows the own host alone' },
  ALLOW_EMPTY_ORIGIN: { kind: 'boolean', default: true, about: 'Whether a client without an Origin header (a native one) may connect' },
  ALLOW_QUERY_TOKEN: { kind: 'boolean', default: false, about: 'Whether the token may stand in the query string, where proxies may log it' },
  TRUSTED_PROXIES: { kind: 'list', form: 'network', about: 'Addresses and CIDR blocks of proxies whose X-Forwarded-For is believed' }
} as const satisfies Record<string, Variable>

export const OVERLOAD = {
  MAX_CONNECTIONS: { kind: 'integer', min: 1, max: 10_000_000, otherwise: 'what the memory limit allows, at most the open-files limit - 512', original: 'MaxConnections', about: 'Open connections past which upgrades are refused with 503' },
  MEMORY_LIMIT: { kind: 'size', min: '64MB', max: '4096GB', otherwise: 'the container\'s limit, else the memory of the machine', about: 'Memory that the process and its sockets may take' },
  MAX_MEMORY_PERCENT: { kind: 'integer', default: 80, min: 10, max: 100, about: 'Share of MEMORY_LIMIT in use past which upgrades are refused with 503; resident memory may be halfway from there to all of it' },
  MAX_EVENT_LOOP_DELAY: { kind: 'duration', default: '200ms', min: '10ms', max: '1m', about: 'Mean delay of the event loop past which upgrades are refused with 503' }
} as const satisfies Record<string, Variable>

export const LIFE = {
  DRAIN_DELAY: { kind: 'duration', default: '0s', min: '0s', max: '10m', about: 'Time between failing readiness and refusing upgrades, so that load balancers notice' },
  DRAIN_TIMEOUT: { kind: 'duration', default: '30s', min: '1s', max: '1h', about: 'Deadline of the whole shutdown, DRAIN_DELAY included' },
  PRE_STOP_DELAY: { kind: 'duration', default: '0s', min: '0s', max: '10m', about: 'What the pod\'s preStop hook sleeps before the signal; only checked against GRACE_PERIOD' },
  GRACE_PERIOD: { kind: 'duration', min: '1s', max: '2h', about: 'The pod\'s termination grace period; where it is given the shutdown has to fit in' },
  ADMIN_HOST: { kind: 'text', form: 'host', default: '127.0.0.1', about: 'Address that the admin server binds; other than loopback only with ADMIN_TOKEN' },
  ADMIN_PORT: { kind: 'integer', min: 0, max: 65535, otherwise: 'no admin server', about: 'Port of the admin server with /drain, /connections and /explain; 0 takes a free one' },
  ADMIN_TOKEN: { kind: 'text', form: 'bearer', secret: true, about: 'Bearer token that the admin server asks for' },
  EXPLAIN_ENTRIES: { kind: 'integer', default: 50_000, min: 0, max: 1_000_000, about: 'What the node remembers of the latest messages and connections for /explain and the gRPC call Explain: one entry for a message sent, a push, each device of it, a group record, a connect and a close; 0 remembers nothing' },
  EXPLAIN_BYTES: { kind: 'size', default: '16MB', min: '1MB', max: '1GB', about: 'Memory that these entries may take, their ids included; past it the oldest are forgotten' }
} as const satisfies Record<string, Variable>
