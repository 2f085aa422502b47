/** A client that keeps to the protocol: the client library, over a socket that judges what comes. */
import WebSocket from 'ws'
import { realClock } from '../client/src/clock.ts'
import { ImClient, SendError, type SocketConstructor } from '../client/src/index.ts'
import { CLOSE } from '../src/protocol/close-codes.ts'
import { DEVICE, type Stage } from './stage.ts'
import { Wire } from './wire.ts'

/** Of a clock that is wrong: behind, so that timestamps are old and tokens seem to live longer than they do. */
export const SKEW_MS = -3_600_000

export interface VirtualClientOptions {
  readonly user: string
  readonly skewMs?: number
}

export class VirtualClient {
  readonly user: string
  readonly #stage: Stage
  /** Whose clock is behind renews its token too late. */
  readonly #expected: ReadonlySet<number>
  readonly #client: ImClient
  #wire: Wire | undefined
  #socket: WebSocket | undefined
  #lastId = 0
  #isEnding = false

  constructor (stage: Stage, { user, skewMs = 0 }: VirtualClientOptions) {
    this.user = user
    this.#stage = stage
    this.#expected = new Set(skewMs < 0 ? [CLOSE.tokenExpired.code] : [])
    this.#client = new ImClient({
      url: () => stage.url(user),
      token: () => stage.token(user),
      deviceId: DEVICE,
      WebSocket: this.#socketClass(),
      clock: { ...realClock, unixMs: () => stage.clock.unixMs() + skewMs },
      random: stage.random,
      sendTimeoutMs: stage.limits.acceptWithinMs,
      onMessage: ({ msgId, sender }) => { if (sender !== user) stage.ledger.shown(msgId) }
    })
  }

  /** Not from a cut on, although the library hears of it a moment later. */
  get isOpen (): boolean { return this.#client.state === 'open' && this.#wire?.isCut === false }

  start (): void { this.#client.start() }

  /** Messages whose outcome is not known yet. */
  get waiting (): number { return this.#client.waiting }

  /** Resolves once the message was accepted or given up; never rejects. */
  async send (recipient: string, prefix: string, bytes = 0): Promise<void> {
    const { clock, ledger, limits } = this.#stage
    const msgId = `${prefix}-${++this.#lastId}`
    const content = msgId.padEnd(bytes, '.')
    ledger.sent(msgId, this.user, recipient, content, clock.monotonicMs())
    try {
      const { sequenceNumber } = await this.#client.send(recipient, content, { msgId })
      ledger.acceptedAs(msgId, sequenceNumber, clock.monotonicMs())
      this.#stage.verdict.judge('accepted', true, () => '')
    } catch (error) {
      if (this.#isEnding) return
      const why = error instanceof SendError ? error.code : `no answer in ${limits.acceptWithinMs} ms`
      this.#stage.verdict.broken('accepted', `${msgId} of ${this.user}: ${why}`)
    }
  }

  /** Cuts the connection as a lost network would; the client comes back by itself. */
  cut (): void {
    if (this.#wire !== undefined) this.#wire.isCut = true
    this.#socket?.terminate()
  }

  checkPing (): void {
    if (this.isOpen) this.#wire?.checkPing()
  }

  close (): void {
    this.#isEnding = true
    if (this.#wire !== undefined) this.#wire.isCut = true
    this.#client.close()
  }

  /** A new socket with a judge of its own for each session. */
  #socketClass (): SocketConstructor {
    const connected = (socket: WebSocket): void => { this.#connected(socket) }
    return class extends WebSocket {
      constructor (url: string, protocols: string[]) {
        super(url, protocols)
        connected(this)
      }
    } as unknown as SocketConstructor
  }

  #connected (socket: WebSocket): void {
    const { user } = this
    const { clock, ledger } = this.#stage
    this.#stage.connecting(user)
    const wire = new Wire(this.#stage, {
      user,
      expected: this.#expected,
      onWelcome: () => { ledger.came(user, clock.monotonicMs()) },
      onFrame: (frame) => {
        if (frame.type !== 'message') return
        const { msg_id: msgId, sender, recipient, content, sequence_number: sequenceNumber } = frame
        ledger.received(user, socket, { msgId: String(msgId), sender: String(sender), recipient: String(recipient), content: String(content), sequenceNumber: Number(sequenceNumber) }, clock.monotonicMs())
      },
      onClose: () => { ledger.left(user, clock.monotonicMs()) }
    }, socket)
    this.#wire = wire
    this.#socket = socket
  }
}
