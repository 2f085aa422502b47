/** A real etcd of our own, by the script that the tests use. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LOAD_CORE, pinned, ROOT } from './machine.ts'

/** Above the ports that clients of the benchmarks come from. */
const FIRST_PORT = 61_500
const PORTS = 1_000

export class Etcd {
  /** `http://host:port`. */
  readonly endpoint: string
  readonly #folder: string

  private constructor (endpoint: string, folder: string) {
    this.endpoint = endpoint
    this.#folder = folder
  }

  /** Installs it where it is missing. Throws with the script's own words where that fails. */
  static start (): Etcd {
    const folder = mkdtempSync(join(tmpdir(), 'im-gateway-bench-'))
    const port = FIRST_PORT + (process.pid * 2) % PORTS
    run(folder, port, 'install')
    const [, endpoint = ''] = /^ETCD_ENDPOINTS=(.+)$/m.exec(run(folder, port, 'start')) ?? []
    return new Etcd(endpoint, folder)
  }

  stop (): void {
    run(this.#folder, 0, 'stop')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function run (folder: string, port: number, verb: string): string {
  const [program, args] = pinned(LOAD_CORE, 'bash', [join(ROOT, 'scripts/services.sh'), verb, 'etcd'])
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, SERVICES_DIR: folder, ETCD_PORT: String(port) } })
}
