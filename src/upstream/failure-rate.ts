/**
 * Decides when a breaker opens: by the share of failed calls among the latest. Two buckets of equal length, so the
 * window reaches back between one and two of them. A breaker that counts failures in a row would open whenever a dead
 * replica's calls time out together, though the other replicas serve; one over a wall clock would fall asleep when that is set back.
 */
import { CircuitState, type IBreaker } from 'cockatiel'
import type { Clock } from '../ports.ts'

export interface FailureRateOptions {
  readonly clock: Clock
  /** Length of one of the two buckets. */
  readonly bucketMs: number
  /** Share of failures, 0 to 1, past which the breaker opens. */
  readonly threshold: number
  /** With fewer calls than this in the window it stays closed. */
  readonly minimumCalls: number
}

export class FailureRate implements IBreaker {
  /** Asked for by the interface, which can carry a breaker's state from one process to another; this one starts fresh. */
  state: unknown = undefined
  readonly #options: FailureRateOptions
  #startedAtMs: number
  #calls = 0
  #failures = 0
  #olderCalls = 0
  #olderFailures = 0

  constructor (options: FailureRateOptions) {
    this.#options = options
    this.#startedAtMs = options.clock.monotonicMs()
  }

  /** A call was answered. After a successful probe what came before no longer counts. */
  success (state: CircuitState): void {
    if (state === CircuitState.HalfOpen) this.#reset(this.#options.clock.monotonicMs())
    this.#turn()
    this.#calls++
  }

  /** A call was not answered; true: open the breaker. */
  failure (state: CircuitState): boolean {
    this.#turn()
    this.#calls++
    this.#failures++
    if (state !== CircuitState.Closed) return true
    const calls = this.#calls + this.#olderCalls
    return calls >= this.#options.minimumCalls && this.#failures + this.#olderFailures > this.#options.threshold * calls
  }

  #turn (): void {
    const now = this.#options.clock.monotonicMs()
    const age = now - this.#startedAtMs
    if (age < this.#options.bucketMs) return
    const calls = this.#calls
    const failures = this.#failures
    this.#reset(now)
    if (age >= 2 * this.#options.bucketMs) return
    this.#olderCalls = calls
    this.#olderFailures = failures
  }

  #reset (now: number): void {
    this.#startedAtMs = now
    this.#calls = this.#failures = this.#olderCalls = this.#olderFailures = 0
  }
}
