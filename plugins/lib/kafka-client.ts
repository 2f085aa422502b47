/** Opens clients of Kafka: addresses, TLS, SASL, time limits, and the library's log led into ours. */
import kafkajs, { type Kafka, type KafkaConfig, type LogEntry, type SASLOptions } from 'kafkajs'
import type { Clock, Logger } from '../../src/ports.ts'
import { boundBatches } from './kafka-batches.ts'
import { installCodecs } from './kafka-codecs.ts'
import { boundRecordHeaders } from './kafka-record-headers.ts'
import { tameRequestTimers } from './kafka-request-timers.ts'

/** The part of the library that the bus uses; a test may give a fake. */
export type KafkaClient = Pick<Kafka, 'admin' | 'consumer'>

export interface KafkaClientOptions {
  /** `host:port` */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly tls: { readonly ca?: string | Buffer | undefined, readonly cert?: string | Buffer | undefined, readonly key?: string | Buffer | undefined } | undefined
  readonly sasl: { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512', readonly username: string, readonly password: string } | undefined
  readonly clock: Clock
  readonly logger: Logger
}

const CONNECTION_TIMEOUT_MS = 3_000
const REQUEST_TIMEOUT_MS = 10_000
/**
 * Retries inside the library: enough for an election or a lost connection, then the session ends and the supervisor
 * begins a new one. It waits at most 0.2 + 0.4 + 0.8 + 1 + 1 s.
 */
const RETRY = { initialRetryTime: 200, maxRetryTime: 1_000, retries: 5 }

/** A new client; nothing is connected yet. */
export function openKafka (options: KafkaClientOptions): KafkaClient {
  installCodecs()
  if (!tameRequestTimers()) options.logger.warn({}, 'This release of kafkajs is not the one whose timers are known; they are left as they are')
  if (!boundRecordHeaders()) options.logger.warn({}, 'This release of kafkajs is not the one whose reading of headers is known; it is left as it is')
  if (!boundBatches()) options.logger.warn({}, 'This release of kafkajs is not the one whose reading of batches is known; it is left as it is')
  return new kafkajs.Kafka(kafkaConfig(options))
}

/** The library's settings for these options. */
export function kafkaConfig (options: KafkaClientOptions): KafkaConfig {
  const { brokers, clientId, tls, sasl } = options
  const config: KafkaConfig = {
    brokers: [...brokers],
    clientId,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    enforceRequestTimeout: true,
    retry: RETRY,
    logLevel: kafkajs.logLevel.INFO,
    logCreator: () => logInto(options.logger, options.clock)
  }
  if (tls !== undefined) config.ssl = given(tls)
  // The library writes into what it is given, and ours is frozen.
  if (sasl !== undefined) config.sasl = { ...sasl } as SASLOptions
  return config
}

/** Without the keys that have no value: the TLS layer takes `undefined` for a setting. */
function given<T extends object> (options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> }
}

const WARNING_INTERVAL_MS = 1_000

/**
 * The library says each failed connection several times over. What matters is said by the supervisor, so of the
 * library's errors one a second gets through as a warning, with the number that did not; the rest is debug.
 */
export function logInto (logger: Logger, clock: Clock): (entry: LogEntry) => void {
  let lastMs = -Infinity
  let hidden = 0
  return ({ namespace, level, log }) => {
    const facts = { client: 'kafkajs', part: namespace, message: log.message, broker: log['broker'], reason: log['error'] instanceof Error ? log['error'].message : log['error'] }
    if (level > kafkajs.logLevel.WARN) {
      logger.debug(facts, 'Kafka client')
    } else if (clock.monotonicMs() - lastMs >= WARNING_INTERVAL_MS) {
      lastMs = clock.monotonicMs()
      logger.warn({ ...facts, hidden }, 'Kafka client')
      hidden = 0
    } else {
      hidden++
      logger.debug(facts, 'Kafka client')
    }
  }
}
