/**
 * Keeps one long-lived thing alive: runs it, and runs it anew whenever it ends, whatever the reason, after a pause
 * that doubles from try to try until the thing has been healthy once.
 */
import type { Clock } from '../ports.ts'
import { settledWithin } from '../wait.ts'

/** What a run is given by its supervisor. */
export interface Run {
  /** Aborts when the supervisor is stopped. */
  readonly signal: AbortSignal
  /** The run has got where it wanted: the next pause is a short one again. */
  healthy (): void
}

export interface SupervisorOptions {
  readonly clock: Clock
  /** Ends only when the thing is dead and cleared away, or soon after the signal. It may reject. */
  readonly run: (run: Run) => Promise<void>
  readonly minPauseMs: number
  readonly maxPauseMs: number
  /** A run ended that nobody had asked to end. */
  readonly onEnd: (error: unknown, pauseMs: number) => void
  /** 0 up to 1; spreads the pauses of many nodes. */
  readonly random: () => number
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #abort = new AbortController()
  #done: Promise<void> | undefined
  #pauseMs: number
  #endPause: (() => void) | undefined

  constructor (options: SupervisorOptions) {
    this.#options = options
    this.#pauseMs = options.minPauseMs
  }

  start (): void {
    this.#done ??= this.#loop()
  }

  /** Resolves when the run has ended, or after `deadlineMs`. */
  async stop (deadlineMs: number): Promise<void> {
    this.#abort.abort()
    this.#endPause?.()
    if (this.#done !== undefined) await settledWithin(this.#done, deadlineMs, this.#options.clock)
  }

  async #loop (): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      let error: unknown
      try {
        await this.#options.run({ signal, healthy: () => { this.#pauseMs = this.#options.minPauseMs } })
      } catch (reason) {
        error = reason
      }
      if (signal.aborted) return
      await this.#pause(error)
    }
  }

  async #pause (error: unknown): Promise<void> {
    const { clock, maxPauseMs, onEnd, random } = this.#options
    const pauseMs = this.#pauseMs * (0.5 + random() / 2)
    this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs)
    onEnd(error, pauseMs)
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(resolve, pauseMs)
      this.#endPause = () => {
        clock.clearTimer(timer)
        resolve()
      }
    })
    this.#endPause = undefined
  }
}
