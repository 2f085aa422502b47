/**
 * How a service is called: a deadline in all, one retry where nobody knows what became of the call, and a breaker that
 * answers at once while the service does not [GW-SND-4]. One policy for each service; retries are safe because every call
 * carries a msg_id that the service knows again, or only reads.
 *
 * cockatiel's time-out, with an AbortSignal and a timer for each call, costs 18 µs (Node 20). So the
 * deadline is handed to the call, which keeps it: gRPC unary calls have one, streams sweep theirs together.
 */
import { circuitBreaker, CircuitState, handleWhen, isBrokenCircuitError, type CircuitBreakerPolicy, type IBackoffFactory } from 'cockatiel'
import { GatewayError } from '../errors.ts'
import type { Clock, Dependency, Health, Logger, Meter } from '../ports.ts'
import { pause } from '../wait.ts'
import { FailureRate } from './failure-rate.ts'

export interface CallPolicyOptions {
  readonly service: Extract<Dependency, 'auth' | 'im' | 'user'>
  /** For the call with its retry. */
  readonly timeoutMs: number
  /** For one attempt. */
  readonly attemptTimeoutMs: number
  readonly clock: Clock
  readonly meter: Meter
  readonly health: Health
  readonly logger: Logger
}

/** How long an open breaker waits before it lets one call try. */
const HALF_OPEN_AFTER_MS = 1_000
// Opens within 3 s of a service's death at any rate of more than a few calls a second.
const RATE = { bucketMs: 1_000, threshold: 0.6, minimumCalls: 8 } as const
// A refused connection is refused again in the same instant; a restarting server or another replica may be there by then.
const RETRY_PAUSE_MS = 50
const RETRY_JITTER_MS = 100
const SHORTEST_ATTEMPT_MS = 50

const STATE_VALUE: Readonly<Record<CircuitState, number>> = {
  [CircuitState.Closed]: 0, [CircuitState.HalfOpen]: 1, [CircuitState.Open]: 2, [CircuitState.Isolated]: 2
}

export class CallPolicy {
  readonly #options: CallPolicyOptions
  readonly #rate: FailureRate
  readonly #breaker: CircuitBreakerPolicy
  #isDown = false

  constructor (options: CallPolicyOptions) {
    const { clock, meter, service } = options
    this.#options = options
    this.#rate = new FailureRate({ clock, ...RATE })
    this.#breaker = circuitBreaker(handleWhen(isNoAnswer), {
      breaker: this.#rate,
      halfOpenAfter: pauseOn(clock, HALF_OPEN_AFTER_MS)
    })
    this.#breaker.onStateChange((state) => { this.#report(state) })
    meter.source('breaker_state', () => STATE_VALUE[this.#breaker.state], service)
  }

  /** Whether calls are refused without being tried. */
  get isOpen (): boolean { return this.#breaker.state !== CircuitState.Closed }

  /**
   * Calls, and once more where the outcome is unknown and time is left. `call` gets the milliseconds of its attempt and
   * settles within them. Rejects with what `call` rejected with; with SERVICE_UNAVAILABLE at once while the breaker is open.
   */
  async run<T> (method: string, call: (attemptMs: number) => Promise<T>): Promise<T> {
    const { clock, meter, service, timeoutMs, attemptTimeoutMs } = this.#options
    const startedAtMs = clock.monotonicMs()
    if (this.#breaker.state === CircuitState.HalfOpen) throw refusal(service)
    let attemptMs = Math.min(attemptTimeoutMs, timeoutMs)
    let attemptedAtMs = startedAtMs
    for (let isRetry = false; ; isRetry = true) {
      const isClosed = !this.isOpen
      try {
        const result = isClosed ? await call(attemptMs) : await this.#breaker.execute(() => call(attemptMs))
        meter.observe('upstream_seconds', (clock.monotonicMs() - attemptedAtMs) / 1000, service, method)
        if (isClosed) this.#rate.success(CircuitState.Closed)
        return result
      } catch (error) {
        if (isBrokenCircuitError(error)) throw refusal(service)
        meter.observe('upstream_seconds', (clock.monotonicMs() - attemptedAtMs) / 1000, service, method)
        await this.#failed(error, isClosed)
        if (isRetry) throw error
        attemptMs = await this.#pause(error, startedAtMs)
        attemptedAtMs = clock.monotonicMs()
        meter.count('upstream_retries_total', 1, service)
      }
    }
  }

  /** Tells the breaker. While it is closed, calls do not go through it: that would cost each of them two promises and a kilobyte. */
  async #failed (error: unknown, wasClosed: boolean): Promise<void> {
    // A refusal is an answer: the service lives.
    if (!isNoAnswer(error)) this.#rate.success(CircuitState.Closed)
    else if (wasClosed && !this.isOpen) await this.#breaker.execute(() => { throw error }).catch(() => {})
  }

  /** Until the second attempt may start; resolves to its milliseconds. Rejects with the error of the first where there is none. */
  async #pause (error: unknown, startedAtMs: number): Promise<number> {
    const { clock, timeoutMs, attemptTimeoutMs } = this.#options
    if (!isUnknownOutcome(error)) throw error
    const pauseMs = error.code === 'SERVICE_UNAVAILABLE' ? RETRY_PAUSE_MS + Math.random() * RETRY_JITTER_MS : 0
    const leftMs = timeoutMs - (clock.monotonicMs() - startedAtMs) - pauseMs
    if (leftMs < SHORTEST_ATTEMPT_MS || this.isOpen) throw error
    if (pauseMs > 0) await pause(clock, pauseMs)
    // The first attempt may have been accepted: its own error says so, the breaker's refusal would not.
    if (this.isOpen) throw error
    return Math.min(attemptTimeoutMs, leftMs)
  }

  #report (state: CircuitState): void {
    const { health, logger, service } = this.#options
    if (state === CircuitState.Open) {
      // Said at every failed probe: a connection that came back meanwhile has said that the service is up.
      health.down(service, 'calls fail, the breaker is open')
      if (this.#isDown) return
      this.#isDown = true
      logger.warn({ service, error: this.#lastError() }, 'breaker opened')
    } else if (state === CircuitState.Closed && this.#isDown) {
      this.#isDown = false
      health.up(service)
      logger.info({ service }, 'breaker closed')
    }
  }

  #lastError (): string {
    const failure = this.#breaker.lastFailure
    return failure !== undefined && 'error' in failure ? failure.error.message : ''
  }
}

function isNoAnswer (error: unknown): boolean {
  return isUnknownOutcome(error) || (error instanceof GatewayError && error.code === 'OVERLOADED')
}

function isUnknownOutcome (error: unknown): error is GatewayError {
  return error instanceof GatewayError && (error.code === 'SERVICE_UNAVAILABLE' || error.code === 'DEADLINE_EXCEEDED')
}

function refusal (service: string): GatewayError {
  return new GatewayError('SERVICE_UNAVAILABLE', { detail: `${service}: the breaker is open`, retryAfterMs: HALF_OPEN_AFTER_MS })
}

/** cockatiel compares `duration` with its own wall clock; this one is over when ours says so, however the wall clock jumps. */
function pauseOn (clock: Clock, pauseMs: number): IBackoffFactory<unknown> {
  const next = () => {
    const startedAtMs = clock.monotonicMs()
    return { next, get duration () { return clock.monotonicMs() - startedAtMs < pauseMs ? Infinity : -Infinity } }
  }
  return { next }
}
