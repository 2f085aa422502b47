/** A rehearsal: clients in growing numbers as long as the promises are kept, then each fault at the number that was held. */
import { ERRORS, type ErrorCode } from '../src/errors.ts'
import { SOFT, Verdict, type CheckResult } from './checks.ts'
import { PLAY, type Fault, type FaultOptions } from './faults.ts'
import { FlappingClient, HalfOpenClient, open } from './misbehaving.ts'
import { Population } from './population.ts'
import { Stage, type StageOptions } from './stage.ts'

export interface RehearsalOptions extends StageOptions, FaultOptions {
  /** Of the last step of the ramp. */
  readonly connections: number
  readonly messagesPerSecond: number
  readonly steps: number
  readonly stepMs: number
  readonly connectsPerSecond: number
  readonly faults: readonly Fault[]
}

export interface Step { readonly name: string, readonly connections: number, readonly messagesPerSecond: number, readonly p99Ms: number | undefined, readonly isKept: boolean }
export interface Capacity { readonly connections: number, readonly messagesPerSecond: number }

export interface Report {
  /** False: it was called off before its end. */
  readonly isFinished: boolean
  readonly isKept: boolean
  /** Held with all promises kept; undefined: not even the first step. */
  readonly capacity: Capacity | undefined
  readonly steps: readonly Step[]
  readonly checks: readonly CheckResult[]
  readonly accepted: number
  /** The same message again, as the protocol allows. */
  readonly repeats: number
  /** Accepted while the recipient was away: left to the history. */
  readonly missedWhileAway: number
  readonly seen: Readonly<Record<string, number>>
}

/** Nobody was let in at all: nothing can be rehearsed. */
export class RefusedError extends Error {
  override name = 'RefusedError'
}

/** Of the planned rate: less was not held. */
const HELD_SHARE = 0.9
const PROBE_PAUSE_MS = 500
/** Talk that goes on once a fault is over. */
const AFTER_FAULT_MS = 2_000

/** Rejects with a RefusedError where the first client is not welcomed. */
export async function rehearse (options: RehearsalOptions): Promise<Report> {
  return await new Rehearsal(options).run()
}

class Rehearsal {
  readonly #options: RehearsalOptions
  readonly #stage: Stage
  readonly #population: Population
  readonly #strays: ReadonlyArray<FlappingClient | HalfOpenClient>
  readonly #total = new Verdict()
  readonly #steps: Step[] = []
  #capacity: Capacity | undefined
  #accepted = 0

  constructor (options: RehearsalOptions) {
    this.#options = options
    this.#stage = new Stage(options)
    this.#population = new Population(this.#stage, options.run, options.connectsPerSecond)
    this.#strays = [new FlappingClient(this.#stage, this.#stage.user('flapping')), new HalfOpenClient(this.#stage, this.#stage.user('half-open'))]
  }

  async run (): Promise<Report> {
    const { faults, say, signal } = this.#options
    let isFinished = false
    try {
      await this.#probe()
      for (const stray of this.#strays) stray.run().catch(() => { /* called off, or without a token as all the others */ })
      await this.#ramp()
      const level = this.#capacity
      if (level === undefined) say('no fault is rehearsed: not even the first step was held')
      else for (const fault of faults) await this.#fault(fault, level)
      isFinished = true
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      for (const stray of this.#strays) stray.close()
      this.#population.close()
    }
    this.#total.add(this.#stage.settle().verdict)
    return this.#report(isFinished)
  }

  /** One client before all others, so that a wrong address or token is told as what it is; a node that is busy may be asked again. */
  async #probe (): Promise<void> {
    const { clock, limits, seen } = this.#stage
    const deadline = clock.monotonicMs() + limits.backWithinMs
    while (!await this.#isWelcomed()) {
      const [why = 'no answer'] = [...seen.keys()].slice(-1)
      const isFinal = ERRORS[why as ErrorCode]?.retryable !== true
      if (isFinal || clock.monotonicMs() > deadline) throw new RefusedError(`the first client, ${this.#stage.user(0)}, was not welcomed: ${why}`)
      await this.#stage.pause(PROBE_PAUSE_MS)
    }
  }

  async #isWelcomed (): Promise<boolean> {
    const stage = this.#stage
    let [isWelcomed, isOver] = [false, false]
    const { socket, wire } = await open(stage, stage.user(0), { onWelcome: () => { isWelcomed = true }, onClose: () => { isOver = true } }).catch((error: unknown) => {
      throw new RefusedError(`no token for ${stage.user(0)}: ${error instanceof Error ? error.message : String(error)}`)
    })
    try {
      await stage.until(() => isWelcomed || isOver, stage.limits.welcomeWithinMs)
      return isWelcomed
    } finally {
      wire.isCut = true
      socket.terminate()
    }
  }

  async #ramp (): Promise<void> {
    const { connections, messagesPerSecond, steps, stepMs } = this.#options
    for (let step = 1; step <= steps; step++) {
      const size = evenPart(connections, step / steps)
      const rate = Math.max(1, Math.round(messagesPerSecond * step / steps))
      const isHeld = await this.#step(`step ${step}`, size, rate, this.#capacity !== undefined, async () => {
        await this.#population.resize(size)
        await this.#everybodyIn()
      }, () => this.#stage.pause(stepMs))
      if (!isHeld) break
      this.#capacity = { connections: size, messagesPerSecond: rate }
    }
    if (this.#capacity !== undefined) await this.#population.resize(this.#capacity.connections)
  }

  async #fault (fault: Fault, { connections, messagesPerSecond }: Capacity): Promise<void> {
    await this.#step(fault, connections, messagesPerSecond, false, () => this.#everybodyIn(), async () => {
      await PLAY[fault](this.#stage, this.#population, this.#options)
      await this.#stage.pause(AFTER_FAULT_MS)
    }, true)
  }

  async #everybodyIn (): Promise<void> {
    const { backWithinMs } = this.#stage.limits
    const isIn = await this.#stage.until(() => this.#population.isOpen, backWithinMs)
    this.#stage.verdict.judge('back', isIn, () => `${this.#population.open} of ${this.#population.size} after ${backWithinMs} ms`)
  }

  /** `isTrial`: where time is missed, the step was too high, and nothing is broken. `isFault`: clients are away, and their messages late. */
  async #step (name: string, connections: number, rate: number, isTrial: boolean, prepare: () => Promise<void>, during: () => Promise<void>, isFault = false): Promise<boolean> {
    const { say } = this.#options
    const stage = this.#stage
    await prepare()
    const { sent, planned } = await this.#population.talk(rate, during())
    await this.#population.quiet()
    this.#accepted += stage.ledger.accepted
    const { verdict, p99Ms } = stage.settle()
    if (!isFault && p99Ms !== undefined) verdict.judge('latency', p99Ms <= stage.limits.latencyWithinMs, () => `${Math.round(p99Ms)} ms, ${stage.limits.latencyWithinMs} are allowed`)
    const isRateHeld = isFault || sent >= planned * HELD_SHARE
    if (!isTrial && !isRateHeld) verdict.broken('accepted', `${sent} messages of ${planned} could be sent`)
    const isKept = verdict.isKept && isRateHeld
    this.#total.add(verdict, (check) => isTrial && SOFT.has(check))
    this.#steps.push({ name, connections, messagesPerSecond: rate, p99Ms, isKept })
    say(`${isKept ? 'kept' : 'not kept'}: ${name}, ${connections} connections, ${rate} messages/s${p99Ms === undefined ? '' : `, p99 ${Math.round(p99Ms)} ms`}`)
    return isKept
  }

  #report (isFinished: boolean): Report {
    const { ledger, seen } = this.#stage
    return {
      isFinished,
      isKept: this.#total.isKept,
      capacity: this.#capacity,
      steps: this.#steps,
      checks: this.#total.results(),
      accepted: this.#accepted,
      repeats: ledger.repeats,
      missedWhileAway: ledger.missedWhileAway,
      seen: Object.fromEntries(seen)
    }
  }
}

/** Clients come in pairs. */
function evenPart (whole: number, part: number): number {
  return Math.max(2, 2 * Math.round(whole * part / 2))
}
