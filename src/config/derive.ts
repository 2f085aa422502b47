/** Values that follow from others or from the machine where they are not given. */
import { formatHostPort, isWildcard } from './addresses.ts'
import { capacity, type Capacity } from './capacity.ts'
import type { Probe } from './probe.ts'
import type { Values } from './table.ts'

export interface Derived {
  readonly nodeId: string
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
  readonly grpcHost: string
  /** undefined where GRPC_HOST stands for several addresses and none is advertised. */
  readonly grpcAdvertiseAddr: string | undefined
  /** Callers of the gRPC server have to prove who they are. */
  readonly grpcCredentials: boolean
  readonly memoryLimitBytes: number
  readonly maxMemoryBytes: number
  readonly capacity: Capacity
  readonly maxConnections: number
}

/** Bytes that an entry of a cache takes, roughly: key, value and the list around them. */
const CACHE_ENTRY_BYTES = 400

export function derive (values: Values, probe: Probe): Derived {
  const grpcCredentials = values.GRPC_AUTH_TOKEN !== undefined || (values.GRPC_TLS_CERT !== undefined && values.GRPC_TLS_CA !== undefined)
  const grpcHost = values.GRPC_HOST ?? (grpcCredentials ? '0.0.0.0' : '127.0.0.1')
  const memoryLimitBytes = values.MEMORY_LIMIT ?? probe.memoryLimitBytes()
  const room = capacity({
    memoryLimitBytes,
    cacheBytes: values.MEMBERSHIP_CACHE_BYTES + CACHE_ENTRY_BYTES * (values.AUTH_CACHE_SIZE + values.ROUTE_CACHE_SIZE),
    outboxTotalBytes: values.OUTBOX_TOTAL_BYTES,
    openFilesLimit: probe.openFilesLimit()
  })
  return {
    nodeId: values.GATEWAY_NODE_ID ?? probe.hostName(),
    heartbeatIntervalMs: values.PING_PERIOD ?? values.HEARTBEAT_INTERVAL,
    heartbeatTimeoutMs: values.PONG_WAIT ?? values.HEARTBEAT_TIMEOUT,
    grpcHost,
    grpcAdvertiseAddr: values.GRPC_ADVERTISE_ADDR ?? (isWildcard(grpcHost) ? undefined : formatHostPort(grpcHost, values.GRPC_PORT)),
    grpcCredentials,
    memoryLimitBytes,
    maxMemoryBytes: Math.floor(memoryLimitBytes * values.MAX_MEMORY_PERCENT / 100),
    capacity: room,
    maxConnections: values.MAX_CONNECTIONS ?? room.connections
  }
}
