/** What a stranger's probe sees of a node while something befalls it. */
import { setTimeout as pause } from 'node:timers/promises'

const EACH_MS = 100
const TIMEOUT_MS = 5_000

/** Asks a node's /healthz all the while. */
export class Probe {
  readonly #url: string
  readonly #asking: Promise<void>
  #isOver = false
  #longestMs = 0

  constructor (port: number) {
    this.#url = `http://127.0.0.1:${port}/healthz`
    this.#asking = this.#ask()
  }

  /** Resolves with how long the slowest answer took. That the machine stood still shows in it as well. */
  async stop (): Promise<number> {
    this.#isOver = true
    await this.#asking
    return Math.round(this.#longestMs)
  }

  async #ask (): Promise<void> {
    while (!this.#isOver) {
      const startedMs = performance.now()
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(() => undefined)
      await response?.body?.cancel()
      this.#longestMs = Math.max(this.#longestMs, response?.ok === true ? performance.now() - startedMs : TIMEOUT_MS)
      await pause(EACH_MS)
    }
  }
}
