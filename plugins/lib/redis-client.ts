/** Opens Redis by the form of its address: one server, a cluster, or a server that sentinels name. Nothing here waits for it. */
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { RedisAddress } from '../../src/config/addresses.ts'
import type { ClientTlsOptions } from './channel-pool.ts'

export interface RedisClientOptions {
  readonly address: RedisAddress
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly sentinelPassword?: string | undefined
  readonly db: number
  readonly tls?: ClientTlsOptions | undefined
  /** Deadline of a command. */
  readonly timeoutMs: number
  /** Shown in Redis' list of clients. */
  readonly name: string
  /** 0 to 1, spreads reconnects. */
  readonly random: () => number
}

const CONNECT_TIMEOUT_MS = 2_000
/** A socket on which commands wait and nothing comes for so long is given up; the kernel alone would take a quarter of an hour. */
const SILENCE_MS = 5_000
const KEEP_ALIVE_MS = 10_000
const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 2_000
const MAX_DOUBLINGS = 10
/** Tries of a command in a cluster that is rearranging itself. */
const MAX_REDIRECTIONS = 3

/** Commands fail at once while there is no connection, and are never sent twice. The caller listens for errors. */
export function openRedis (options: RedisClientOptions): Redis | Cluster {
  const { address, db, timeoutMs, tls, sentinelPassword } = options
  const retry = (times: number): number => {
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(times, MAX_DOUBLINGS))
    return delayMs / 2 + delayMs / 2 * options.random()
  }
  const secure = tls === undefined ? undefined : { ...tls }
  const server = {
    username: options.username,
    password: options.password,
    connectionName: options.name,
    commandTimeout: timeoutMs,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    keepAlive: KEEP_ALIVE_MS,
    maxRetriesPerRequest: 1,
    autoResendUnfulfilledCommands: false,
    tls: secure,
    // After a failover behind one address: the connection still leads to what is a replica now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY')
  } satisfies RedisOptions
  const hosts = address.nodes.map(({ host, port }) => ({ host, port }))
  if (address.mode === 'cluster') {
    return new Cluster(hosts, { redisOptions: server, enableOfflineQueue: false, clusterRetryStrategy: retry, maxRedirections: MAX_REDIRECTIONS, slotsRefreshTimeout: CONNECT_TIMEOUT_MS })
  }
  const alone = { ...server, db, enableOfflineQueue: false, retryStrategy: retry }
  if (address.mode === 'single') return new Redis({ ...alone, ...hosts[0] })
  return new Redis({
    ...alone,
    sentinels: hosts,
    name: address.masterName,
    sentinelPassword,
    sentinelRetryStrategy: retry,
    sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
    ...(secure === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: secure })
  })
}
