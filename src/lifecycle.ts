/**
 * From the start of the process to its end. A signal drains and closes inside the deadline [GW-END-1]; an uncaught error
 * does the same in a few seconds [GW-END-3]. Which exit code follows is the caller's: `end` resolves where all was closed
 * in time and rejects where it was not.
 */
import type { DrainTimes } from './connections/drain.ts'
import type { Clock, Logger, Timer } from './ports.ts'

/** What runs once the start is through. */
export interface Running {
  readonly drain: { start (times: DrainTimes): Promise<void> }
  /** Closes everything in its order; called once, when no client is left. */
  close (): Promise<unknown>
}

/** Why the process ends; `times`: what a primary leaves its worker, instead of its own. */
export interface Cause { readonly signal?: string | undefined, readonly error?: unknown, readonly times?: DrainTimes | undefined }

export interface LifecycleOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly drainDelayMs: number
  /** For the whole shutdown. */
  readonly drainTimeoutMs: number
}

/** An error may have left anything behind: the node is not trusted for longer. */
export const ERROR_DRAIN_MS = 5000
/** A start that is under way gets this long to come through, so that what it registered is taken back. */
export const START_GRACE_MS = 800
/** What workers need beyond the time for their shutdown to say to the primary that they have ended. */
export const PRIMARY_MARGIN_MS = 2_000

export class Lifecycle {
  readonly #options: LifecycleOptions
  #running: Running | undefined
  #starting: Promise<void> = Promise.resolve()
  #ending: Promise<void> | undefined

  constructor (options: LifecycleOptions) {
    this.#options = options
  }

  /** Opens what runs. Rejects with what `open` rejects with. */
  async start (open: () => Promise<Running>): Promise<void> {
    this.#starting = open().then((running) => { this.#running = running })
    await this.#starting
  }

  /** Ends the process's work; a second call joins the first. Rejects at the deadline. */
  end (cause: Cause): Promise<void> {
    this.#ending ??= this.#end(cause)
    return this.#ending
  }

  async #end ({ signal, error, times: given }: Cause): Promise<void> {
    const { clock, logger, drainDelayMs, drainTimeoutMs } = this.#options
    const failed = error !== undefined
    if (failed) logger.error({ err: error }, 'uncaught error, the node ends')
    else logger.info({ signal }, 'the node ends')
    const startedAtMs = clock.monotonicMs()
    if (this.#running === undefined) await this.#within(START_GRACE_MS, this.#starting.catch(() => {}))
    if (this.#running === undefined) return
    const own = failed ? { delayMs: 0, timeoutMs: Math.min(ERROR_DRAIN_MS, drainTimeoutMs), final: true } : { delayMs: drainDelayMs, timeoutMs: drainTimeoutMs, final: true }
    const times = given ?? own
    const inTime = await this.#within(times.timeoutMs, this.#drainAndClose(this.#running, times))
    if (!inTime) throw new Error(`the shutdown was not done in ${times.timeoutMs} ms`)
    logger.info({ tookMs: Math.round(clock.monotonicMs() - startedAtMs) }, 'the node has ended')
  }

  async #drainAndClose (running: Running, times: DrainTimes): Promise<void> {
    try {
      await running.drain.start(times)
    } catch (error) {
      // Whatever is broken, leases and consumers are still given back.
      this.#options.logger.error({ err: error }, 'drain failed')
    }
    await running.close()
  }

  /** Whether it was done in time; rejects with what it rejects with. */
  async #within (ms: number, work: Promise<unknown>): Promise<boolean> {
    const { clock } = this.#options
    let timer: Timer | undefined
    const late = new Promise<boolean>((resolve) => { timer = clock.setTimer(() => { resolve(false) }, ms) })
    try {
      return await Promise.race([work.then(() => true), late])
    } finally {
      if (timer !== undefined) clock.clearTimer(timer)
    }
  }
}
