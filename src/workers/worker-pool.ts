/**
 * The processes behind one port: starts them, replaces one that died or hangs, asks all of them, ends them. The primary
 * does nothing else, so that it lives on when one of them does not.
 */
import type { DrainTimes } from '../connections/drain.ts'
import type { Clock, Logger, Meter, Timer } from '../ports.ts'
import { Channel, type Handlers } from './channel.ts'
import type { Answer } from './merge.ts'

/** A process that was started. */
export interface WorkerProcess {
  readonly pid: number | undefined
  send (message: object): void
  kill (signal: 'SIGKILL'): void
}

export interface WorkerEvents {
  onMessage (message: unknown): void
  /** Once, when it is gone: exit code, or the signal that ended it. */
  onExit (how: number | string): void
}

export interface WorkerPoolOptions {
  readonly count: number
  /** What the worker is called in logs and metrics. */
  readonly nameOf: (index: number) => string
  readonly spawn: (index: number, events: WorkerEvents) => WorkerProcess
  /** What workers may ask of the primary. */
  readonly handlers: Handlers
  readonly clock: Clock
  readonly logger: Logger
  readonly meter: Meter
}

interface Worker {
  readonly index: number
  readonly name: string
  process: WorkerProcess
  channel: Channel
  ready: boolean
  startedAtMs: number
  /** Starts in a row that did not last. */
  failures: number
  timer: Timer | undefined
}

/** How long a question to a worker may take. */
export const ANSWER_TIMEOUT_MS = 2_000
const PING_INTERVAL_MS = 5_000
/** A worker whose loop does not turn for so long serves nobody: it is killed and replaced. */
export const HANG_TIMEOUT_MS = 30_000
const MIN_RESTART_MS = 100
const MAX_RESTART_MS = 10_000
/** A worker that lived so long is started again at once. */
const STABLE_MS = 60_000

export class WorkerPool {
  readonly #options: WorkerPoolOptions
  readonly #workers: Worker[] = []
  #started: { resolve (): void, reject (error: Error): void } | undefined
  #ending: { exits: Map<Worker, number | string>, done: () => void, times?: DrainTimes } | undefined
  #draining = false

  constructor (options: WorkerPoolOptions) {
    this.#options = options
    options.meter.source('workers', () => this.ready)
  }

  /** Workers that serve. */
  get ready (): number { return this.#workers.filter(({ ready }) => ready).length }

  /** Resolves when all of them serve; rejects when one of them ends before. */
  start (): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject }
      for (let index = 0; index < this.#options.count; index++) this.#workers.push(this.#spawn(index, 0))
    })
  }

  /** Asks each worker; one that does not answer in time has no value. Never rejects. */
  async ask<T> (name: string, argument?: unknown): Promise<Array<Answer<T>>> {
    return await Promise.all(this.#workers.map(async ({ name: worker, channel }) => ({
      worker, value: await channel.call<T>(name, ANSWER_TIMEOUT_MS, argument).catch(() => undefined)
    })))
  }

  /** Asks the first worker that serves. Resolves to undefined where none does or it does not answer in time. */
  async askOne<T> (name: string, argument?: unknown): Promise<T | undefined> {
    const first = this.#workers.find(({ ready }) => ready)
    return await first?.channel.call<T>(name, ANSWER_TIMEOUT_MS, argument).catch(() => undefined)
  }

  /** Whether a worker that comes later has to drain as well. */
  setDraining (draining: boolean): void {
    this.#draining = draining
  }

  /** Ends all of them as a signal ends one node, in these times. Resolves when they are gone; rejects where one of them did not end with 0. */
  async end (times: DrainTimes): Promise<void> {
    this.#started = undefined
    const exits = await new Promise<Map<Worker, number | string>>((resolve) => {
      const exits = new Map<Worker, number | string>()
      this.#ending = { exits, done: () => { resolve(exits) }, times }
      for (const worker of this.#workers) {
        this.#stopTimer(worker)
        if (worker.process.pid === undefined) exits.set(worker, 0)
        else worker.channel.call('end', ANSWER_TIMEOUT_MS, times).catch(() => {})
      }
      if (exits.size === this.#workers.length) resolve(exits)
    })
    const bad = [...exits].filter(([, how]) => how !== 0)
    if (bad.length > 0) throw new Error(bad.map(([{ name }, how]) => `${name} ended with ${how}`).join(', '))
  }

  /** At once, and nobody is told. */
  kill (): void {
    for (const { process } of this.#workers) process.kill('SIGKILL')
  }

  #spawn (index: number, failures: number): Worker {
    const { clock, handlers, nameOf, spawn } = this.#options
    const worker: Worker = { index, name: nameOf(index), failures, ready: false, startedAtMs: clock.monotonicMs(), timer: undefined, process: GONE, channel: undefined as never }
    worker.process = spawn(index, {
      onMessage: (message) => { worker.channel.receive(message) },
      onExit: (how) => { this.#onExit(worker, how) }
    })
    const { process } = worker
    worker.channel = new Channel({
      clock,
      send: (message) => { process.send(message) },
      handlers: { ...handlers, ready: () => { this.#onReady(worker) } }
    })
    return worker
  }

  #onReady (worker: Worker): void {
    worker.ready = true
    this.#options.logger.info({ worker: worker.name, workerPid: worker.process.pid }, 'worker serves')
    if (this.#ending !== undefined) {
      // It did not listen yet when the others were told.
      worker.channel.call('end', ANSWER_TIMEOUT_MS, this.#ending.times).catch(() => {})
      return
    }
    if (this.#draining) worker.channel.call('startDrain', ANSWER_TIMEOUT_MS).catch(() => {})
    this.#watch(worker)
    if (this.ready < this.#options.count) return
    this.#started?.resolve()
    this.#started = undefined
  }

  /** Sees whether its loop turns. */
  #watch (worker: Worker): void {
    const { clock, logger } = this.#options
    worker.timer = clock.setTimer(() => {
      worker.channel.call('ping', HANG_TIMEOUT_MS).then(() => { if (worker.ready) this.#watch(worker) }, () => {
        if (!worker.ready || this.#ending !== undefined) return
        logger.error({ worker: worker.name, workerPid: worker.process.pid }, `worker does not answer for ${HANG_TIMEOUT_MS / 1000} s: it is killed and replaced`)
        worker.process.kill('SIGKILL')
      })
    }, PING_INTERVAL_MS)
  }

  #onExit (worker: Worker, how: number | string): void {
    const { clock, logger, meter } = this.#options
    this.#stopTimer(worker)
    worker.ready = false
    worker.process = GONE
    worker.channel.close()
    if (this.#ending !== undefined) {
      this.#ending.exits.set(worker, how)
      if (this.#ending.exits.size === this.#workers.length) this.#ending.done()
      return
    }
    if (this.#started !== undefined) {
      this.#started.reject(new Error(`${worker.name} ended with ${how} before it served`))
      this.#started = undefined
      this.#ending = { exits: new Map(), done: () => {} }
      this.kill()
      return
    }
    const isStable = clock.monotonicMs() - worker.startedAtMs >= STABLE_MS
    const failures = isStable ? 0 : worker.failures + 1
    const waitMs = isStable ? 0 : Math.min(MAX_RESTART_MS, MIN_RESTART_MS * 2 ** (failures - 1))
    logger.error({ worker: worker.name, how, waitMs }, 'worker ended: it is replaced')
    meter.count('worker_restarts_total')
    worker.timer = clock.setTimer(() => { this.#workers[worker.index] = this.#spawn(worker.index, failures) }, waitMs)
  }

  #stopTimer (worker: Worker): void {
    if (worker.timer !== undefined) this.#options.clock.clearTimer(worker.timer)
    worker.timer = undefined
  }
}

/** In the place of a process that has ended. */
const GONE: WorkerProcess = { pid: undefined, send: () => { throw new Error('the process has ended') }, kill: () => {} }
