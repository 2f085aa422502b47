/** Clients that do not keep to the protocol, on bare sockets: what becomes of them is a promise as well. */
import WebSocket from 'ws'
import { CLOSE } from '../src/protocol/close-codes.ts'
import { SUBPROTOCOL } from '../src/protocol/subprotocol.ts'
import { DEVICE, type Stage } from './stage.ts'
import { HEARTBEAT_SLACK_MS, Wire, type WireOptions } from './wire.ts'

/** Below the handshakes of one user a minute that a gateway allows by default. */
export const FLAP_MS = 2_000

interface Opened { readonly socket: WebSocket, readonly wire: Wire }
interface Handlers extends Omit<WireOptions, 'user'> { readonly answerPings?: boolean }

/** A bare socket with a token; its `close` follows where it is not let in. Rejects where there is no token. */
export async function open (stage: Stage, user: string, { answerPings = true, ...handlers }: Handlers): Promise<Opened> {
  const token = await stage.token(user)
  const address = new URL(stage.url(user))
  address.searchParams.set('device_id', DEVICE)
  const socket = new WebSocket(address, [SUBPROTOCOL, `bearer.${token}`], { autoPong: answerPings })
  return { socket, wire: new Wire(stage, { user, ...handlers }, socket) }
}

/** Comes, and is gone again before it has said a word; over and over until it is closed. */
export class FlappingClient {
  readonly #stage: Stage
  readonly #user: string
  #opened: Opened | undefined
  #isOver = false

  constructor (stage: Stage, user: string) {
    this.#stage = stage
    this.#user = user
  }

  async run (): Promise<void> {
    while (!this.#isOver) {
      this.#cut()
      // A token or a pause that fails ends it: the others tell why.
      this.#opened = await open(this.#stage, this.#user, {})
      await this.#stage.pause(FLAP_MS * (0.75 + 0.5 * this.#stage.random()))
    }
  }

  close (): void {
    this.#isOver = true
    this.#cut()
  }

  #cut (): void {
    if (this.#opened === undefined) return
    this.#opened.wire.isCut = true
    this.#opened.socket.terminate()
  }
}

/** Its network has gone: it answers no ping and says nothing, and must be closed with 4000 at its time. */
export class HalfOpenClient {
  readonly #stage: Stage
  readonly #user: string
  #opened: Opened | undefined
  #dueAtMs = Infinity
  #timeoutMs = 0

  constructor (stage: Stage, user: string) {
    this.#stage = stage
    this.#user = user
  }

  async run (): Promise<void> {
    const { clock } = this.#stage
    this.#opened = await open(this.#stage, this.#user, {
      expected: new Set([CLOSE.heartbeatTimeout.code]),
      answerPings: false,
      onWelcome: (frame) => {
        this.#timeoutMs = Number(frame['heartbeat_timeout_ms'])
        this.#dueAtMs = clock.monotonicMs() + this.#timeoutMs
      },
      onClose: (code) => {
        // Cut by ourselves, or drained before its time had come.
        if (this.#opened?.wire.isCut === true || code !== CLOSE.heartbeatTimeout.code) return
        this.#judge()
      }
    })
  }

  close (): void {
    if (this.#opened === undefined) return
    const { wire, socket } = this.#opened
    if (socket.readyState === WebSocket.OPEN && this.#stage.clock.monotonicMs() > this.#dueAtMs + HEARTBEAT_SLACK_MS) this.#judge()
    wire.isCut = true
    socket.terminate()
  }

  #judge (): void {
    const lateMs = this.#stage.clock.monotonicMs() - this.#dueAtMs
    // The gateway counts from its last look, which may be a tick before the welcome.
    this.#stage.verdict.judge('halfOpen', Math.abs(lateMs) <= HEARTBEAT_SLACK_MS, () => `${this.#user}: ${Math.round(lateMs + this.#timeoutMs)} ms, ${this.#timeoutMs} were promised`)
  }
}

/** Stops reading after the welcome: what is sent to it waits, first in the network, then in the gateway, until that closes it. */
export class SlowClient {
  readonly user: string
  readonly #stage: Stage
  #opened: Opened | undefined
  /** Of its end; undefined: it is still there. */
  code: number | undefined
  maxMessageBytes: number | undefined

  constructor (stage: Stage, user: string) {
    this.#stage = stage
    this.user = user
  }

  async run (): Promise<void> {
    this.#opened = await open(this.#stage, this.user, {
      expected: new Set([CLOSE.slowConsumer.code, CLOSE.lost.code]),
      isDeaf: true,
      onWelcome: (frame) => { this.maxMessageBytes = Number(frame['max_message_bytes']) },
      onClose: (code) => { this.code = code }
    })
  }

  pause (): void { this.#opened?.socket.pause() }
  /** The close frame waits behind all that was not read. */
  resume (): void { this.#opened?.socket.resume() }

  close (): void {
    if (this.#opened === undefined) return
    this.#opened.wire.isCut = true
    this.#opened.socket.terminate()
  }
}
