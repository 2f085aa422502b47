/** Values that follow from others or from the machine where they are not given. */
import { capacity, processMemoryBytes, type Capacity, type NodeShape } from '../capacity.ts'
import { formatHostPort, isWildcard, parseHostPort } from './addresses.ts'
import type { Probe } from './probe.ts'
import type { Values } from './table.ts'

export interface Derived {
  readonly nodeId: string
  /** undefined: the primary, or the only process. */
  readonly worker: number | undefined
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
  readonly grpcHost: string
  readonly grpcPort: number
  /** undefined where GRPC_HOST stands for several addresses and none is advertised. */
  readonly grpcAdvertiseAddr: string | undefined
  /** Callers of the gRPC server have to prove who they are. */
  readonly grpcCredentials: boolean
  /** The share of one process: all of it, but with several workers. */
  readonly processMemoryBytes: number
  /** Limit of the memory in use. */
  readonly maxMemoryBytes: number
  /** Limit of the resident memory, halfway from there to all of it: malloc may keep memory that was freed, and V8 still has room to grow. */
  readonly maxResidentBytes: number
  /** What the sums of src/capacity.ts know of this node. */
  readonly shape: NodeShape
  /** Of one process. */
  readonly capacity: Capacity
  readonly maxConnections: number
}

/** Bytes that an entry of a cache takes, roughly: key, value and the list around them. */
export const CACHE_ENTRY_BYTES = 400

/** `worker`: which of the WORKERS the process is; each is a node of its own. */
export function derive (values: Values, probe: Probe, worker?: number): Derived {
  const grpcCredentials = values.GRPC_AUTH_TOKEN !== undefined || (values.GRPC_TLS_CERT !== undefined && values.GRPC_TLS_CA !== undefined)
  const grpcHost = values.GRPC_HOST ?? (grpcCredentials ? '0.0.0.0' : '127.0.0.1')
  const name = values.GATEWAY_NODE_ID ?? probe.hostName()
  const grpcPort = values.GRPC_PORT + (worker ?? 0)
  const shape: NodeShape = {
    memoryLimitBytes: values.MEMORY_LIMIT ?? probe.memoryLimitBytes(),
    workers: values.WORKERS,
    cacheBytes: values.MEMBERSHIP_CACHE_BYTES + (values.EXPLAIN_ENTRIES === 0 ? 0 : values.EXPLAIN_BYTES) + CACHE_ENTRY_BYTES * (values.AUTH_CACHE_SIZE + values.ROUTE_CACHE_SIZE),
    outboxTotalBytes: values.OUTBOX_TOTAL_BYTES,
    openFilesLimit: probe.openFilesLimit(),
    heartbeatIntervalMs: values.PING_PERIOD ?? values.HEARTBEAT_INTERVAL,
    renewIntervalMs: values.REGISTRY_RENEW_INTERVAL
  }
  const processBytes = processMemoryBytes(shape)
  const maxMemoryBytes = Math.floor(processBytes * values.MAX_MEMORY_PERCENT / 100)
  const room = capacity(shape)
  return {
    nodeId: worker === undefined ? name : `${name}-${worker}`,
    worker,
    heartbeatIntervalMs: shape.heartbeatIntervalMs,
    heartbeatTimeoutMs: values.PONG_WAIT ?? values.HEARTBEAT_TIMEOUT,
    grpcHost,
    grpcPort,
    grpcAdvertiseAddr: advertised(values.GRPC_ADVERTISE_ADDR, worker ?? 0) ?? (isWildcard(grpcHost) ? undefined : formatHostPort(grpcHost, grpcPort)),
    grpcCredentials,
    processMemoryBytes: processBytes,
    maxMemoryBytes,
    maxResidentBytes: Math.floor((maxMemoryBytes + processBytes) / 2),
    shape,
    capacity: room,
    maxConnections: values.MAX_CONNECTIONS ?? room.connections
  }
}

/** The address with its port moved; as it is where it is at fault, which is reported elsewhere. */
function advertised (address: string | undefined, offset: number): string | undefined {
  const parsed = offset === 0 || address === undefined ? undefined : parseHostPort(address)
  return parsed === undefined ? address : formatHostPort(parsed.host, parsed.port + offset)
}
