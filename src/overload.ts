/**
 * When new upgrades are refused [GW-OVL-1]: at the limit of connections, of event-loop delay or of memory. What is over
 * its limit counts as over until it is clearly below again, so that neither answers nor readiness flap.
 */
import { KERNEL_CONNECTION_BYTES } from './capacity.ts'
import type { Meter } from './ports.ts'

/** How often the event loop is looked at: each look wakes the process, at the 10 ms of the usual plugins for a hundredth of a core. */
export const DELAY_RESOLUTION_MS = 100

/** How often the process says what it is. Often enough to shed load within a second, seldom enough to cost nothing. */
export const SAMPLE_INTERVAL_MS = 500

/**
 * Mean delay of the event loop, milliseconds, since the histogram (nanoseconds) was reset. `lateMs`, by which the sample
 * itself is late, counts as one delay more: after a stall its timer may fire before the histogram's, whose first record
 * after a reset tells nothing, and the stall would be seen nowhere.
 */
export function meanDelayMs ({ count, mean }: { readonly count: number, readonly mean: number }, lateMs: number): number {
  // Nothing was seen: the loop did not turn once.
  if (count === 0) return Math.max(SAMPLE_INTERVAL_MS, lateMs)
  return Math.max(0, (count * (mean / 1e6 - DELAY_RESOLUTION_MS) + Math.max(0, lateMs)) / (count + 1))
}

export type OverloadReason = 'connections' | 'delay' | 'memory'

/** What the process says of itself, as of its last sample. */
export interface ProcessSample {
  /** Mean delay of the event loop in the last sample, milliseconds. */
  readonly eventLoopDelayMs: number
  /** Resident memory. */
  readonly rssBytes: number
}

export interface OverloadOptions {
  readonly maxConnections: number
  readonly maxEventLoopDelayMs: number
  /** Resident memory together with what the kernel holds for the sockets. */
  readonly maxMemoryBytes: number
  readonly connections: () => number
  readonly sample: () => ProcessSample
  readonly meter: Meter
}

/** Shares of a limit below which it no longer counts as passed. */
const DELAY_RELEASE = 0.75
const MEMORY_RELEASE = 0.95
const CONNECTIONS_RELEASE = 0.98

export class Overload {
  readonly #options: OverloadOptions
  #slow = false
  #large = false
  #full = false

  constructor (options: OverloadOptions) {
    this.#options = options
    const { meter, connections, sample, maxConnections, maxEventLoopDelayMs, maxMemoryBytes } = options
    meter.source('event_loop_delay_seconds', () => sample().eventLoopDelayMs / 1000)
    const used: Readonly<Record<OverloadReason, () => number>> = {
      connections: () => connections() / maxConnections,
      delay: () => sample().eventLoopDelayMs / maxEventLoopDelayMs,
      memory: () => this.#memoryBytes(sample()) / maxMemoryBytes
    }
    for (const [limit, read] of Object.entries(used)) meter.source('limit_used_ratio', read, limit)
  }

  /** Why an upgrade is to be refused now; undefined: it may go on. */
  shouldRefuse (): OverloadReason | undefined {
    const { connections, maxConnections } = this.#options
    if (connections() >= maxConnections) return 'connections'
    return this.#pressure()
  }

  /** As `shouldRefuse`, for readiness: a node that was full is ready again only once some have left. */
  state (): OverloadReason | undefined {
    const { connections, maxConnections } = this.#options
    this.#full = passed(connections(), maxConnections, this.#full ? CONNECTIONS_RELEASE : 1)
    return this.#full ? 'connections' : this.#pressure()
  }

  #pressure (): OverloadReason | undefined {
    const { maxEventLoopDelayMs, maxMemoryBytes } = this.#options
    const sample = this.#options.sample()
    this.#slow = passed(sample.eventLoopDelayMs, maxEventLoopDelayMs, this.#slow ? DELAY_RELEASE : 1)
    this.#large = passed(this.#memoryBytes(sample), maxMemoryBytes, this.#large ? MEMORY_RELEASE : 1)
    if (this.#slow) return 'delay'
    return this.#large ? 'memory' : undefined
  }

  /** A container is charged for the kernel's part of each socket as well. */
  #memoryBytes ({ rssBytes }: ProcessSample): number {
    return rssBytes + this.#options.connections() * KERNEL_CONNECTION_BYTES
  }
}

function passed (value: number, limit: number, share: number): boolean {
  return value >= limit * share
}
