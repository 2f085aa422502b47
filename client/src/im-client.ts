/**
 * A client that stays connected: it comes back as the table of close codes asks, with a fresh token, sends again what was
 * not accepted, acknowledges what asks for it, and shows each message once and in order.
 */
import { realClock, type ClientClock } from './clock.ts'
import { membershipOf, messageOf, receiptOf, type Frame, type MembershipChange, type Message, type ReadReceipt } from './frames.ts'
import { Inbox, type Gap, type History } from './inbox.ts'
import { Outgoing, SendError, type Accepted, type SendOptions } from './outgoing.ts'
import { Reconnect } from './reconnect.ts'
import { Seen } from './seen.ts'
import { Session } from './session.ts'
import type { SocketConstructor } from './socket.ts'

/** `open`: welcomed. `waiting`: until the next attempt. `ended`: for good. */
export type ClientState = 'idle' | 'connecting' | 'open' | 'waiting' | 'ended'
/** Why the client does not come back: the close code, or 1000 where it was asked to close. */
export interface End { readonly code: number }

export interface ImClientOptions {
  /** `wss://host/ws`; a function is asked at each attempt. */
  readonly url: string | (() => string)
  /** A token that is good now; asked at each attempt and for each renewal. */
  readonly token: () => string | Promise<string>
  /** Only where the token names no device. */
  readonly deviceId?: string
  /** Default: the global one. */
  readonly WebSocket?: SocketConstructor
  /** Without it missing messages are told by `onGap` alone. */
  readonly history?: History
  readonly onMessage?: (message: Message, conversation: string) => void
  readonly onReceipt?: (receipt: ReadReceipt) => void
  readonly onMembership?: (change: MembershipChange) => void
  readonly onGap?: (gap: Gap) => void
  readonly onState?: (state: ClientState) => void
  /** It will not come back by itself. */
  readonly onEnd?: (end: End) => void
  /** For a message with all its repeats, in milliseconds; default 60,000. */
  readonly sendTimeoutMs?: number
  /** Messages that may wait for their acceptance; default 1,000. */
  readonly maxWaiting?: number
  readonly clock?: ClientClock
  /** 0 up to 1. */
  readonly random?: () => number
}

const MAX_SEEN = 10_000
const SEND_TIMEOUT_MS = 60_000
const MAX_WAITING = 1_000

export class ImClient {
  readonly #options: ImClientOptions
  readonly #clock: ClientClock
  readonly #reconnect: Reconnect
  readonly #inbox: Inbox
  readonly #outgoing: Outgoing
  readonly #receipts = new Seen(MAX_SEEN)
  readonly #idPrefix: string
  #lastId = 0
  #state: ClientState = 'idle'
  #session: Session | undefined
  #userId = ''
  #sessions = 0
  /** Of the next attempt. */
  #timer: unknown

  constructor (options: ImClientOptions) {
    const { clock = realClock, random = Math.random, history, sendTimeoutMs = SEND_TIMEOUT_MS, maxWaiting = MAX_WAITING } = options
    this.#options = options
    this.#clock = clock
    this.#reconnect = new Reconnect(random)
    this.#inbox = new Inbox({
      history, clock, maxSeen: MAX_SEEN, deliver: (message, conversation) => options.onMessage?.(message, conversation), onGap: (gap) => options.onGap?.(gap)
    })
    this.#outgoing = new Outgoing({
      clock, random, maxWaiting, timeoutMs: sendTimeoutMs, onAccepted: (recipient, { sequenceNumber }) => { this.#inbox.accepted(recipient, sequenceNumber) }
    })
    this.#idPrefix = `${clock.unixMs().toString(36)}-${Math.floor(random() * 2 ** 32).toString(36)}`
  }

  get state (): ClientState { return this.#state }
  /** Sessions that were opened so far. */
  get sessions (): number { return this.#sessions }
  /** Messages that are not accepted yet. */
  get waiting (): number { return this.#outgoing.size }

  /** Connects, and stays connected until `close`. */
  start (): void {
    if (this.#state === 'idle') this.#connect()
  }

  /**
   * Resolves once the IM Service has accepted the message, however many sessions that takes. Rejects with a SendError
   * (refused for good) or a SendTimeoutError (the outcome is unknown).
   */
  send (recipient: string, content: string, options: SendOptions = {}): Promise<Accepted> {
    const { msgId = `${this.#idPrefix}-${(++this.#lastId).toString(36)}` } = options
    if (this.#state === 'ended') return Promise.reject(new SendError('SERVER_SHUTDOWN', msgId, 'the client has ended'))
    this.#inbox.own(msgId)
    return this.#outgoing.send(msgId, recipient, content, options)
  }

  /** Ends it for good; what was not accepted is rejected. */
  close (): void {
    this.#end(1000)
  }

  #connect (): void {
    this.#enter('connecting')
    // A token that cannot be had is like a gateway that cannot be reached.
    Promise.resolve().then(() => this.#options.token()).then((token) => {
      if (this.#state === 'connecting') this.#open(token)
    }, () => {
      if (this.#state === 'connecting') this.#later(this.#reconnect.afterFailure())
    })
  }

  #open (token: string): void {
    const { url, deviceId, token: renew, WebSocket = globalThis.WebSocket as unknown as SocketConstructor } = this.#options
    const address = new URL(typeof url === 'string' ? url : url())
    if (deviceId !== undefined) address.searchParams.set('device_id', deviceId)
    this.#session = new Session({
      url: address,
      token,
      WebSocket,
      renew,
      clock: this.#clock,
      onWelcome: (welcome) => { this.#welcome(welcome) },
      onFrame: (frame) => { this.#take(frame) },
      onEnd: (code, wasWelcomed, reconnectAfterMs) => { this.#lost(code, wasWelcomed, reconnectAfterMs) }
    })
  }

  #welcome (welcome: Frame): void {
    this.#userId = String(welcome['user_id'])
    this.#reconnect.succeeded()
    this.#enter('open')
    if (++this.#sessions > 1) this.#inbox.sync()
    this.#outgoing.open((text) => { this.#session?.write(text) }, Number(welcome['max_message_bytes']))
  }

  #take (frame: Frame): void {
    switch (frame.type) {
      case 'message': this.#message(frame); break
      case 'ack':
      case 'error': this.#outgoing.answered(frame); break
      case 'read_receipt': {
        const receipt = receiptOf(frame)
        if (this.#receipts.add(`${receipt.msgId} ${receipt.readerId}`)) this.#options.onReceipt?.(receipt)
        break
      }
      case 'membership_change': this.#options.onMembership?.(membershipOf(frame)); break
      // A heartbeat is a sign of life and nothing more; types of a later protocol are passed over.
      default: break
    }
  }

  #message (frame: Frame): void {
    const message = messageOf(frame)
    if (frame['ack_required'] === true) this.#session?.write(JSON.stringify({ type: 'ack', msg_id: message.msgId }))
    // Of a private conversation each side knows the other's name.
    this.#inbox.receive(message, message.recipient === this.#userId ? message.sender : message.recipient)
  }

  #lost (code: number, wasWelcomed: boolean, reconnectAfterMs: number | undefined): void {
    this.#session = undefined
    this.#outgoing.closed()
    const delayMs = wasWelcomed ? this.#reconnect.afterClose(code, reconnectAfterMs) : this.#reconnect.afterFailure()
    if (delayMs === undefined) this.#end(code)
    else this.#later(delayMs)
  }

  #later (delayMs: number): void {
    this.#enter('waiting')
    this.#timer = this.#clock.setTimer(() => { this.#connect() }, delayMs)
  }

  #end (code: number): void {
    if (this.#state === 'ended') return
    this.#clock.clearTimer(this.#timer as never)
    this.#session?.close()
    this.#session = undefined
    this.#enter('ended')
    this.#outgoing.abandon()
    this.#options.onEnd?.({ code })
  }

  #enter (state: ClientState): void {
    if (this.#state === state) return
    this.#state = state
    this.#options.onState?.(state)
  }
}
