/**
 * The way of a `send_msg` frame: into its conversation's line, upstream when it is first there, an `ack` once the IM
 * Service has accepted it or an `error` with its msg_id. No ack ever leaves for a message that was not accepted.
 */
import { ShortLivedMap } from '../short-lived-map.ts'
import { GatewayError, type ErrorCode } from '../errors.ts'
import { NO_ROW, type Recorder } from '../explain/recorder.ts'
import type { Clock, ImService, Logger, Meter, RouteAccepted, Tracer } from '../ports.ts'
import { encodeAck, encodeError } from '../protocol/encode.ts'
import type { SendFrame, ServerFrameType } from '../protocol/frames.ts'
import type { Connection } from '../connections/connection.ts'
import type { CallPolicy } from './policy.ts'
import type { Send } from './send.ts'
import { SendLines } from './send-lines.ts'

export interface SenderOptions {
  readonly im: ImService
  /** Deadline, retry and breaker of the IM Service. */
  readonly policy: Pick<CallPolicy, 'run'>
  readonly outbox: { send (connection: Connection, frame: Buffer, type: ServerFrameType): unknown }
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly tracer?: Tracer | undefined
  readonly recorder?: Recorder | undefined
  /** Messages of one connection that are queued or upstream. */
  readonly maxPerConnection?: number
  /** Messages of all connections that are queued or upstream; past it: OVERLOADED. */
  readonly maxPending: number
  /** A message that has waited longer behind others of its conversation does not leave any more: SERVICE_UNAVAILABLE. */
  readonly queueTimeoutMs: number
  /** Called after each message of a connection that has settled: there is room again. */
  readonly onSettled: (connection: Connection) => void
}

export const MAX_PER_CONNECTION = 64

export class Sender {
  readonly #options: SenderOptions
  readonly #maxPerConnection: number
  /** Messages that are queued or upstream, by user and msg_id. */
  readonly #byId = new ShortLivedMap<string, Send>()
  #pending = 0

  constructor (options: SenderOptions) {
    this.#options = options
    this.#maxPerConnection = options.maxPerConnection ?? MAX_PER_CONNECTION
    options.meter.source('sends_in_flight', () => this.#pending)
  }

  /** Messages that are queued or upstream, of connections that have gone too. */
  get pending (): number { return this.#pending }

  /** Whether the connection has to wait until one of its messages settles. */
  isFull (connection: Connection): boolean {
    return connection.sending !== null && connection.sending.size >= this.#maxPerConnection
  }

  /**
   * Takes a frame that passed the rate limits; each is answered by one `ack` or one `error`. What was taken goes on even
   * when its connection closes [GW-SND-5]; its answer is dropped then.
   */
  submit (connection: Connection, frame: SendFrame): void {
    const key = idOf(connection, frame)
    const original = this.#byId.get(key)
    if (original !== undefined && !isSame(original.frame, frame)) {
      this.#refuse(connection, frame, 'INVALID_MESSAGE')
      return
    }
    if (this.#pending >= this.#options.maxPending || this.isFull(connection)) {
      this.#refuse(connection, frame, 'OVERLOADED')
      return
    }
    const submittedAtMs = this.#options.clock.monotonicMs()
    const span = this.#options.tracer?.start('send_msg', frame.traceparent, { msg_id: frame.msgId, user_id: connection.user.userId, device_id: connection.deviceId, recipient: frame.recipient })
    const row = this.#options.recorder?.begin(original === undefined ? 'send' : 'repeat', frame.msgId, connection.user.userId, connection.deviceId, frame.recipient, submittedAtMs) ?? NO_ROW
    const send: Send = { key, connection, frame, recipient: frame.recipient, submittedAtMs, span, row, repeats: original, joined: null, following: null }
    this.#pending++
    connection.sending ??= new SendLines()
    // A repeat takes its place in line as well: what this connection sends after it must not overtake the original.
    const isFirst = connection.sending.add(send)
    if (original !== undefined) {
      original.joined ??= []
      original.joined.push(send)
      this.#options.meter.count('messages_joined_total')
      return
    }
    this.#byId.set(key, send)
    if (isFirst) this.#leave(send)
  }

  #leave (send: Send): void {
    const { im, policy, clock, queueTimeoutMs } = this.#options
    const now = clock.monotonicMs()
    if (now - send.submittedAtMs > queueTimeoutMs) {
      this.#fail(send, new GatewayError('SERVICE_UNAVAILABLE', { detail: 'waited too long behind its conversation' }))
      return
    }
    this.#options.recorder?.passed(send.row, 0, now)
    const { connection, frame } = send
    const call = this.#options.tracer?.start('route', send.span?.traceparent, { msg_id: frame.msgId })
    const request = {
      kind: frame.isGroup ? 'group' : 'private',
      msgId: frame.msgId,
      // Token and session, never the frame [GW-SND-6].
      senderId: connection.user.userId,
      senderDeviceId: connection.deviceId,
      recipientId: frame.recipient,
      content: frame.content,
      messageType: frame.messageType,
      metadata: frame.metadata,
      clientTimestampMs: frame.timestamp,
      traceparent: call?.traceparent ?? frame.traceparent
    } as const
    policy.run(frame.isGroup ? 'RouteGroupMessage' : 'RoutePrivateMessage', (attemptMs) => im.route(request, attemptMs)).then(
      (accepted) => {
        call?.end('ok', false)
        this.#succeed(send, accepted)
      },
      (error: unknown) => {
        call?.end(error instanceof GatewayError ? error.code : 'INTERNAL_ERROR', true)
        this.#fail(send, error)
      }
    )
  }

  #succeed (send: Send, accepted: RouteAccepted): void {
    const { clock, meter } = this.#options
    const now = clock.monotonicMs()
    const ack = encodeAck(send.frame.msgId, accepted.sequenceNumber, accepted.timestampMs)
    meter.observe('send_seconds', (now - send.submittedAtMs) / 1000)
    send.joined?.forEach((repeat) => { meter.observe('send_seconds', (now - repeat.submittedAtMs) / 1000) })
    this.#settle(send, ack, 'ack', 'ok')
  }

  #fail (send: Send, reason: unknown): void {
    const { clock, logger } = this.#options
    const error = reason instanceof GatewayError ? reason : new GatewayError('INTERNAL_ERROR', { cause: reason })
    if (error !== reason) logger.error({ err: reason }, 'send failed for a reason of our own')
    else logger.debug({ err: error, msgId: send.frame.msgId, userId: send.connection.user.userId }, 'send failed')
    const frame = encodeError(error.code, clock.unixMs(), { msgId: send.frame.msgId, retryAfterMs: error.retryAfterMs })
    this.#settle(send, frame, 'error', error.code)
  }

  /** Answers a message and all that joined it, then lets the next of each line go. */
  #settle (send: Send, answer: Buffer, type: 'ack' | 'error', result: 'ok' | ErrorCode): void {
    // From here on nothing is kept: the IM Service knows the msg_id again.
    this.#byId.take(send.key)
    this.#answer(send, answer, type, result)
    send.joined?.forEach((repeat) => { this.#answer(repeat, answer, type, result) })
  }

  #answer (send: Send, answer: Buffer, type: 'ack' | 'error', result: 'ok' | ErrorCode): void {
    const { connection } = send
    const { meter, outbox, recorder, onSettled } = this.#options
    this.#pending--
    meter.count('messages_routed_total', 1, send.frame.isGroup ? 'group' : 'private', result)
    const isTold = outbox.send(connection, answer, type) === 'queued'
    recorder?.ended(send.row, result, isTold ? 0 : 1)
    send.span?.end(result, type === 'error')
    const next = connection.sending?.remove(send)
    if (connection.sending?.size === 0) connection.sending = null
    if (next !== undefined && next.repeats === undefined) this.#leave(next)
    onSettled(connection)
  }

  #refuse (connection: Connection, frame: SendFrame, code: ErrorCode): void {
    const { clock, meter, outbox, recorder } = this.#options
    recorder?.noted('send', frame.msgId, connection.user.userId, connection.deviceId, frame.recipient, code)
    meter.count('messages_routed_total', 1, frame.isGroup ? 'group' : 'private', code)
    outbox.send(connection, encodeError(code, clock.unixMs(), { msgId: frame.msgId }), 'error')
  }
}

/** A msg_id has no space in it, so two pairs never make one key. */
function idOf (connection: Connection, frame: SendFrame): string {
  return `${frame.msgId} ${connection.user.userId}`
}

function isSame (a: SendFrame, b: SendFrame): boolean {
  return a.recipient === b.recipient && a.messageType === b.messageType && a.content === b.content
}
