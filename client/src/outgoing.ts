/**
 * Messages on their way out: of one conversation one at a time, in order, each sent again with the same id until the
 * gateway has accepted it or refused it for good. Across reconnects too: the IM Service takes an id once.
 */
import type { ClientClock } from './clock.ts'
import type { Frame } from './frames.ts'

export interface SendOptions {
  readonly msgId?: string
  readonly messageType?: string
  readonly metadata?: Readonly<Record<string, string>>
}

export interface Accepted { readonly msgId: string, readonly sequenceNumber: number, readonly timestamp: number }

/** The message was refused for good; `code` is one of the error table. */
export class SendError extends Error {
  readonly code: string
  readonly msgId: string

  constructor (code: string, msgId: string, detail = code) {
    super(detail)
    this.name = 'SendError'
    this.code = code
    this.msgId = msgId
  }
}

/** Not accepted in time. It may have been: the outcome is unknown. */
export class SendTimeoutError extends Error {
  readonly msgId: string

  constructor (msgId: string, timeoutMs: number) {
    super(`not accepted within ${timeoutMs} ms`)
    this.name = 'SendTimeoutError'
    this.msgId = msgId
  }
}

export interface OutgoingOptions {
  readonly clock: ClientClock
  readonly random: () => number
  /** For a message with all its repeats. */
  readonly timeoutMs: number
  /** Messages that wait; more are refused with OVERLOADED. */
  readonly maxWaiting: number
  readonly onAccepted: (recipient: string, accepted: Accepted) => void
}

interface Sending {
  readonly msgId: string
  readonly recipient: string
  readonly text: string
  readonly resolve: (accepted: Accepted) => void
  readonly reject: (error: Error) => void
  timer: unknown
  retryTimer: unknown
}

/** Conversations with a message under way; half of what a gateway takes of one connection. */
const MAX_IN_FLIGHT = 32
const RETRY_MS = 1_000

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

  send (msgId: string, recipient: string, content: string, options: SendOptions): Promise<Accepted> {
    const { clock, timeoutMs, maxWaiting } = this.#options
    if (this.#byId.has(msgId)) return Promise.reject(new SendError('INVALID_MESSAGE', msgId, 'the id is under way'))
    if (this.#byId.size >= maxWaiting) return Promise.reject(new SendError('OVERLOADED', msgId, 'too many messages wait'))
    const { messageType, metadata } = options
    const text = JSON.stringify({ type: 'send_msg', msg_id: msgId, recipient, content, timestamp: clock.unixMs(), message_type: messageType, metadata })
    if (this.#isTooLong(text)) return Promise.reject(new SendError('CONTENT_TOO_LONG', msgId))
    return new Promise((resolve, reject) => {
      const sending: Sending = { msgId, recipient, text, resolve, reject, timer: undefined, retryTimer: undefined }
      sending.timer = clock.setTimer(() => { this.#end(sending, () => { reject(new SendTimeoutError(msgId, timeoutMs)) }) }, timeoutMs)
      this.#byId.set(msgId, sending)
      const line = this.#lines.get(recipient)
      if (line === undefined) this.#lines.set(recipient, [sending])
      else line.push(sending)
      this.#pump()
    })
  }

  /** A session is there: everything that is first in its line goes, again where it went before. `maxBytes`: of a frame. */
  open (write: (text: string) => void, maxBytes: number): void {
    this.#write = write
    this.#maxBytes = maxBytes
    this.#pump()
  }

  closed (): void {
    this.#write = undefined
    for (const sending of this.#inFlight) this.#stopRetry(sending)
    this.#inFlight.clear()
  }

  /** Nothing will be sent any more. */
  abandon (): void {
    for (const sending of [...this.#byId.values()]) this.#end(sending, () => { sending.reject(new SendError('SERVER_SHUTDOWN', sending.msgId, 'the client has ended')) })
  }

  /** Whether the frame answered a message of ours. */
  answered (frame: Frame): boolean {
    const sending = this.#byId.get(String(frame['msg_id']))
    if (sending === undefined) return false
    if (frame.type === 'ack') {
      const accepted = { msgId: sending.msgId, sequenceNumber: Number(frame['sequence_number']), timestamp: Number(frame['timestamp']) }
      this.#end(sending, () => {
        this.#options.onAccepted(sending.recipient, accepted)
        sending.resolve(accepted)
      })
    } else if (frame['retryable'] === true) this.#again(sending, frame['retry_after_ms'])
    else this.#end(sending, () => { sending.reject(new SendError(String(frame['error_code']), sending.msgId, String(frame['error_message']))) })
    return true
  }

  #again (sending: Sending, retryAfterMs: unknown): void {
    if (!this.#inFlight.has(sending) || sending.retryTimer !== undefined) return
    const { clock, random } = this.#options
    const delayMs = typeof retryAfterMs === 'number' ? retryAfterMs : RETRY_MS * (0.5 + 0.5 * random())
    sending.retryTimer = clock.setTimer(() => {
      sending.retryTimer = undefined
      this.#write?.(sending.text)
    }, delayMs)
  }

  #pump (): void {
    if (this.#write === undefined) return
    for (const [first] of this.#lines.values()) {
      if (this.#inFlight.size >= MAX_IN_FLIGHT) return
      if (first === undefined || this.#inFlight.has(first)) continue
      // It was taken before there was a session.
      if (this.#isTooLong(first.text)) {
        this.#end(first, () => { first.reject(new SendError('CONTENT_TOO_LONG', first.msgId)) })
        return
      }
      this.#inFlight.add(first)
      this.#write(first.text)
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
    const line = (this.#lines.get(sending.recipient) ?? []).filter((other) => other !== sending)
    if (line.length === 0) this.#lines.delete(sending.recipient)
    else this.#lines.set(sending.recipient, line)
    settle()
    this.#pump()
  }

  #stopRetry (sending: Sending): void {
    if (sending.retryTimer !== undefined) this.#options.clock.clearTimer(sending.retryTimer as never)
    sending.retryTimer = undefined
  }
}
