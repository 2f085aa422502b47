/**
 * When new upgrades are refused [GW-OVL-1]: at the limit of connections, of event-loop delay or of memory. What is over
 * its limit counts as over until it is clearly below again, so that neither answers nor readiness flap.
 *
 * Memory has two limits: one for what is in use and a higher one for what is resident. With the latter alone a node could
 * refuse for good after a shortage, for malloc keeps memory that was freed. Both figures include garbage, and V8 frees
 * garbage outside of its heap only when it needs more memory, which a node that refuses never does: hence `relieve`.
 */
import { KERNEL_CONNECTION_BYTES } from './capacity.ts'
import type { Clock, Meter } from './ports.ts'

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
  /** Memory in use: values and buffers, garbage that was not collected yet among them, and the program. */
  readonly inUseBytes: number
  /** Memory in use and what is kept for later, less what the kernel can take back. */
  readonly residentBytes: number
}

export interface OverloadOptions {
  readonly maxConnections: number
  readonly maxEventLoopDelayMs: number
  /** Memory in use together with what the kernel holds for the sockets. */
  readonly maxMemoryBytes: number
  /** Resident memory together with what the kernel holds for the sockets. */
  readonly maxResidentBytes: number
  readonly connections: () => number
  readonly sample: () => ProcessSample
  /** Collects all garbage, at once. */
  readonly collect: () => void
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly meter: Meter
}

/** Shares of a limit below which it no longer counts as passed. */
const DELAY_RELEASE = 0.75
const MEMORY_RELEASE = 0.95
const CONNECTIONS_RELEASE = 0.98

/** A collection holds everybody up: the next one is later by this many times as long, so that P99 does not see those of less than 300 ms. */
const COLLECT_PAUSES = 200
/** A node that has room again knows it after this long, however large it is: of seconds for a collection, it is a few percent of the time. */
export const MAX_COLLECT_INTERVAL_MS = 60_000

export class Overload {
  readonly #options: OverloadOptions
  #slow = false
  #large = false
  #full = false
  #collectAtMs = -Infinity

  constructor (options: OverloadOptions) {
    this.#options = options
    const { meter, connections, sample, maxConnections, maxEventLoopDelayMs } = options
    meter.source('event_loop_delay_seconds', () => sample().eventLoopDelayMs / 1000)
    const used: Readonly<Record<OverloadReason, () => number>> = {
      connections: () => connections() / maxConnections,
      delay: () => sample().eventLoopDelayMs / maxEventLoopDelayMs,
      memory: () => this.#memoryUsed(sample())
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

  /** To be called after each sample: collects garbage where memory is over its limit, seldom enough; the next sample tells. */
  relieve (): void {
    const { clock, collect, sample } = this.#options
    const startedMs = clock.monotonicMs()
    if (startedMs < this.#collectAtMs || !this.#isLarge(sample())) return
    collect()
    const endedMs = clock.monotonicMs()
    this.#collectAtMs = endedMs + Math.min(MAX_COLLECT_INTERVAL_MS, (endedMs - startedMs) * COLLECT_PAUSES)
  }

  #pressure (): OverloadReason | undefined {
    const { maxEventLoopDelayMs } = this.#options
    const sample = this.#options.sample()
    this.#slow = passed(sample.eventLoopDelayMs, maxEventLoopDelayMs, this.#slow ? DELAY_RELEASE : 1)
    const isLarge = this.#isLarge(sample)
    if (this.#slow) return 'delay'
    return isLarge ? 'memory' : undefined
  }

  #isLarge (sample: ProcessSample): boolean {
    this.#large = passed(this.#memoryUsed(sample), 1, this.#large ? MEMORY_RELEASE : 1)
    return this.#large
  }

  /** Share of the limit that is nearer. A container is charged for the kernel's part of each socket as well. */
  #memoryUsed ({ inUseBytes, residentBytes }: ProcessSample): number {
    const { connections, maxMemoryBytes, maxResidentBytes } = this.#options
    const kernelBytes = connections() * KERNEL_CONNECTION_BYTES
    return Math.max((inUseBytes + kernelBytes) / maxMemoryBytes, (residentBytes + kernelBytes) / maxResidentBytes)
  }
}

function passed (value: number, limit: number, share: number): boolean {
  return value >= limit * share
}
