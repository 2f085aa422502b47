/** A server that is measured: a process on its own core, asked and told by lines. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuUs, pinned, residentBytes, SERVER_CORE } from './machine.ts'

export interface MeasuredServer {
  readonly port: number
  readonly pid: number
  /** CPU time since its start. */
  readonly cpuUs: number
  /** After two collections or more, once it no longer falls. */
  residentBytes (): Promise<number>
  /** What it is to do, by words, and what it answers. */
  ask<T = unknown> (...words: Array<string | number>): Promise<T>
  kill (): Promise<void>
  stop (): Promise<void>
}

const STOP_TIMEOUT_MS = 5_000
/** Memory is read again until it falls by less than a hundredth. */
const SETTLE_MS = 1_000
const SETTLED = 0.99
const MAX_SETTLES = 10

export class Server implements MeasuredServer {
  readonly #child: ChildProcess
  readonly #answers: Array<(line: string) => void> = []
  readonly #ended: Promise<never>
  readonly port: number

  private constructor (child: ChildProcess, answers: Array<(line: string) => void>, ended: Promise<never>, port: number) {
    this.#child = child
    this.#answers = answers
    this.#ended = ended
    this.port = port
  }

  /** Resolves once it says where it listens. */
  static async start (command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Server> {
    const [program, words] = pinned(SERVER_CORE, command, args)
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } })
    const ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`${command} ended with ${String(code ?? signal)}`) })
    ended.catch(() => {})
    endsWithUs(child)
    const answers: Array<(line: string) => void> = []
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => { answers.shift()?.(line) })
    const first = new Promise<string>((resolve) => { answers.push(resolve) })
    const { port } = JSON.parse(await Promise.race([first, ended])) as { port: number }
    return new Server(child, answers, ended, port)
  }

  get pid (): number { return this.#child.pid as number }
  get cpuUs (): number { return cpuUs(this.pid) }

  async residentBytes (): Promise<number> {
    let bytes = Infinity
    // Threads of its own give the pages back, some time after the collection.
    for (let attempt = 0; attempt < MAX_SETTLES; attempt++) {
      await this.ask('gc')
      await sleep(SETTLE_MS)
      const now = residentBytes(this.pid)
      if (now > bytes * SETTLED) return Math.min(now, bytes)
      bytes = now
    }
    return bytes
  }

  /** As if it were out of power. */
  async kill (): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended.catch(() => {})
  }

  async ask<T = unknown> (...words: Array<string | number>): Promise<T> {
    const answer = new Promise<string>((resolve) => { this.#answers.push(resolve) })
    this.#child.stdin?.write(`${words.join(' ')}\n`)
    return JSON.parse(await Promise.race([answer, this.#ended])) as T
  }

  /** It ends when nobody talks to it any more; for good where it does not in time. */
  async stop (): Promise<void> {
    this.#child.stdin?.end()
    const timer = setTimeout(() => { this.#child.kill('SIGKILL') }, STOP_TIMEOUT_MS)
    await this.#ended.catch(() => {})
    clearTimeout(timer)
  }
}

/** A process that outlived its bench would measure along with the next one. */
export function endsWithUs (child: ChildProcess): void {
  const killWithUs = (): void => { child.kill('SIGKILL') }
  process.once('exit', killWithUs)
  child.once('exit', () => { process.removeListener('exit', killWithUs) })
}
