/** Pushes and read receipts to a user's devices: checked, bounded, and each answered once. */
import { GatewayError, type ErrorCode } from '../errors.ts'
import type { Recorder } from '../explain/recorder.ts'
import type { PushMessageRequest, PushReadReceiptRequest } from '../generated/gateway/v1/gateway.ts'
import type { Clock, Logger, Meter, Registry, Tracer } from '../ports.ts'
import type { Hub } from '../connections/hub.ts'
import type { Outbox } from '../connections/outbox.ts'
import { MAX_FRAME_BYTES } from '../protocol/frames.ts'
import { Delivery, HOP_MARGIN_MS, type DeliveryContext, type PushSink } from './delivery.ts'
import { pushFault, receiptFault } from './field-limits.ts'
import { MessageParcel, ReceiptParcel, targetsOf, type Parcel } from './parcel.ts'
import type { PeerNodes } from './peers.ts'
import { refusalStatus } from './refusal.ts'
import { Router } from './router.ts'
import { TimerWheel } from './timer-wheel.ts'
import type { Tracker } from './tracker.ts'

export interface PushOptions {
  readonly nodeId: string
  readonly hub: Hub
  readonly outbox: Pick<Outbox, 'send'>
  readonly tracker: Tracker
  readonly registry: Pick<Registry, 'locate' | 'nodeAddress'>
  readonly peers: PeerNodes
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly tracer?: Tracer | undefined
  readonly recorder?: Recorder | undefined
  /** How long a device has to acknowledge. */
  readonly ackTimeoutMs: number
  /** Pushes under way, those for other nodes' devices included. */
  readonly maxPending: number
  /** Bytes of their frames. */
  readonly maxPendingBytes: number
  /** Largest frame that a push may become. */
  readonly maxFrameBytes?: number
}

const TICK_MS = 50
/** What a caller without a deadline is given beyond the wait for the devices. */
const NO_DEADLINE_EXTRA_MS = 1_000

export class Push {
  readonly #options: PushOptions
  readonly #context: DeliveryContext
  readonly #wheel: TimerWheel<Delivery>
  #bytes = 0

  constructor (options: PushOptions) {
    const { nodeId, hub, registry, peers, clock, meter, logger, tracer, recorder, ackTimeoutMs } = options
    const shared = { nodeId, hub, registry, peers, clock, meter, logger, tracer, recorder, ackTimeoutMs }
    this.#options = options
    this.#context = { ...shared, router: new Router(shared), finished: (delivery) => { this.#finished(delivery) } }
    this.#wheel = new TimerWheel({ clock, tickMs: TICK_MS, onDue: (delivery: Delivery) => { delivery.expire() } })
  }

  /** Pushes and receipts that have not been answered. */
  get underWay (): number { return this.#wheel.size }

  /**
   * Pushes a message. `deadlineMs`: the time until the caller's deadline, Infinity where it has none. The sink is told once,
   * maybe before this returns. Refused with INVALID_MESSAGE (the detail names the field), OVERLOADED, DEADLINE_EXCEEDED
   * (no time is left) or SERVICE_UNAVAILABLE (nothing at all is known of the user). `traceparent`: the caller's trace.
   */
  deliver (request: PushMessageRequest, deadlineMs: number, sink: PushSink, correlation = 0, traceparent?: string): void {
    const fault = pushFault(request)
    if (fault !== undefined) this.#refuse(sink, correlation, 'INVALID_MESSAGE', fault)
    else this.#start(new MessageParcel(request, this.#options.tracker), deadlineMs, sink, correlation, traceparent)
  }

  /** Tells the devices of a message's sender that it was read [GW-EVT-1]; no acknowledgement is awaited. As `deliver` otherwise. */
  deliverReceipt (request: PushReadReceiptRequest, deadlineMs: number, sink: PushSink, correlation = 0): void {
    const fault = receiptFault(request)
    if (fault !== undefined) this.#refuse(sink, correlation, 'INVALID_MESSAGE', fault)
    else this.#start(new ReceiptParcel(request, this.#options.outbox, this.#options.clock.unixMs()), deadlineMs, sink, correlation)
  }

  #start (parcel: Parcel, deadlineMs: number, sink: PushSink, correlation: number, traceparent?: string): void {
    const { hub, tracker, ackTimeoutMs, maxPending, maxPendingBytes, maxFrameBytes = MAX_FRAME_BYTES } = this.#options
    const frameBytes = parcel.frame.length
    if (frameBytes > maxFrameBytes) {
      this.#refuse(sink, correlation, 'INVALID_MESSAGE', `content and metadata must fit a frame of ${maxFrameBytes} bytes`, parcel)
      return
    }
    const budgetMs = Math.min(deadlineMs, ackTimeoutMs + NO_DEADLINE_EXTRA_MS)
    if (budgetMs <= HOP_MARGIN_MS) {
      this.#refuse(sink, correlation, 'DEADLINE_EXCEEDED', `the deadline must leave more than ${HOP_MARGIN_MS} ms`, parcel)
      return
    }
    const targets = targetsOf(hub.user(parcel.userId), parcel.deviceId, parcel.excludeDeviceId)
    if (this.#wheel.size >= maxPending || this.#bytes + frameBytes > maxPendingBytes || !tracker.hasRoom(targets.length, frameBytes)) {
      this.#refuse(sink, correlation, 'OVERLOADED', 'too many pushes wait for their devices', parcel)
      return
    }
    const delivery = new Delivery(this.#context, parcel, budgetMs, sink, correlation, traceparent)
    this.#bytes += frameBytes
    // One tick after the waits of the devices, which have the same deadline, so that they settle by themselves.
    this.#wheel.add(delivery, budgetMs - HOP_MARGIN_MS + TICK_MS)
    delivery.start(targets)
  }

  #finished (delivery: Delivery): void {
    this.#wheel.remove(delivery)
    this.#bytes -= delivery.parcel.frame.length
  }

  /** `parcel`: one whose fields are in their limits. */
  #refuse (sink: PushSink, correlation: number, code: ErrorCode, detail: string, parcel?: Parcel): void {
    if (parcel !== undefined) this.#options.recorder?.noted(parcel.kind, parcel.msgId, parcel.userId, parcel.deviceId, parcel.senderId, code)
    this.#options.meter.count('pushes_refused_total', 1, refusalStatus(code))
    sink.refused(correlation, new GatewayError(code, { detail }))
  }
}
