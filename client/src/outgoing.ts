/**
 * Messages on their way out: of one conversation one at a time, in order, each sent again with the same id until the
 * gateway has accepted it or refused it for good. Across reconnects too: the IM Service takes an id once.
 */
import type { ClientClock } from './clock.ts'
import { SendError, SendTimeoutError } from './errors.ts'
import type { Frame } from './frames.ts'
import type { DEFAULTS } from './options.ts'

export interface SendOptions {
  readonly msgId?: string
  readonly messageType?: string
  readonly metadata?: Readonly<Record<string, string>>
}

export interface Accepted { readonly msgId: string, readonly sequenceNumber: number, readonly timestamp: number }

export interface OutgoingOptions extends Pick<typeof DEFAULTS, 'sendTimeoutMs' | 'answerTimeoutMs' | 'maxWaiting'> {
  readonly clock: ClientClock
  readonly random: () => number
  readonly onAccepted: (recipient: string, accepted: Accepted) => void
}

interface Sending {
  readonly msgId: string
  readonly recipient: string
  readonly text: string
  readonly resolve: (accepted: Accepted) => void
  readonly reject: (error: Error) => void
  /** Of the time for all of it. */
  timer: unknown
  /** Until it goes again. */
  retryTimer: unknown
  refusals: number
}

/** As the gateway has it. */
const ID = /^[\w.:-]{1,64}$/
/** Conversations with a message under way; half of what a gateway takes of one connection. */
const MAX_IN_FLIGHT = 32
const RETRY_MS = 1_000
/** Doublings of the pause after errors in a row. */
const MAX_DOUBLINGS = 3

export class Outgoing {
  readonly #options: OutgoingOptions
  /** By recipient: the first is under way, or next. */
  readonly #lines = new Map<string, Sending[]>()
  readonly #byId = new Map<string, Sending>()
  readonly #inFlight = new Set<Sending>()
  /** undefined: there is no session. */
  #write: ((text: string) => void) | undefined
  #maxBytes = Infinity

  constructor (options: OutgoingOptions) {
    this.#options = options
  }

  /** Messages that are not answered yet. */
  get size (): number { return this.#byId.size }

  /** Whether a message to the recipient is not answered yet. */
  has (recipient: string): boolean { return this.#lines.has(recipient) }

  /** Throws a SendError for what does not go at all. */
  send (msgId: string, recipient: string, content: string, options: SendOptions): Promise<Accepted> {
    const { clock, sendTimeoutMs, maxWaiting } = this.#options
    // A gateway does not say whose the error is where the id is none.
    if (!ID.test(msgId)) throw new SendError('INVALID_MESSAGE', msgId, 'that is no id')
    if (this.#byId.has(msgId)) throw new SendError('INVALID_MESSAGE', msgId, 'the id is under way')
    if (this.#byId.size >= maxWaiting) throw new SendError('OVERLOADED', msgId, 'too many messages wait')
    const { messageType, metadata } = options
    const text = JSON.stringify({ type: 'send_msg', msg_id: msgId, recipient, content, timestamp: clock.unixMs(), message_type: messageType, metadata })
    if (this.#isTooLong(text)) throw new SendError('CONTENT_TOO_LONG', msgId)
    return new Promise((resolve, reject) => {
      const sending: Sending = { msgId, recipient, text, resolve, reject, timer: undefined, retryTimer: undefined, refusals: 0 }
      sending.timer = clock.setTimer(() => { this.#end(sending, () => { reject(new SendTimeoutError(msgId, sendTimeoutMs)) }) }, sendTimeoutMs)
      this.#byId.set(msgId, sending)
      const line = this.#lines.get(recipient)
      if (line === undefined) this.#lines.set(recipient, [sending])
      else line.push(sending)
      this.#pump()
    })
  }

  /** A session is there: everything that is first in its line goes, again where it went before. `maxBytes`: of a frame. */
  open (write: (text: string) => void, maxBytes: number): void {
    this.#maxBytes = maxBytes
    // They were taken before there was a session.
    for (const sending of this.#byId.values()) if (this.#isTooLong(sending.text)) this.#end(sending, () => { sending.reject(new SendError('CONTENT_TOO_LONG', sending.msgId)) })
    this.#write = write
    this.#pump()
  }

  closed (): void {
    this.#write = undefined
    for (const sending of this.#inFlight) this.#stopRetry(sending)
    this.#inFlight.clear()
  }

  /** Nothing will be sent any more. */
  abandon (): void {
    for (const sending of this.#byId.values()) this.#end(sending, () => { sending.reject(new SendError('CLIENT_ENDED', sending.msgId, 'the client has ended')) })
  }

  /** An `ack` or an `error` with an id; what answers nothing that waits is passed over. */
  answered (frame: Frame): void {
    const sending = this.#byId.get(String(frame['msg_id']))
    if (sending === undefined) return
    if (frame.type === 'ack') {
      const accepted = { msgId: sending.msgId, sequenceNumber: Number(frame['sequence_number']), timestamp: Number(frame['timestamp']) }
      this.#end(sending, () => {
        this.#options.onAccepted(sending.recipient, accepted)
        sending.resolve(accepted)
      })
    } else if (frame['retryable'] === true) this.#again(sending, frame['retry_after_ms'])
    else this.#end(sending, () => { sending.reject(new SendError(String(frame['error_code']), sending.msgId, String(frame['error_message']))) })
  }

  #again (sending: Sending, retryAfterMs: unknown): void {
    if (!this.#inFlight.has(sending)) return
    const delayMs = RETRY_MS * 2 ** Math.min(sending.refusals++, MAX_DOUBLINGS) * (0.5 + 0.5 * this.#options.random())
    this.#writeIn(sending, typeof retryAfterMs === 'number' ? retryAfterMs : delayMs)
  }

  #writeIn (sending: Sending, delayMs: number): void {
    this.#stopRetry(sending)
    sending.retryTimer = this.#options.clock.setTimer(() => { this.#send(sending) }, delayMs)
  }

  /** A frame may be lost on a live connection: a gateway that is flooded drops what it has not read. */
  #send (sending: Sending): void {
    this.#writeIn(sending, this.#options.answerTimeoutMs)
    this.#write?.(sending.text)
  }

  #pump (): void {
    if (this.#write === undefined) return
    for (const [first] of this.#lines.values()) {
      if (this.#inFlight.size >= MAX_IN_FLIGHT) return
      if (first === undefined || this.#inFlight.has(first)) continue
      this.#inFlight.add(first)
      this.#send(first)
    }
  }

  /** The gateway would close the connection for it, each time anew. */
  #isTooLong (text: string): boolean {
    return new TextEncoder().encode(text).length > this.#maxBytes
  }

  #end (sending: Sending, settle: () => void): void {
    this.#options.clock.clearTimer(sending.timer as never)
    this.#stopRetry(sending)
    this.#byId.delete(sending.msgId)
    this.#inFlight.delete(sending)
    const line = this.#lines.get(sending.recipient) as Sending[]
    // It is the first but where its time is over.
    line.splice(line.indexOf(sending), 1)
    if (line.length === 0) this.#lines.delete(sending.recipient)
    settle()
    this.#pump()
  }

  #stopRetry (sending: Sending): void {
    this.#options.clock.clearTimer(sending.retryTimer as never)
  }
}
