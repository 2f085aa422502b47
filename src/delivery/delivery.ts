/**
 * One push under way: handed to the devices that are here at once, to those on other nodes by the router. It answers when
 * the last device has settled, or at its deadline, naming each device's outcome [GW-ACK-1].
 */
import { Outcome, type PushMessageResponse } from '../generated/gateway/v1/gateway.ts'
import { GatewayError } from '../errors.ts'
import { NO_ROW, type Recorder } from '../explain/recorder.ts'
import type { Clock, Logger, Meter, Registry, Span, Tracer } from '../ports.ts'
import type { Connection } from '../connections/connection.ts'
import type { Hub } from '../connections/hub.ts'
import type { DeviceOutcome, Parcel, ParcelWaiter } from './parcel.ts'
import type { PeerNodes } from './peers.ts'
import { outcomeName, Report } from './report.ts'
import { IDLE_ENTRY, type WheelEntry } from './timer-wheel.ts'

/** What is kept of a caller's deadline at each hop, for the way back. */
export const HOP_MARGIN_MS = 250

/** Who asked. Exactly one of the two is called, once; `correlation` is the asker's own number for this push. */
export interface PushSink {
  settled (correlation: number, response: PushMessageResponse): void
  refused (correlation: number, error: GatewayError): void
}

/** What all deliveries share. */
export interface DeliveryContext {
  readonly nodeId: string
  readonly hub: Hub
  readonly registry: Pick<Registry, 'locate' | 'nodeAddress'>
  readonly peers: PeerNodes
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly tracer?: Tracer | undefined
  readonly recorder?: Recorder | undefined
  readonly ackTimeoutMs: number
  /** Finds devices that are not here; `retry` those whose route was old. */
  readonly router: { locate (delivery: Delivery): void, retry (delivery: Delivery, deviceIds: readonly string[]): void }
  finished (delivery: Delivery): void
}

const OUTCOMES = {
  ACKED: Outcome.OUTCOME_ACKED,
  ACK_TIMEOUT: Outcome.OUTCOME_ACK_TIMEOUT,
  SLOW: Outcome.OUTCOME_SLOW,
  GONE: Outcome.OUTCOME_GONE,
  MOVED: Outcome.OUTCOME_NOT_CONNECTED,
  WRITTEN: Outcome.OUTCOME_WRITTEN
} as const satisfies Record<DeviceOutcome, Outcome>

const FAILED: ReadonlySet<DeviceOutcome> = new Set(['ACK_TIMEOUT', 'SLOW', 'GONE'])

export class Delivery implements ParcelWaiter, WheelEntry {
  wheelNext: WheelEntry | null = IDLE_ENTRY.wheelNext
  wheelPrevious: WheelEntry | null = IDLE_ENTRY.wheelPrevious
  wheelSlot: number = IDLE_ENTRY.wheelSlot
  wheelTick: number = IDLE_ENTRY.wheelTick
  readonly parcel: Parcel
  readonly report = new Report()
  /** Devices that had their second try; null: none. */
  retried: string[] | null = null
  readonly #context: DeliveryContext
  readonly #sink: PushSink
  readonly #correlation: number
  readonly #receivedAtMs: number
  readonly #deadlineMs: number
  readonly #span: Span | undefined
  readonly #row: number
  /** By device that is here. */
  #deviceSpans: Map<string, Span> | null = null
  /** Parts whose end is awaited; the start is one. */
  #parts = 1
  #isDone = false

  /** `budgetMs`: the time until the caller's deadline. */
  constructor (context: DeliveryContext, parcel: Parcel, budgetMs: number, sink: PushSink, correlation: number, traceparent: string | undefined) {
    this.parcel = parcel
    this.#context = context
    this.#sink = sink
    this.#correlation = correlation
    this.#receivedAtMs = context.clock.monotonicMs()
    this.#deadlineMs = this.#receivedAtMs + budgetMs
    this.#row = context.recorder?.begin(parcel.kind, parcel.msgId, parcel.userId, parcel.deviceId, parcel.senderId, this.#receivedAtMs) ?? NO_ROW
    this.#span = context.tracer?.start('push', traceparent, { msg_id: parcel.msgId, user_id: parcel.userId })
  }

  /** It has answered. */
  get isDone (): boolean { return this.#isDone }
  /** For nodes that it is handed to. */
  get traceparent (): string | undefined { return this.#span?.traceparent }
  /** Time since the push came. */
  get elapsedMs (): number { return this.#context.clock.monotonicMs() - this.#receivedAtMs }
  /** Time until the caller's deadline. */
  get leftMs (): number { return this.#deadlineMs - this.#context.clock.monotonicMs() }

  start (targets: readonly Connection[]): void {
    const { deviceId, isLocal } = this.parcel
    for (const target of targets) this.hand(target)
    if (targets.length === 0 || deviceId === '') {
      if (!isLocal) this.#context.router.locate(this)
      else if (deviceId !== '') this.record(deviceId, Outcome.OUTCOME_NOT_CONNECTED, this.#context.nodeId)
    }
    this.close()
  }

  /** One more part whose end has to be awaited. */
  open (): void {
    this.#parts++
  }

  /** A part has ended. */
  close (): void {
    if (--this.#parts === 0) this.#finish()
  }

  /** To a device that is here. */
  hand (target: Connection): void {
    this.open()
    this.report.expect(target.deviceId, this.#context.nodeId)
    if (this.#span !== undefined) this.#traceDevice(target.deviceId, this.#span.traceparent)
    this.parcel.deliver(target, Math.min(this.#context.ackTimeoutMs, this.leftMs - HOP_MARGIN_MS), this)
  }

  /** A device that is here has settled. */
  settled (deviceId: string, outcome: DeviceOutcome): void {
    const { meter, nodeId, router } = this.#context
    this.#deviceSpans?.get(deviceId)?.end(outcome, FAILED.has(outcome))
    if (outcome !== 'MOVED') meter.count('push_outcomes_total', 1, outcome)
    if (outcome === 'ACKED') meter.observe('delivery_seconds', this.elapsedMs / 1000)
    this.record(deviceId, OUTCOMES[outcome], nodeId)
    // Only the node that was asked first tries again: it is told NOT_CONNECTED by the others.
    if (outcome === 'MOVED' && !this.parcel.isLocal) router.retry(this, [deviceId])
    this.close()
  }

  record (deviceId: string, outcome: Outcome, nodeId: string, latencyMs = this.elapsedMs): void {
    if (!this.#isDone) this.report.record(deviceId, outcome, nodeId, Math.round(latencyMs))
  }

  /** The deadline: what has not been answered by now counts as unreachable. */
  expire (): void {
    if (this.report.devices.length === 0) this.report.routesIncomplete = true
    for (const { deviceId, outcome, nodeId } of this.report.devices) {
      if (outcome !== Outcome.OUTCOME_UNSPECIFIED) continue
      this.record(deviceId, nodeId === this.#context.nodeId ? Outcome.OUTCOME_ACK_TIMEOUT : Outcome.OUTCOME_UNREACHABLE, nodeId)
    }
    this.#finish()
  }

  #finish (): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#context.finished(this)
    const { report, parcel } = this
    this.#span?.end(report.devices.length === 0 ? 'nobody' : report.response().success ? 'delivered' : 'not delivered', false)
    // Nothing at all is known of the user: that is no news of being offline.
    if (report.routesIncomplete && report.devices.length === 0 && this.#context.hub.user(parcel.userId) === undefined) {
      this.#context.meter.count('pushes_refused_total', 1, 'UNAVAILABLE')
      this.#context.recorder?.ended(this.#row, 'UNAVAILABLE')
      this.#sink.refused(this.#correlation, new GatewayError('SERVICE_UNAVAILABLE', { detail: 'the registry does not answer and nothing is known of the user' }))
      return
    }
    if (!parcel.isLocal) this.#countUnreached()
    const response = report.response()
    if (this.#context.recorder !== undefined) this.#remember(this.#context.recorder, response)
    this.#sink.settled(this.#correlation, response)
  }

  /** A device that was written to here has a row of its own. */
  #remember (recorder: Recorder, { devices, deliveredCount, routesIncomplete }: PushMessageResponse): void {
    const { kind, msgId, userId } = this.parcel
    for (const { deviceId, nodeId, outcome, latencyMs } of devices) {
      if (kind === 'push' && nodeId === this.#context.nodeId && outcome !== Outcome.OUTCOME_NOT_CONNECTED) continue
      recorder.noted('elsewhere', msgId, userId, deviceId, nodeId, outcomeName(outcome), latencyMs)
    }
    recorder.ended(this.#row, routesIncomplete ? 'incomplete' : 'answered', deliveredCount, devices.length)
  }

  #traceDevice (deviceId: string, traceparent: string): void {
    const span = this.#context.tracer?.start('deliver', traceparent, { msg_id: this.parcel.msgId, device_id: deviceId })
    if (span === undefined) return
    this.#deviceSpans ??= new Map()
    this.#deviceSpans.set(deviceId, span)
  }

  /** Counted where the push came in, and once: another node's NOT_CONNECTED may be no more than the reason for a second try. */
  #countUnreached (): void {
    const { meter } = this.#context
    for (const { outcome } of this.report.devices) {
      if (outcome === Outcome.OUTCOME_NOT_CONNECTED) meter.count('push_outcomes_total', 1, 'NOT_CONNECTED')
      else if (outcome === Outcome.OUTCOME_UNREACHABLE) meter.count('push_outcomes_total', 1, 'UNREACHABLE')
    }
  }
}
