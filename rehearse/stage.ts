/** What all virtual clients of a rehearsal share. */
import type { ClientClock } from '../client/src/clock.ts'
import { Verdict } from './checks.ts'
import { Ledger } from './ledger.ts'

/** Times within which a promise counts as kept, in milliseconds. */
export interface Limits {
  readonly welcomeWithinMs: number
  readonly acceptWithinMs: number
  readonly latencyWithinMs: number
  readonly backWithinMs: number
  readonly settleWithinMs: number
}

/** A client that was closed with 1012, and how long it was told to wait. */
export interface Drained { readonly user: string, readonly closedAtMs: number, readonly toldMs: number }

export interface StageOptions {
  readonly urls: readonly string[]
  readonly token: (user: string, device: string) => string | Promise<string>
  readonly clock: ClientClock
  /** 0 up to 1. */
  readonly random: () => number
  readonly limits: Limits
  /** User ids begin with it. */
  readonly users: string
  /** Ends every wait. */
  readonly signal: AbortSignal
}

export const DEVICE = 'rehearse'
const POLL_MS = 20
/** A timer may fire as much too early. */
const TIMER_SLACK_MS = 5

export class Stage {
  readonly #options: StageOptions
  readonly ledger: Ledger
  readonly drains: Drained[] = []
  /** Error codes, refusals and close codes that were seen. */
  readonly seen = new Map<string, number>()
  #verdict = new Verdict()
  /** By user. */
  readonly #attempts = new Map<string, number>()
  readonly #dueAtMs = new Map<string, number>()
  isRestarting = false

  constructor (options: StageOptions) {
    this.#options = options
    this.ledger = new Ledger(this.#verdict)
  }

  get clock (): ClientClock { return this.#options.clock }
  get limits (): Limits { return this.#options.limits }
  get random (): () => number { return this.#options.random }
  /** Of what goes on now. */
  get verdict (): Verdict { return this.#verdict }

  user (name: string | number): string { return `${this.#options.users}${name}` }
  token (user: string): string | Promise<string> { return this.#options.token(user, DEVICE) }

  /** The addresses by turns, for each client by itself: where one is gone, its next attempt goes to another. */
  url (user: string): string {
    const { urls } = this.#options
    const attempt = this.#attempts.get(user) ?? this.#attempts.size
    this.#attempts.set(user, attempt + 1)
    return urls[attempt % urls.length] as string
  }

  /** A client closed with 1012, and told to wait for so long. */
  drained (drained: Drained): void {
    this.drains.push(drained)
    this.#dueAtMs.set(drained.user, drained.closedAtMs + drained.toldMs)
  }

  /** A client makes an attempt; the first one after a drain has its time. */
  connecting (user: string): void {
    const dueAtMs = this.#dueAtMs.get(user)
    if (dueAtMs === undefined) return
    this.#dueAtMs.delete(user)
    const earlyMs = dueAtMs - this.clock.monotonicMs()
    this.#verdict.judge('delay', earlyMs <= TIMER_SLACK_MS, () => `${user} came back ${Math.round(earlyMs)} ms early`)
  }

  count (what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1)
  }

  /** Judges what was sent so far and begins a new verdict; returns the one that ends, and the 99th percentile of the latencies. */
  settle (): { readonly verdict: Verdict, readonly p99Ms: number | undefined } {
    const verdict = this.#verdict
    this.#verdict = new Verdict()
    return { verdict, p99Ms: this.ledger.settle(this.#verdict) }
  }

  /** Rejects where the rehearsal is called off. */
  async pause (ms: number): Promise<void> {
    const { signal, clock } = this.#options
    signal.throwIfAborted()
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        clock.clearTimer(timer as never)
        reject(new Error('called off', { cause: signal.reason }))
      }
      const timer = clock.setTimer(() => {
        signal.removeEventListener('abort', abort)
        resolve()
      }, ms)
      signal.addEventListener('abort', abort, { once: true })
    })
  }

  /** False where it was not so in time. */
  async until (isSo: () => boolean, withinMs: number): Promise<boolean> {
    const deadline = this.clock.monotonicMs() + withinMs
    while (!isSo()) {
      if (this.clock.monotonicMs() >= deadline) return false
      await this.pause(POLL_MS)
    }
    return true
  }
}
