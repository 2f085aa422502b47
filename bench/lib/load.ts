/** The clients of the benchmarks: `bench/load/load.c`, compiled with the system's compiler, in a process of its own core. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { LOAD_CORE, pinned, ROOT } from './machine.ts'

/** What a server says and wants, beyond WebSocket; see load.c. */
export interface Protocol {
  readonly path: string
  /** Further lines of the request; `{token}`. */
  readonly headers?: readonly string[]
  readonly hello?: readonly string[]
  readonly ready?: string
  readonly echo?: readonly [text: string, reply: string]
  /** Stands before the number of a data frame. */
  readonly data?: string
  /** Stands before the microseconds at which a data frame was sent. */
  readonly stamp?: string
  readonly ack?: readonly [text: string, reply: string, until: string] | undefined
  readonly send?: string
  readonly reply?: string
}

export interface LoadStats {
  readonly up: number
  readonly data: number
  readonly gaps: number
  /** Data frames and replies that came twice, or data frames out of order. */
  readonly repeats: number
  readonly sent: number
  readonly replies: number
  /** Messages without a reply of connections that were lost. */
  readonly abandoned: number
  readonly pings: number
  /** Connections that were pinged since `reset`. */
  readonly pinged: number
  readonly closed: number
  /** From the first connection that was lost to the last that came back. */
  readonly returnMs: number
  readonly bytes: number
  /** CPU of the clients since they were started. */
  readonly cpuUs: number
  readonly p50Us: number
  readonly p99Us: number
  readonly p999Us: number
  readonly maxUs: number
}

/** Loopback addresses that clients come from; each has some 28,000 ports of its own. */
export function sourcesOf (process: number): readonly string[] {
  return [2, 3, 4, 5].map((host) => `127.0.${process}.${host}`)
}

export interface LoadOptions {
  readonly port: number
  readonly protocol: Protocol
  /** A file with one token a line. */
  readonly tokens: string
  readonly sources: readonly string[]
}

export class Load {
  readonly #child: ChildProcess
  readonly #answers: Array<(line: string) => void> = []
  readonly #ended: Promise<never>

  private constructor (child: ChildProcess) {
    this.#child = child
    this.#ended = once(child, 'exit').then(([code, signal]) => { throw new Error(`the clients ended with ${String(code ?? signal)}`) })
    this.#ended.catch(() => {})
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => { this.#answers.shift()?.(line) })
  }

  static async start ({ port, protocol, tokens, sources }: LoadOptions): Promise<Load> {
    const [command, args] = pinned(LOAD_CORE, compiled('bench/load/load.c', 'load'), [])
    const load = new Load(spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }))
    const { path, headers = [], hello = [], ready, echo, data, stamp, ack, send, reply } = protocol
    const request = [`GET ${path} HTTP/1.1`, 'Host: 127.0.0.1', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', ...headers, '', ''].join('\r\n')
    await load.target(port)
    await load.#ask('sources', ...sources)
    await load.#ask('tokens', tokens)
    await load.#ask('request', encode(request))
    for (const text of hello) await load.#ask('hello', encode(text))
    if (ready !== undefined) await load.#ask('ready', encode(ready))
    if (echo !== undefined) await load.#ask('echo', ...echo.map(encode))
    if (data !== undefined) await load.#ask('data', encode(data))
    if (stamp !== undefined) await load.#ask('stamp', encode(stamp))
    if (ack !== undefined) await load.#ask('ack', ...ack.map(encode))
    if (send !== undefined) await load.#ask('send', encode(send))
    if (reply !== undefined) await load.#ask('reply', encode(reply))
    return load
  }

  /** Servers to connect to from now on, in turn. */
  async target (...ports: readonly number[]): Promise<void> { await this.#ask('target', '127.0.0.1', ...ports) }

  /** Until so many are up. Rejects where some do not come up. */
  async open (count: number, atOnce = 100): Promise<void> {
    const { up, failed } = await this.#ask('open', count, atOnce) as { up: number, failed: number }
    if (up < count || failed > 0) throw new Error(`${up} of ${count} connections are up, ${failed} failed`)
  }

  async close (count: number): Promise<void> { await this.#ask('close', count) }
  async churn (count: number, atOnce: number): Promise<{ handshakes: number, failed: number, ms: number }> { return await this.#ask('churn', count, atOnce) as { handshakes: number, failed: number, ms: number } }
  async closedLoop (inFlight: number, ms: number): Promise<{ sent: number, replies: number, ms: number }> { return await this.#ask('loop', inFlight, ms) as { sent: number, replies: number, ms: number } }
  async openLoop (perSecond: number, ms: number): Promise<{ sent: number, replies: number, ms: number }> { return await this.#ask('rate', perSecond, ms) as { sent: number, replies: number, ms: number } }
  async awaitData (frames: number, ms: number): Promise<{ data: number, ms: number }> { return await this.#ask('await', frames, ms) as { data: number, ms: number } }
  async deaf (count: number): Promise<void> { await this.#ask('deaf', count) }
  /** Notes replies in a file, `{s}-{n}` a line; without one the file is complete. */
  async answered (path = ''): Promise<void> { await this.#ask('answered', path) }
  /** Connections that are lost come back, so many at a time. */
  async returning (atOnce: number): Promise<void> { await this.#ask('returning', atOnce) }
  async reset (): Promise<void> { await this.#ask('reset') }
  async stats (): Promise<LoadStats> { return await this.#ask('stats') as LoadStats }

  async stop (): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended.catch(() => {})
  }

  async #ask (...words: Array<string | number>): Promise<unknown> {
    const answer = new Promise<string>((resolve) => { this.#answers.push(resolve) })
    this.#child.stdin?.write(`${words.join(' ')}\n`)
    return JSON.parse(await Promise.race([answer, this.#ended]))
  }
}

/** Compiles a C program where it is newer than what was compiled of it. Throws where there is no compiler. */
export function compiled (source: string, name: string): string {
  const folder = join(ROOT, '.cache/bench')
  const binary = join(folder, name)
  mkdirSync(folder, { recursive: true })
  const path = join(ROOT, source)
  if (!existsSync(binary) || statSync(binary).mtimeMs < statSync(path).mtimeMs) {
    try {
      execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', binary, path], { stdio: 'inherit' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new Error('the clients are compiled by the system\'s C compiler, and there is no `cc` here (on Debian: apt-get install gcc libc6-dev)', { cause: error })
    }
  }
  return binary
}

/** Spaces, line breaks and what else would not be one word. */
function encode (text: string): string {
  return text.replace(/[%\s]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
