/**
 * A private instance of real services for tests that kill, freeze or flood them: ports and data of its own, through
 * scripts/services.sh. It ends with the test process, however that ends.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type ServiceName = 'etcd' | 'redis' | 'kafka' | 'mysql'
/** One process: a service's name with its number, from 1. */
export type NodeName = `${ServiceName}${number}`
export type AddressName = 'ETCD_ENDPOINTS' | 'REDIS_ADDR' | 'KAFKA_BROKERS' | 'MYSQL_URL'

export interface ServicesOptions {
  /** First of the 62 ports that are taken. Default: a free block between 20000 and 32000. */
  readonly basePort?: number
  readonly etcdNodes?: 1 | 3
  readonly kafkaNodes?: 1 | 3
  /** Settings of the broker besides those of the script, by its port; of a single broker the second port above is free as well. */
  readonly kafkaProperties?: (port: number) => Readonly<Record<string, string>>
}

const SCRIPT = join(import.meta.dirname, '..', '..', 'scripts', 'services.sh')
const FIRST_PORT = 20_000
const BLOCK = 100
const BLOCKS = 120
const INSTALL_TIMEOUT_MS = 600_000
const COMMAND_TIMEOUT_MS = 150_000

/**
 * Installs what is missing and starts the services. Rejects with the script's own words when that fails.
 * Call `stop` when done; where that is forgotten they end within two seconds of this process.
 */
export async function startService (names: readonly ServiceName[], options: ServicesOptions = {}): Promise<Services> {
  const directory = await mkdtemp(join(tmpdir(), 'im-gateway-test-'))
  const watcher = watch(directory)
  try {
    await script(['install', ...names], { SERVICES_DIR: directory }, INSTALL_TIMEOUT_MS)
    for (let attempt = 0; ; attempt++) {
      const ports = portsFrom(options.basePort ?? await freeBlock(attempt), options)
      const settings: Record<string, string> = { SERVICES_DIR: directory, ...ports }
      if (options.kafkaProperties !== undefined) {
        settings['KAFKA_PROPERTIES'] = join(directory, 'kafka.properties')
        await writeFile(settings['KAFKA_PROPERTIES'], propertiesOf(options.kafkaProperties(Number(ports['KAFKA_PORT']))))
      }
      try {
        return new Services(settings, await script(['start', ...names], settings), watcher)
      } catch (error) {
        // Between the look and the start another process may take a port: then the next block.
        if (options.basePort !== undefined || attempt === 4 || !String(error).includes('is taken')) throw error
        await script(['stop'], settings)
      }
    }
  } catch (error) {
    await script(['stop'], { SERVICES_DIR: directory })
    await rm(directory, { recursive: true, force: true })
    watcher()
    throw error
  }
}

export class Services {
  /** What `start` printed: one address for each service, by the names of the configuration. */
  readonly env: Readonly<Partial<Record<AddressName, string>>>
  readonly #settings: Readonly<Record<string, string>>
  readonly #endWatcher: () => void

  constructor (settings: Readonly<Record<string, string>>, output: string, endWatcher: () => void) {
    this.#settings = settings
    this.#endWatcher = endWatcher
    this.env = Object.fromEntries(output.trim().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  }

  /** An address, for tests that cannot go on without it. */
  address (name: AddressName): string {
    const value = this.env[name]
    if (value === undefined) throw new Error(`${name} belongs to a service that was not started`)
    return value
  }

  /** `kill -9`; resolves when the process is gone. */
  async kill (node: NodeName): Promise<void> { await script(['kill', node], this.#settings) }
  /** Starts what was killed, on the same port and data; resolves when it answers. */
  async restart (service: ServiceName): Promise<void> { await script(['start', service], this.#settings) }
  /** The process stops in its tracks; its connections stay open and are answered no more. */
  async freeze (node: NodeName): Promise<void> { await script(['freeze', node], this.#settings) }
  async thaw (node: NodeName): Promise<void> { await script(['thaw', node], this.#settings) }

  /** Stops all of them and removes their data. */
  async stop (): Promise<void> {
    await script(['stop'], this.#settings)
    this.#endWatcher()
    await rm(this.#settings['SERVICES_DIR'] ?? '', { recursive: true, force: true })
  }
}

function portsFrom (base: number, options: ServicesOptions): Record<string, string> {
  return {
    ETCD_PORT: String(base),
    KAFKA_PORT: String(base + 30),
    REDIS_PORT: String(base + 60),
    MYSQL_PORT: String(base + 61),
    ETCD_NODES: String(options.etcdNodes ?? 1),
    KAFKA_NODES: String(options.kafkaNodes ?? 1)
  }
}

function propertiesOf (settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings).map(([name, value]) => `${name}=${value.replaceAll('\n', '\\n')}\n`).join('')
}

/** Test files run side by side: each process begins its search at another block. */
async function freeBlock (attempt: number): Promise<number> {
  for (let i = 0; i < BLOCKS; i++) {
    const base = FIRST_PORT + ((process.pid + attempt + i) % BLOCKS) * BLOCK
    const ports = [0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51, 60, 61]
    const free = await Promise.all(ports.map((port) => isFree(base + port)))
    if (free.every(Boolean)) return base
  }
  throw new Error('no block of free ports between 20000 and 32000')
}

function isFree (port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => { resolve(false) })
    server.listen(port, '127.0.0.1', () => { server.close(() => { resolve(true) }) })
  })
}

/** Resolves to what the script printed on stdout; rejects with what it said on stderr. */
function script (args: readonly string[], settings: Readonly<Record<string, string>>, timeoutMs = COMMAND_TIMEOUT_MS): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('bash', [SCRIPT, ...args], { env: { ...process.env, ...settings }, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs })
    let output = ''
    let words = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
    child.stderr.setEncoding('utf8').on('data', (text: string) => { words += text })
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve(output)
      else reject(new Error(`services.sh ${args.join(' ')} ended with ${code ?? 'a signal'}\n${words}`))
    })
  })
}

/** A process apart, which outlives this one for long enough to stop the services and remove the folder. Returns what ends it. */
function watch (directory: string): () => void {
  const child = spawn('bash', ['-c', 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; bash "$2" stop; rm -rf "$SERVICES_DIR"', 'watch', String(process.pid), SCRIPT],
    { env: { ...process.env, SERVICES_DIR: directory }, detached: true, stdio: 'ignore' })
  child.unref()
  return () => { child.kill('SIGKILL') }
}
