/**
 * How many connections a node can hold. A connection costs 4.1-4.5 KB of the process and 3.7-3.9 KB of the kernel,
 * which a container is charged for as well: 8.2 KB in all (measured; docs/configuration.md tells how).
 */

const CONNECTION_BYTES = 8.2 * 1024
/** The kernel's part of them. */
export const KERNEL_CONNECTION_BYTES = 3.8 * 1024
/** The process before its first connection. */
const BASE_BYTES = 50 * 1024 * 1024
/** What is kept free for garbage and bursts. */
const USABLE_SHARE = 0.8
/** Files that are not client sockets: upstream channels, brokers, logs, the runtime's own. */
const RESERVED_FILES = 512

export interface CapacityInput {
  readonly memoryLimitBytes: number
  /** Bounded caches together. */
  readonly cacheBytes: number
  readonly outboxTotalBytes: number
  /** undefined where the system has no such limit. */
  readonly openFilesLimit: number | undefined
}

export interface Capacity {
  /** Connections that fit; 0 where none does. */
  readonly connections: number
  /** Which of the two limits decides. */
  readonly limitedBy: 'memory' | 'open files'
}

/** The lesser of what memory and open files allow [GW-OVL-1]. */
export function capacity (input: CapacityInput): Capacity {
  const free = USABLE_SHARE * input.memoryLimitBytes - BASE_BYTES - input.cacheBytes - input.outboxTotalBytes
  const byMemory = Math.max(0, Math.floor(free / CONNECTION_BYTES))
  const byFiles = input.openFilesLimit === undefined ? Infinity : Math.max(0, input.openFilesLimit - RESERVED_FILES)
  return byFiles < byMemory ? { connections: byFiles, limitedBy: 'open files' } : { connections: byMemory, limitedBy: 'memory' }
}
