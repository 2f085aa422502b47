/** Time, logs, metrics, health and traces. */
import type { CounterName, GaugeName, HistogramName } from '../metrics.ts'

export interface Timer { readonly [Symbol.toStringTag]?: string }

/** Time is injected: the core never reads a clock of its own. */
export interface Clock {
  /** Milliseconds on a clock that never jumps; its zero means nothing. */
  monotonicMs (): number
  /** Unix milliseconds. */
  unixMs (): number
  /** Calls once, after `delayMs`. */
  setTimer (call: () => void, delayMs: number): Timer
  clearTimer (timer: Timer): void
}

/** The part of pino's interface that the core uses: facts first, then a constant sentence. */
export interface Logger {
  debug (facts: object, text: string): void
  info (facts: object, text: string): void
  warn (facts: object, text: string): void
  error (facts: object, text: string): void
}

/** Metrics by the names of the table in `metrics.ts`; labels in the order of the table's row. */
export interface Meter {
  count (name: CounterName, value?: number, ...labels: string[]): void
  observe (name: HistogramName, value: number, ...labels: string[]): void
  set (name: GaugeName, value: number, ...labels: string[]): void
  /** A gauge that is read when somebody asks for the metrics. */
  source (name: GaugeName, read: () => number, ...labels: string[]): void
}

/** A dependency's state, shown in `/readyz` and in `im_gateway_degraded`. */
export type Dependency = 'etcd' | 'redis' | 'kafka' | 'auth' | 'im' | 'user'
export interface Health {
  up (dependency: Dependency): void
  down (dependency: Dependency, detail: string): void
}

/** `send_msg`: frame in to answer out. `route`: the IM Service's part of it. `push`: a caller's push to its report. `deliver`: one device of it, to its ack. `group_msg`: a group record to its last local write. */
export type SpanName = 'send_msg' | 'route' | 'push' | 'deliver' | 'group_msg'

export interface Span {
  /** W3C trace context of what happens inside it. */
  readonly traceparent: string
  /** Once. */
  end (outcome: string, isFailure: boolean): void
}

/** Where spans go [GW-OBS-2]. There is none where tracing is off, so that nothing is spent on it. */
export interface Tracer {
  /** `parent`: W3C trace context; what is malformed counts as none. Attributes are ids, never content or tokens. */
  start (name: SpanName, parent: string | undefined, attributes: Readonly<Record<string, string | number>>): Span
}
