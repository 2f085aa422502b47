/**
 * A client that stays connected: it comes back as the table of close codes asks, with a fresh token, sends again what was
 * not accepted, acknowledges what asks for it, and shows each message once and in order.
 */
import { ask, endable, realClock } from './clock.ts'
import { ConnectionError, SendError } from './errors.ts'
import type { Frame } from './frames.ts'
import { DEFAULTS, type ClientState, type End, type ImClientOptions } from './options.ts'
import { Outgoing, type Accepted, type SendOptions } from './outgoing.ts'
import { Receiver } from './receiver.ts'
import { isDelayOrdered, Reconnect } from './reconnect.ts'
import { Session, TOKEN_TIMEOUT_MS } from './session.ts'
import type { SocketConstructor } from './socket.ts'
import { tell } from './tell.ts'

export class ImClient {
  readonly #options: ImClientOptions & typeof DEFAULTS
  readonly #clock: ReturnType<typeof endable>
  readonly #reconnect: Reconnect
  readonly #receiver: Receiver
  readonly #outgoing: Outgoing
  readonly #idPrefix: string
  #lastId = 0
  #state: ClientState = 'idle'
  #session: Session | undefined
  #userId = ''
  #sessions = 0
  /** Rises with each attempt, and where one is given up: a token that comes late is nobody's. */
  #attempt = 0
  /** Of the next attempt, or of the stay in the background. */
  #timer: unknown
  #isHidden = false
  /** Monotonic milliseconds; the gateway forbade to come back before. */
  #notBeforeMs = 0

  constructor (options: ImClientOptions) {
    const { random = Math.random } = options
    const clock = endable(options.clock ?? realClock)
    // An option that is undefined is none.
    this.#options = { ...DEFAULTS, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as unknown as ImClientOptions }
    this.#clock = clock
    this.#reconnect = new Reconnect(random)
    this.#outgoing = new Outgoing({
      ...this.#options, clock, random, onAccepted: (recipient, { sequenceNumber }) => { this.#receiver.inbox.accepted(recipient, sequenceNumber) }
    })
    this.#receiver = new Receiver(this.#options, clock, (conversation) => this.#outgoing.has(conversation))
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
  async send (recipient: string, content: string, options: SendOptions = {}): Promise<Accepted> {
    const { msgId = `${this.#idPrefix}-${(++this.#lastId).toString(36)}` } = options
    if (this.#state === 'ended') throw new SendError('CLIENT_ENDED', msgId)
    this.#receiver.inbox.own(msgId)
    return await this.#outgoing.send(msgId, recipient, content, options)
  }

  /** Nobody looks: it leaves after `backgroundMs`, or when the connection is lost. What is sent waits for `foreground`. */
  background (): void {
    if (this.#isHidden || this.#state === 'idle' || this.#state === 'ended') return
    this.#isHidden = true
    if (this.#state === 'waiting') this.#pause()
    else this.#timer = this.#clock.setTimer(() => { this.#pause() }, this.#options.backgroundMs)
  }

  /** Somebody looks, or the network is back: connects at once unless the gateway forbade it, and leaves a connection that is dead. */
  foreground (): void {
    if (this.#state === 'idle' || this.#state === 'ended') return
    this.#isHidden = false
    this.#clock.clearTimer(this.#timer as never)
    if (this.#state === 'open') this.#session?.probe()
    if (this.#state !== 'waiting' && this.#state !== 'paused') return
    const delayMs = this.#notBeforeMs - this.#clock.monotonicMs()
    if (delayMs > 0) this.#later(delayMs)
    else this.#connect()
  }

  /** Ends it for good; what was not accepted is rejected. */
  close (): void {
    this.#end({ code: 1000 })
  }

  #connect (): void {
    const attempt = ++this.#attempt
    this.#enter('connecting')
    ask(this.#clock, this.#options.token, TOKEN_TIMEOUT_MS).then((token) => {
      if (attempt === this.#attempt) this.#open(token)
    }, (cause: unknown) => {
      if (attempt !== this.#attempt) return
      // A token that cannot be had is like a gateway that cannot be reached.
      tell(this.#options.onError, new ConnectionError('NO_TOKEN', 'the token provider failed', cause))
      if (attempt === this.#attempt) this.#later(this.#reconnect.afterFailure())
    })
  }

  #open (token: string): void {
    const { url, deviceId, token: renew, WebSocket = globalThis.WebSocket as unknown as SocketConstructor } = this.#options
    try {
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
        onEnd: (code, livedMs, reconnectAfterMs) => { this.#lost(code, livedMs, reconnectAfterMs) }
      })
    } catch (cause) {
      // The next attempt would end as this one.
      const error = cause instanceof ConnectionError ? cause : new ConnectionError('CANNOT_CONNECT', 'no WebSocket takes it', cause)
      tell(this.#options.onError, error)
      this.#end({ code: 1006, error })
    }
  }

  #welcome (welcome: Frame): void {
    this.#userId = String(welcome['user_id'])
    this.#enter('open')
    // Whoever was told may have ended it.
    if (this.state !== 'open') return
    if (++this.#sessions > 1) this.#receiver.inbox.sync()
    this.#outgoing.open((text) => { this.#session?.write(text) }, Number(welcome['max_message_bytes']))
  }

  #take (frame: Frame): void {
    if (frame.type === 'ack' || (frame.type === 'error' && frame['msg_id'] !== undefined)) this.#outgoing.answered(frame)
    else if (frame.type === 'error') tell(this.#options.onError, new ConnectionError(String(frame['error_code']), String(frame['error_message'])))
    else this.#receiver.take(frame, this.#userId, (text) => { this.#session?.write(text) })
  }

  #lost (code: number, livedMs: number, reconnectAfterMs: number): void {
    this.#drop()
    const delayMs = this.#reconnect.afterClose(code, reconnectAfterMs, livedMs)
    if (delayMs === undefined) this.#end({ code })
    else {
      this.#notBeforeMs = isDelayOrdered(code) ? this.#clock.monotonicMs() + delayMs : 0
      this.#later(delayMs)
    }
  }

  #later (delayMs: number): void {
    if (this.#isHidden) this.#pause()
    else {
      this.#timer = this.#clock.setTimer(() => { this.#connect() }, delayMs)
      this.#enter('waiting')
    }
  }

  #pause (): void {
    this.#drop()
    this.#enter('paused')
  }

  #end (end: End): void {
    if (this.#state === 'ended') return
    this.#drop()
    this.#enter('ended')
    this.#outgoing.abandon()
    this.#receiver.inbox.close()
    this.#clock.end()
    tell(this.#options.onEnd, end)
  }

  /** No attempt and no session is under way any more. */
  #drop (): void {
    this.#attempt++
    this.#clock.clearTimer(this.#timer as never)
    this.#session?.close()
    this.#session = undefined
    this.#outgoing.closed()
  }

  #enter (state: ClientState): void {
    if (this.#state === state) return
    this.#state = state
    tell(this.#options.onState, state)
  }
}
