/** A program of this folder in a process of its own, asked over IPC. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { within } from './target.ts'
import { nodeArgs } from '../../demo/node-args.ts'

interface Answer { readonly id: number, readonly value?: unknown, readonly error?: string }

export class HelperProcess {
  /** What it said when it was ready. */
  readonly ready: Promise<unknown>
  /** How it ended; undefined: it runs. */
  ended: string | undefined
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #lastId = -1

  constructor (program: string) {
    // Coverage would be that of a process that is killed, and slow it.
    const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...env } = process.env
    this.#child = spawn(process.execPath, nodeArgs(fileURLToPath(new URL(program, import.meta.url))), { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child.on('message', (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
    this.#child.on('exit', (code, signal) => {
      this.ended = `${program} ended with ${signal ?? code}`
      for (const [id, settle] of this.#waiting) settle({ id, error: this.ended })
    })
    this.ready = this.#answer()
  }

  /** Rejects where the call fails, the process ends, or nothing comes in time. */
  async call (name: string, argument?: unknown): Promise<unknown> {
    if (this.ended !== undefined) throw new Error(this.ended)
    const answer = this.#answer()
    this.#child.send({ id: this.#lastId, name, argument })
    return await within(answer, `the answer to ${name}`)
  }

  async end (): Promise<void> {
    if (this.ended !== undefined) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exit
  }

  async #answer (): Promise<unknown> {
    const id = ++this.#lastId
    const { value, error } = await new Promise<Answer>((resolve) => { this.#waiting.set(id, resolve) })
    if (error !== undefined) throw new Error(error)
    return value
  }
}
