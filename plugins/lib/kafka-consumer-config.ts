/** How the library's consumer is set up: what the operator may choose, and what the bus relies on. */
import type { ConsumerConfig } from 'kafkajs'

export interface ConsumerSettings {
  readonly groupId: string
  readonly minBytes: number
  readonly maxBytes: number
  readonly maxWaitMs: number
  readonly sessionTimeoutMs: number
  readonly metadataMaxAgeMs: number
  /** 0: never. */
  readonly commitIntervalMs: number
}

/** Small enough that decoding one answer does not hold the loop; a single larger record comes all the same. */
const MAX_BYTES_PER_PARTITION = 256 * 1024
/** The only member of its group has nobody to wait for. */
const REBALANCE_TIMEOUT_MS = 10_000
const HEARTBEATS_PER_SESSION_TIMEOUT = 10

export function consumerConfig (settings: ConsumerSettings): ConsumerConfig {
  return {
    groupId: settings.groupId,
    minBytes: settings.minBytes,
    maxBytes: settings.maxBytes,
    maxBytesPerPartition: Math.min(settings.maxBytes, MAX_BYTES_PER_PARTITION),
    maxWaitTimeInMs: settings.maxWaitMs,
    sessionTimeout: settings.sessionTimeoutMs,
    heartbeatInterval: Math.floor(settings.sessionTimeoutMs / HEARTBEATS_PER_SESSION_TIMEOUT),
    rebalanceTimeout: REBALANCE_TIMEOUT_MS,
    metadataMaxAge: settings.metadataMaxAgeMs,
    allowAutoTopicCreation: false,
    // Restarts have one owner. The library's own run in a timer, where a rejection would end the process.
    retry: { restartOnFailure: async () => false }
  }
}
