/** Serves `gateway.v1.GatewayService`: calls in, what `src/delivery` says out. */
import { status, type sendUnaryData, type ServerUnaryCall, type ServiceDefinition, type StatusObject } from '@grpc/grpc-js'
import { GatewayError } from '../../src/errors.ts'
import { GatewayServiceDefinition, type PushMessageResponse } from '../../src/generated/gateway/v1/gateway.ts'
import type { Clock, Logger, Meter } from '../../src/ports.ts'
import type { PushSink } from '../../src/delivery/delivery.ts'
import type { Presence } from '../../src/delivery/presence.ts'
import type { Push } from '../../src/delivery/push.ts'
import { refusalStatus } from '../../src/delivery/refusal.ts'
import type { Explainer } from '../../src/explain/explainer.ts'
import { leftMs } from './grpc-deadline.ts'
import { serviceDefinition, type HandlersOf } from './grpc-service.ts'
import { PushStream } from './push-stream.ts'

export interface PushHandlersOptions {
  readonly push: Pick<Push, 'deliver' | 'deliverReceipt'>
  readonly presence: Pick<Presence, 'presence' | 'disconnect'>
  readonly explainer: Pick<Explainer, 'explain'>
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  /** Whether the callers' trace context is looked for. */
  readonly isTraced?: boolean
  /** How long a PushStream may last. */
  readonly maxStreamAgeMs: number
  readonly maxOutstanding?: number
}

/** grpc-js knows one limit for all methods, that of the streams. */
export const MAX_UNARY_BYTES = 65_536
export const MAX_OUTSTANDING = 8_192
/** Stands for a message over the limit, which is not parsed. */
const TOO_LARGE = Symbol('too large')

/** The service as it is to be added to a server. */
export const pushService: ServiceDefinition = boundUnary(serviceDefinition(GatewayServiceDefinition) as unknown as ServiceDefinition)

export class PushHandlers {
  readonly #options: PushHandlersOptions
  readonly #streams = new Set<PushStream>()
  readonly implementation: HandlersOf<typeof GatewayServiceDefinition>

  constructor (options: PushHandlersOptions) {
    const { push, presence, explainer, clock, isTraced = false, maxStreamAgeMs, maxOutstanding = MAX_OUTSTANDING } = options
    this.#options = options
    const onClosed = (stream: PushStream): void => { this.#streams.delete(stream) }
    this.implementation = {
      pushMessage: this.#unary((call, callback) => { push.deliver(call.request, leftMs(call.getDeadline()), new Answer(callback), 0, isTraced ? call.metadata.get('traceparent')[0]?.toString() : undefined) }),
      pushReadReceipt: this.#unary((call, callback) => { push.deliverReceipt(call.request, leftMs(call.getDeadline()), new Answer(callback)) }),
      getPresence: this.#unary((call, callback) => { this.#answer(presence.presence(call.request), callback) }),
      disconnect: this.#unary((call, callback) => { this.#answer(presence.disconnect(call.request, leftMs(call.getDeadline())), callback) }),
      explain: this.#unary((call, callback) => { this.#answer((async () => explainer.explain(call.request))(), callback) }),
      pushStream: (call) => { this.#streams.add(new PushStream(call, { push, clock, maxOutstanding, maxAgeMs: maxStreamAgeMs, onClosed })) }
    }
  }

  /** PushStreams that are open. */
  get streams (): number { return this.#streams.size }

  /** Asks the callers to end their streams; each ends by itself soon after. */
  finishStreams (): void {
    for (const stream of this.#streams) stream.finish()
  }

  #unary<Req, Res> (handle: (call: ServerUnaryCall<Req, Res>, callback: sendUnaryData<Res>) => void) {
    return (call: ServerUnaryCall<Req, Res>, callback: sendUnaryData<Res>): void => {
      if (call.request !== TOO_LARGE) {
        handle(call, callback)
        return
      }
      this.#options.meter.count('pushes_refused_total', 1, 'RESOURCE_EXHAUSTED')
      callback({ code: status.RESOURCE_EXHAUSTED, details: `a message may have ${MAX_UNARY_BYTES} bytes` })
    }
  }

  #answer<Res> (answer: Promise<Res>, callback: sendUnaryData<Res>): void {
    answer.then((response) => { callback(null, response) }, (error: unknown) => {
      if (!(error instanceof GatewayError)) this.#options.logger.error({ err: error }, 'gRPC call failed')
      callback(statusOf(error))
    })
  }
}

/** Where the answer of one unary push goes. */
class Answer implements PushSink {
  readonly #callback: sendUnaryData<PushMessageResponse>

  constructor (callback: sendUnaryData<PushMessageResponse>) {
    this.#callback = callback
  }

  settled (_correlation: number, response: PushMessageResponse): void {
    this.#callback(null, response)
  }

  refused (_correlation: number, error: GatewayError): void {
    this.#callback(statusOf(error))
  }
}

function statusOf (error: unknown): Pick<StatusObject, 'code' | 'details'> {
  if (error instanceof GatewayError) return { code: status[refusalStatus(error.code)], details: error.message }
  return { code: status.INTERNAL, details: 'internal error' }
}

function boundUnary (definition: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(Object.entries(definition).map(([name, method]) => [name, method.requestStream
    ? method
    : { ...method, requestDeserialize: (bytes: Buffer): unknown => bytes.length > MAX_UNARY_BYTES ? TOO_LARGE : method.requestDeserialize(bytes) }]))
}
