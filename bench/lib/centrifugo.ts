/** Centrifugo, asked over its HTTP API: one channel for all, messages to the IM Service by its RPC proxy over gRPC. */
import { writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/helpers/free-port.ts'
import { groupMessage } from '../peers/control.ts'
import { centrifugo } from './go.ts'
import { cpuUs, pinned, residentBytes, SERVER_CORE } from './machine.ts'
import { SCRATCH } from './scratch.ts'
import { endsWithUs, type MeasuredServer } from './server.ts'
import { SECRET } from './tokens.ts'

const API_KEY = 'bench'
const START_TIMEOUT_MS = 10_000
const POLL_MS = 50

export class Centrifugo implements MeasuredServer {
  readonly port: number
  readonly #child: ChildProcess
  #sent = 0

  private constructor (child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start (services: string): Promise<Centrifugo> {
    const port = await freePort()
    const path = join(SCRATCH, 'centrifugo.json')
    writeFileSync(path, JSON.stringify({
      http_server: { address: '127.0.0.1', port },
      log: { level: 'error' },
      client: { token: { hmac_secret_key: SECRET }, ping_interval: '30s', pong_timeout: '10s', allowed_origins: ['*'] },
      channel: { without_namespace: { allow_subscribe_for_client: true } },
      http_api: { key: API_KEY },
      rpc: { without_namespace: { proxy_enabled: true }, proxy: { endpoint: `grpc://${services}`, timeout: '5s' } }
    }))
    const [program, args] = pinned(SERVER_CORE, centrifugo(), ['--config', path])
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    endsWithUs(child)
    const server = new Centrifugo(child, port)
    const deadline = performance.now() + START_TIMEOUT_MS
    while (!await server.#call('info', {}).then(() => true, () => false)) {
      if (performance.now() > deadline || child.exitCode !== null) throw new Error('Centrifugo does not start')
      await sleep(POLL_MS)
    }
    return server
  }

  get pid (): number { return this.#child.pid as number }
  get cpuUs (): number { return cpuUs(this.pid) }
  /** It collects when it likes; what it has given back by then counts. */
  async residentBytes (): Promise<number> {
    await sleep(1_000)
    return residentBytes(this.pid)
  }

  async ask<T> (name: string, count: string | number = 1): Promise<T> {
    if (name !== 'broadcast') throw new Error(`Centrifugo knows no ${name}`)
    const commands = Array.from({ length: Number(count) }, () => ({ publish: { channel: 'group', data: groupMessage(++this.#sent) } }))
    if (commands.length === 1) await this.#call('publish', commands[0]?.publish)
    else await this.#call('batch', { commands })
    return undefined as T
  }

  async kill (): Promise<void> { await this.stop() }
  async stop (): Promise<void> {
    this.#child.kill('SIGKILL')
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }

  async #call (method: string, body: unknown): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${this.port}/api/${method}`, { method: 'POST', headers: { 'x-api-key': API_KEY, 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const answer = await response.json() as { error?: unknown }
    if (!response.ok || answer.error !== undefined) throw new Error(`Centrifugo answered ${response.status} ${JSON.stringify(answer)}`)
  }
}
