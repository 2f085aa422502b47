/** One socket, from the request to its end: the wait for `welcome`, heartbeats, renewal of the token. */
import { SUBPROTOCOL } from '../../src/protocol/subprotocol.ts'
import type { ClientClock } from './clock.ts'
import { parseFrame, type Frame } from './frames.ts'
import type { Socket, SocketConstructor } from './socket.ts'

export interface SessionOptions {
  readonly url: URL
  readonly token: string
  readonly WebSocket: SocketConstructor
  readonly clock: ClientClock
  /** A token for the same user and device that is good now. */
  readonly renew: () => string | Promise<string>
  readonly onWelcome: (welcome: Frame) => void
  readonly onFrame: (frame: Frame) => void
  /** Told once. `code`: of the close, 1006 where there was none; `reconnectAfterMs`: where the gateway announced its end. */
  readonly onEnd: (code: number, wasWelcomed: boolean, reconnectAfterMs: number | undefined) => void
}

const WELCOME_TIMEOUT_MS = 10_000
/** A token is renewed when so much of its life has gone. */
const RENEW_AT = 0.8
const LOST = 1006

export class Session {
  readonly #options: SessionOptions
  readonly #socket: Socket
  #isWelcomed = false
  #isOver = false
  #heardMs = 0
  #reconnectAfterMs: number | undefined
  /** Of the welcome, then of the heartbeats. */
  #timer: unknown
  #renewal: unknown

  constructor (options: SessionOptions) {
    const { url, token, WebSocket, clock } = options
    this.#options = options
    this.#socket = new WebSocket(url.href, [SUBPROTOCOL, `bearer.${token}`])
    this.#timer = clock.setTimer(() => { this.#end(LOST) }, WELCOME_TIMEOUT_MS)
    this.#socket.onmessage = ({ data }) => { this.#take(String(data)) }
    this.#socket.onclose = ({ code }) => { this.#end(code) }
    // `close` follows.
    this.#socket.onerror = () => {}
  }

  /** Does nothing once the session is over. */
  write (frame: string): void {
    if (!this.#isOver) this.#socket.send(frame)
  }

  /** Ends it without a word to `onEnd`. */
  close (): void {
    this.#stop()
    this.#socket.close(1000)
  }

  #take (text: string): void {
    const frame = parseFrame(text)
    if (this.#isOver || frame === undefined) return
    this.#heardMs = this.#options.clock.monotonicMs()
    if (frame.type === 'welcome') this.#welcome(frame)
    else if (frame.type === 'auth') this.#renewBefore(Number(frame['token_expires_at']))
    else if (frame.type === 'shutdown') this.#reconnectAfterMs = Number(frame['reconnect_after_ms'])
    else this.#options.onFrame(frame)
  }

  #welcome (frame: Frame): void {
    const { clock, onWelcome } = this.#options
    this.#isWelcomed = true
    clock.clearTimer(this.#timer as never)
    this.#beat(Number(frame['heartbeat_interval_ms']), Number(frame['heartbeat_timeout_ms']))
    this.#renewBefore(Number(frame['token_expires_at']))
    onWelcome(frame)
  }

  /** The gateway's pings cannot be seen from a browser: heartbeat frames of our own show that both live. */
  #beat (intervalMs: number, timeoutMs: number): void {
    const { clock } = this.#options
    this.#timer = clock.setTimer(() => {
      if (clock.monotonicMs() - this.#heardMs >= timeoutMs) {
        this.#end(LOST)
        return
      }
      this.write('{"type":"heartbeat"}')
      this.#beat(intervalMs, timeoutMs)
    }, intervalMs)
  }

  #renewBefore (expiresAtMs: number): void {
    const { clock, renew } = this.#options
    clock.clearTimer(this.#renewal as never)
    this.#renewal = clock.setTimer(() => {
      // A token that does not come ends the session with 4401, and the next session asks again.
      Promise.resolve().then(renew).then((token) => { this.write(JSON.stringify({ type: 'auth', token })) }, () => {})
    }, Math.max(0, expiresAtMs - clock.unixMs()) * RENEW_AT)
  }

  #end (code: number): void {
    if (this.#isOver) return
    this.#stop()
    this.#socket.close()
    this.#options.onEnd(code, this.#isWelcomed, this.#reconnectAfterMs)
  }

  #stop (): void {
    const { clock } = this.#options
    this.#isOver = true
    clock.clearTimer(this.#timer as never)
    clock.clearTimer(this.#renewal as never)
  }
}
