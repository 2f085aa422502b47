/** etcd, Redis, Kafka and MySQL at the addresses of the environment. */
import type { FastifyBaseLogger } from 'fastify'
import { EtcdKv } from '../plugins/lib/etcd-kv.ts'
import { loadConfig } from '../src/config.ts'
import type { Clock, Health } from '../src/ports.ts'
import type { Outside } from './outside.ts'
import { KafkaProducer } from './kafka-producer.ts'
import type { MessageStore } from './stores/message-store.ts'
import { MysqlMessageStore } from './stores/mysql-message-store.ts'

const ADDRESSES = ['ETCD_ENDPOINTS', 'REDIS_ADDR', 'KAFKA_BROKERS', 'MYSQL_URL'] as const
/** How a gateway reaches them and what it calls things there: credentials, TLS, topics. */
const GATEWAY_VARIABLES = /^(?:ETCD|REDIS|KAFKA)_/
/** The stand-in services report to nobody. */
const NO_BOARD: Health = { up: () => {}, down: () => {} }

export class MissingAddressError extends Error {
  constructor (names: readonly string[]) {
    super(`--real needs ${names.join(', ')} in the environment (scripts/services.sh start prints them)`)
    this.name = 'MissingAddressError'
  }
}

/** Rejects where an address is missing or does not answer, naming it. With a store of its own it needs no MySQL. */
export async function openReal (environment: NodeJS.ProcessEnv, clock: Clock, logger: FastifyBaseLogger, ownStore?: MessageStore): Promise<Outside> {
  const missing = ADDRESSES.filter((name) => (environment[name] ?? '') === '' && !(name === 'MYSQL_URL' && ownStore !== undefined))
  if (missing.length > 0) throw new MissingAddressError(missing)
  const env = gatewayVariables(environment)
  const config = loadConfig(env, { requireServices: false })
  const opened: Array<{ close (): Promise<void> }> = []
  const open = async <T extends { close (): Promise<void> }>(name: string, promise: Promise<T>): Promise<T> => {
    const client = await promise.catch((error: unknown) => { throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`) })
    opened.push(client)
    return client
  }
  const close = async (): Promise<void> => { await Promise.allSettled(opened.map((client) => client.close())) }
  try {
    const kv = await open('ETCD_ENDPOINTS', openEtcd(new EtcdKv({ ...config.etcd, clock, health: NO_BOARD })))
    const store = ownStore ?? await open('MYSQL_URL', MysqlMessageStore.open(environment['MYSQL_URL'] as string))
    const producer = await open('KAFKA_BROKERS', KafkaProducer.open({ ...config.kafka, clientId: 'im-gateway-demo', clock, logger }))
    return { producer, store, kv, adapters: () => ({}), env, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function openEtcd (kv: EtcdKv): Promise<EtcdKv> {
  try {
    await kv.range('/', { limit: 1 })
    return kv
  } catch (error) {
    await kv.close()
    throw error
  }
}

function gatewayVariables (environment: NodeJS.ProcessEnv): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(environment)) {
    if (GATEWAY_VARIABLES.test(name) && value !== undefined && value !== '') env[name] = value
  }
  return env
}
