/** One PushStream to another gateway node: pushes that are forwarded travel in batches, at a tenth of the cost of calls of their own. */
import { status, type Client, type ClientDuplexStream, type Metadata, type StatusObject } from '@grpc/grpc-js'
import { CallBatcher } from '../../src/call-batcher.ts'
import { GatewayError } from '../../src/errors.ts'
import { GatewayServiceDefinition, type PushBatch, type PushItem, type PushMessageRequest, type PushMessageResponse, type PushReport } from '../../src/generated/gateway/v1/gateway.ts'
import type { Clock } from '../../src/ports.ts'
import { refusalFrom } from '../../src/delivery/refusal.ts'
import { methodDefinition } from './grpc-service.ts'

const METHOD = methodDefinition(GatewayServiceDefinition.fullName, GatewayServiceDefinition.methods.pushStream)
/** More than that waits for one node only where it has stopped answering. */
const MAX_OUTSTANDING = 65_536
// Tags, lengths and numbers, generously; a UTF-16 unit is three bytes of UTF-8 at most.
const FIXED_BYTES = 256
const BYTES_PER_UNIT = 3

export class ForwardStream {
  readonly #call: ClientDuplexStream<PushBatch, PushReport>
  readonly #batcher: CallBatcher<PushItem, PushMessageResponse>
  #isOver = false

  constructor (client: Client, metadata: Metadata, clock: Clock) {
    const call = client.makeBidiStreamRequest(METHOD.path, METHOD.requestSerialize, METHOD.responseDeserialize, metadata)
    this.#call = call
    this.#batcher = new CallBatcher({ clock, maxOutstanding: MAX_OUTSTANDING, write: (items) => call.write({ items }) })
    call.on('data', (report: PushReport) => { this.#receive(report) })
    call.on('drain', () => { this.#batcher.drained() })
    call.on('error', () => { /* its status follows */ })
    call.on('status', (end: StatusObject) => {
      this.#isOver = true
      this.#batcher.fail(new GatewayError('SERVICE_UNAVAILABLE', { cause: end, detail: `PushStream ended: ${status[end.code] ?? end.code} ${end.details}` }))
    })
  }

  /** Nothing more can be sent on it. */
  get isOver (): boolean { return this.#isOver }

  /** As PeerNodes'; the node waits its own ACK timeout. */
  push (request: PushMessageRequest, deadlineMs: number, traceparent = ''): Promise<PushMessageResponse> {
    return this.#batcher.call((correlation) => ({ correlation, push: request, traceparent }), maxBytes(request), deadlineMs)
  }

  /** No more pushes; the reports of those under way are awaited. */
  finish (): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#batcher.finish()
    this.#call.end()
  }

  #receive (report: PushReport): void {
    // The node asks for another stream.
    if (report.items.length === 0) this.finish()
    for (const { correlation, response } of report.items) {
      if (response === undefined) this.#batcher.reject(correlation, new GatewayError('INTERNAL_ERROR', { detail: 'a report without a response' }))
      else if (response.errorMessage !== '' && response.devices.length === 0) this.#batcher.reject(correlation, refusalFrom(response.errorMessage))
      else this.#batcher.resolve(correlation, response)
    }
  }
}

function maxBytes (request: PushMessageRequest): number {
  const { msgId, recipientId, deviceId, senderId, content, conversationId, metadata } = request
  let units = msgId.length + recipientId.length + deviceId.length + senderId.length + content.length + conversationId.length
  let bytes = FIXED_BYTES
  for (const key in metadata) {
    units += key.length + (metadata[key]?.length ?? 0)
    bytes += FIXED_BYTES
  }
  return bytes + units * BYTES_PER_UNIT
}
