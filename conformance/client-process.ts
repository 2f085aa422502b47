/**
 * A client under test: a child process that is told where the gateway is by its environment, what to do by lines on its
 * stdin, and tells what its application sees by lines on its stdout. docs/conformance.md has the lines.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { Journal } from './journal.ts'

export type ClientEvent = Readonly<Record<string, unknown>> & { readonly event: string }

const LAST_WORDS = 20
/** Of what it says, in all. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024
const END_TIMEOUT_MS = 2_000
/** For its last words after its end, which what it left behind may hold up. */
const LAST_WORDS_MS = 500

/** Ends each client that runs, with what it started. As groups of their own they get no signal of the terminal. */
const running = new Set<() => void>()
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

function killAll (): void {
  for (const kill of running) kill()
}

/** Ends this process as the signal does where nobody listens. */
function endBy (signal: NodeJS.Signals): void {
  killAll()
  stopListening()
  process.kill(process.pid, signal)
}

function listen (): void {
  process.on('exit', killAll)
  for (const signal of SIGNALS) process.on(signal, endBy)
}

function stopListening (): void {
  process.off('exit', killAll)
  for (const signal of SIGNALS) process.off(signal, endBy)
}

export class ClientProcess {
  readonly events = new Journal<ClientEvent>()
  /** Resolves to how it ended, or why it could not be started. */
  readonly ended: Promise<string>
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #words: string[] = []
  /** With what it started: a shell's or npm's child is the client, and would keep our end of its output open. */
  readonly #kill = (): void => {
    const { pid, stdout, stderr } = this.#child
    stdout.destroy()
    stderr.destroy()
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL')
    } catch {
      // All of them are gone.
    }
  }

  #nextRef = 1
  #outputBytes = 0

  constructor (command: readonly [string, ...string[]], env: Readonly<Record<string, string>>) {
    const [file, ...args] = command
    this.#child = spawn(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    if (running.size === 0) listen()
    running.add(this.#kill)
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => { resolve(error.message) })
      this.#child.once('exit', () => { setTimeout(this.#kill, LAST_WORDS_MS).unref() })
      // Not `exit`: its last words may come after that.
      this.#child.once('close', (code, signal) => { resolve(this.#outputBytes > MAX_OUTPUT_BYTES ? `the client said more than ${MAX_OUTPUT_BYTES} bytes` : `the client ended with ${code ?? signal}`) })
    })
    // It may have ended already: who writes to it then learns that from `exit`.
    this.#child.stdin.on('error', () => {})
    for (const output of [this.#child.stdout, this.#child.stderr]) output.on('data', ({ length }: Buffer) => { if ((this.#outputBytes += length) > MAX_OUTPUT_BYTES) this.#kill() })
    createInterface({ input: this.#child.stdout }).on('line', (line) => { this.#take(line) })
    createInterface({ input: this.#child.stderr }).on('line', (line) => { this.#say(line) })
  }

  /** What it said last beside events; empty: nothing. */
  get lastWords (): string { return this.#words.join('\n') }

  /** Has it send a message; its `sent` or `failed` names the ref that is returned. */
  send (to: string, content: string): string {
    const ref = String(this.#nextRef++)
    this.#write({ do: 'send', ref, to, content })
    return ref
  }

  close (): void {
    this.#write({ do: 'close' })
  }

  outcome (ref: string, timeoutMs = 10_000): Promise<ClientEvent> {
    return this.events.next(`outcome of message ${ref} from the client`, (event) => isOutcome(event, ref), { timeoutMs })
  }

  /** The messages that the application was shown, by id. */
  get shown (): unknown[] {
    return this.events.all.filter(({ event }) => event === 'message').map((event) => event['msg_id'])
  }

  /** Resolves when it is gone: at the end of its stdin, or else by force. */
  async end (): Promise<void> {
    this.events.end()
    this.#child.stdin.end()
    await Promise.race([this.ended, pause(END_TIMEOUT_MS)])
    this.#kill()
    running.delete(this.#kill)
    if (running.size === 0) stopListening()
    if (this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }

  #write (command: object): void {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`)
  }

  #take (line: string): void {
    try {
      const value: unknown = JSON.parse(line)
      if (typeof value === 'object' && value !== null && 'event' in value && typeof value.event === 'string') {
        this.events.add(value as ClientEvent)
        return
      }
    } catch {
      // What is no event is for whoever debugs the client.
    }
    this.#say(line)
  }

  #say (line: string): void {
    if (this.#words.push(line) > LAST_WORDS) this.#words.shift()
  }
}

export function isOutcome ({ event, ref }: ClientEvent, of: string): boolean {
  return (event === 'sent' || event === 'failed') && ref === of
}
