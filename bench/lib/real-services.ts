/** Real services of our own, by the script that the tests use. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { LOAD_CORE, pinned, ROOT } from './machine.ts'
import { SCRATCH } from './scratch.ts'

/** Above the ports that clients of the benchmarks come from. */
const FIRST_PORT = 61_500
const PORTS = 1_000
/** Two of etcd, two of Kafka, one of Redis. */
const PORTS_EACH = 5

export type ServiceName = 'etcd' | 'kafka' | 'redis'

const ADDRESSES = { etcd: 'ETCD_ENDPOINTS', kafka: 'KAFKA_BROKERS', redis: 'REDIS_ADDR' } as const

export class RealServices {
  readonly #port = FIRST_PORT + (process.pid * PORTS_EACH) % PORTS
  readonly #addresses = new Map<ServiceName, string>()

  constructor () {
    // However this process ends, and before their folder goes.
    process.prependOnceListener('exit', () => { if (this.#addresses.size > 0) this.#run('stop') })
  }

  /** Its address; installs and starts it where that was not asked for before. Throws with the script's own words where that fails. */
  address (name: ServiceName): string {
    let address = this.#addresses.get(name)
    if (address !== undefined) return address
    this.#run('install', name)
    address = new RegExp(`^${ADDRESSES[name]}=(.+)$`, 'm').exec(this.#run('start', name))?.[1] ?? ''
    this.#addresses.set(name, address)
    return address
  }

  #run (verb: string, ...names: ServiceName[]): string {
    const [program, args] = pinned(LOAD_CORE, 'bash', [join(ROOT, 'scripts/services.sh'), verb, ...names])
    const env = { ...process.env, SERVICES_DIR: join(SCRATCH, 'services'), ETCD_PORT: String(this.#port), KAFKA_PORT: String(this.#port + 2), REDIS_PORT: String(this.#port + 4) }
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], env })
  }
}

/** Transactions that etcd has done, by its own count. */
export async function etcdTransactions (endpoint: string): Promise<number> {
  const text = await (await fetch(`${endpoint}/metrics`)).text()
  const [, count] = /^grpc_server_handled_total\{grpc_code="OK",grpc_method="Txn",grpc_service="etcdserverpb\.KV",[^}]*\} (\S+)$/m.exec(text) ?? []
  return Number(count ?? 0)
}
