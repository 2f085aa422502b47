/**
 * What a load needs: sums over measured costs. The default of MAX_CONNECTIONS, `--check-config`, the chart's defaults and
 * docs/capacity.md, where the sums are written out, all come from here.
 */
import { WINDOW_MS } from './registry/batch-window.ts'
import { MAX_OPERATIONS } from './registry/batcher.ts'
import { EARLIEST_RENEWAL, MAX_HOLDERS } from './registry/lease-pool.ts'

const KB = 1024
const MB = 1024 ** 2

export interface Cost {
  readonly value: number
  readonly unit: 'MB' | 'KB' | 'us' | 'us/s'
  /** Where it was measured: a figure of bench/results/SCENARIO.json. The value is that or at most a fifth above. */
  readonly scenario: string
  readonly figure: string
  readonly about: string
}

export const COSTS = {
  base: { value: 110, unit: 'MB', scenario: 'S1', figure: 'base', about: 'memory of a process before its first connection' },
  resident: { value: 5, unit: 'KB', scenario: 'S1', figure: 'resident', about: 'memory of the process for a connection' },
  kernel: { value: 4.8, unit: 'KB', scenario: 'S1', figure: 'kernel', about: 'memory of the kernel for its socket' },
  idle: { value: 1.4, unit: 'us/s', scenario: 'S2', figure: 'cpu', about: 'CPU of a connection with a heartbeat every 30 s' },
  delivery: { value: 9, unit: 'us', scenario: 'S3', figure: 'cpu', about: 'CPU of a group message for each member' },
  send: { value: 30, unit: 'us', scenario: 'S6', figure: 'cpu', about: 'CPU of a message to the IM Service and its ack' },
  push: { value: 30, unit: 'us', scenario: 'S7', figure: 'cpu', about: 'CPU of a push by PushStream, its ack and the report' },
  handshake: { value: 180, unit: 'us', scenario: 'S8', figure: 'cpu', about: 'CPU of a handshake' },
  record: { value: 3, unit: 'us', scenario: 'S11', figure: 'cpu', about: 'CPU of a group record on each node' }
} as const satisfies Record<string, Cost>

/** The heartbeat interval under which `COSTS.idle` was measured. */
const IDLE_INTERVAL_MS = 30_000
/** The kernel's part of a connection. */
export const KERNEL_CONNECTION_BYTES = COSTS.kernel.value * KB
export const CONNECTION_BYTES = COSTS.resident.value * KB + KERNEL_CONNECTION_BYTES
export const BASE_BYTES = COSTS.base.value * MB
/** What the primary of several workers takes. */
export const PRIMARY_BYTES = 80 * MB
/** The rest of the memory is for garbage and bursts. */
export const USABLE_MEMORY = 0.8
/** Files that are not client sockets: upstream channels, brokers, logs, the runtime's own. */
export const RESERVED_FILES = 512
/** The rest of a core is for bursts, and for those who come back when a node is lost. */
export const USABLE_CORE = 0.5
/** Nodes that may be away: being replaced, or lost. */
export const SPARE_NODES = 1
/** A push is given to any node, and goes on to the device's. */
export const PUSH_NODES = 2
/** To connect: a read for the admission and a put. To leave: a removal. */
export const ETCD_CONNECT = 2
export const ETCD_LEAVE = 1
/** Transactions that a worker begins a second while none is full. */
export const ETCD_WINDOWS = 1000 / WINDOW_MS
/** Headers of Ethernet, IP and TCP, of a packet and of the bare one that confirms it. */
export const PACKETS_BYTES = 2 * 66
/** Frames: an ack with its message id, a ping with its pong. */
export const ACK_BYTES = 115
export const HEARTBEAT_BYTES = 2 + 6

/** One node: a pod, or a machine with several workers. Limits count for each worker, as in the configuration. */
export interface NodeShape {
  /** Of all its processes. */
  readonly memoryLimitBytes: number
  readonly workers: number
  /** Bounded caches together. */
  readonly cacheBytes: number
  readonly outboxTotalBytes: number
  /** undefined where the system has no such limit. */
  readonly openFilesLimit: number | undefined
  readonly heartbeatIntervalMs: number
  readonly renewIntervalMs: number
}

export interface Capacity {
  /** Connections of one worker that fit; 0 where none does. */
  readonly connections: number
  readonly byMemory: number
  readonly byFiles: number
  /** Which of the two limits decides. */
  readonly limitedBy: 'memory' | 'open files'
}

/** What the whole cluster has to bear; rates are of a second. */
export interface Load {
  readonly connections: number
  readonly sends: number
  /** To one device each. */
  readonly pushes: number
  readonly groupMessages: number
  /** Members of a group that are connected, wherever, on average. */
  readonly members: number
  /** Connections that go and come back. */
  readonly reconnects: number
  /** Of a message as a frame, and as a record of Kafka. */
  readonly messageBytes: number
}

/** What a load takes on so many nodes, all of them together; rates are of a second. */
export interface Usage {
  readonly workers: number
  readonly memory: { readonly userBytes: number, readonly kernelBytes: number }
  /** Cores, by what uses them. */
  readonly cpu: { readonly idle: number, readonly sends: number, readonly pushes: number, readonly deliveries: number, readonly handshakes: number, readonly records: number }
  readonly cores: number
  readonly etcd: { readonly renewals: number, readonly operations: number, readonly transactions: number, readonly watchEvents: number }
  readonly kafka: { readonly consumers: number, readonly bytes: number }
  readonly network: { readonly clientBytes: number, readonly grpcBytes: number }
}

/** Bytes of the memory limit that one process has: all of it, but with several workers. */
export function processMemoryBytes ({ memoryLimitBytes, workers }: Pick<NodeShape, 'memoryLimitBytes' | 'workers'>): number {
  return workers === 1 ? memoryLimitBytes : Math.max(0, Math.floor((memoryLimitBytes - PRIMARY_BYTES) / workers))
}

/** What one worker can hold: the lesser of what memory and open files allow [GW-OVL-1]. */
export function capacity (shape: NodeShape): Capacity {
  const byMemory = Math.max(0, Math.floor((USABLE_MEMORY * processMemoryBytes(shape) - fixedBytes(shape)) / CONNECTION_BYTES))
  const byFiles = shape.openFilesLimit === undefined ? Infinity : Math.max(0, shape.openFilesLimit - RESERVED_FILES)
  return { connections: Math.min(byMemory, byFiles), byMemory, byFiles, limitedBy: byFiles < byMemory ? 'open files' : 'memory' }
}

/** What one worker takes with so many connections, the kernel's part included, when caches and outboxes are full. */
export function workerBytes (connections: number, shape: NodeShape): number {
  return connections * CONNECTION_BYTES + fixedBytes(shape)
}

/** The least memory limit under which each worker holds so many connections, in bytes. */
export function memoryLimitFor (connections: number, shape: NodeShape): number {
  const bytes = Math.ceil(workerBytes(connections, shape) / USABLE_MEMORY)
  return shape.workers === 1 ? bytes : bytes * shape.workers + PRIMARY_BYTES
}

/** The load that is assumed where nobody says another, at a busy hour. */
export function typicalLoad (connections: number): Load {
  return { connections, sends: connections / 80, pushes: connections / 100, groupMessages: connections / 400, members: 50, reconnects: connections / 3600, messageBytes: 430 }
}

/** Nodes that bear the load while `SPARE_NODES` of them are away; Infinity where no number of them does. */
export function nodesFor (load: Load, shape: NodeShape): number {
  const { cpu, cores } = usage(load, shape, 1)
  const recordsOfOne = cpu.records / shape.workers
  // Each worker reads all records, so that only what is left of its core grows with their number.
  const spare = USABLE_CORE - recordsOfOne
  const byCpu = spare > 0 ? (cores - cpu.records) / spare : Infinity
  const workers = Math.max(load.connections / capacity(shape).connections, byCpu)
  return Math.max(1, Math.ceil(workers / shape.workers)) + SPARE_NODES
}

/** What the load takes on so many nodes of this shape. */
export function usage (load: Load, shape: NodeShape, nodes: number): Usage {
  const { connections, sends, pushes, groupMessages, members, reconnects, messageBytes } = load
  const workers = nodes * shape.workers
  const deliveries = groupMessages * members
  const heartbeats = connections / shape.heartbeatIntervalMs * 1000
  const cpu = {
    idle: cores(connections * IDLE_INTERVAL_MS / shape.heartbeatIntervalMs, COSTS.idle),
    sends: cores(sends, COSTS.send),
    pushes: cores(pushes * PUSH_NODES, COSTS.push),
    deliveries: cores(deliveries, COSTS.delivery),
    handshakes: cores(reconnects, COSTS.handshake),
    records: cores(groupMessages * workers, COSTS.record)
  }
  // A push reads where its user is, unless that is in the cache of routes.
  const operations = reconnects * (ETCD_CONNECT + ETCD_LEAVE) + pushes
  return {
    workers,
    memory: {
      userBytes: connections * COSTS.resident.value * KB + workers * fixedBytes(shape) + (shape.workers > 1 ? nodes * PRIMARY_BYTES : 0),
      kernelBytes: connections * KERNEL_CONNECTION_BYTES
    },
    cpu,
    cores: Object.values(cpu).reduce((sum, part) => sum + part),
    etcd: {
      // The last lease of each worker may be nearly empty.
      renewals: (connections / MAX_HOLDERS + workers) / (EARLIEST_RENEWAL * shape.renewIntervalMs / 1000),
      operations,
      transactions: Math.min(operations, Math.max(workers * ETCD_WINDOWS, operations / MAX_OPERATIONS)),
      watchEvents: 2 * reconnects * workers
    },
    kafka: { consumers: workers, bytes: groupMessages * messageBytes * workers },
    network: {
      // Sends and pushes have an ack each.
      clientBytes: (sends + pushes) * (messageBytes + ACK_BYTES + 2 * PACKETS_BYTES) + deliveries * (messageBytes + PACKETS_BYTES) + heartbeats * (HEARTBEAT_BYTES + PACKETS_BYTES),
      grpcBytes: (sends + pushes * PUSH_NODES) * messageBytes
    }
  }
}

/** Bytes of a worker that do not grow with its connections. */
function fixedBytes ({ cacheBytes, outboxTotalBytes }: NodeShape): number {
  return BASE_BYTES + cacheBytes + outboxTotalBytes
}

function cores (perSecond: number, cost: Cost): number {
  return perSecond * cost.value / 1e6
}
