/** One socket, from the request to its end: the wait for `welcome`, heartbeats, renewal of the token. */
import { SUBPROTOCOL } from '../../src/protocol/subprotocol.ts'
import { ask, type ClientClock } from './clock.ts'
import { ConnectionError } from './errors.ts'
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
  /** Told once. `code`: of the close, 1006 where there was none; `livedMs`: since the welcome, NaN where there was none; `reconnectAfterMs`: as the gateway announced its end, else NaN. */
  readonly onEnd: (code: number, livedMs: number, reconnectAfterMs: number) => void
}

/** For a token to come, at the start or for a renewal. */
export const TOKEN_TIMEOUT_MS = 10_000
const WELCOME_TIMEOUT_MS = 10_000
/** For a sign of life after the application came to the foreground. */
const PROBE_MS = 5_000
/** A token is renewed when so much of its life has gone; where that fails, when so much of the rest has. */
const RENEW_AT = 0.8
/** A gateway takes few tokens in a row: `auth` frames are no closer than this. */
const MIN_RENEW_MS = 1_000
/** Where a welcome names none; the timeout is so many intervals then. */
const HEARTBEAT_MS = 30_000
const TIMEOUT_INTERVALS = 3
const LOST = 1006
/** What may stand in a subprotocol (RFC 7230 section 3.2.6). */
const PROTOCOL = /^[\w!#$%&'*+.^`|~-]+$/

export class Session {
  readonly #options: SessionOptions
  readonly #socket: Socket
  #welcomedMs = NaN
  #isOver = false
  #heardMs = 0
  #reconnectAfterMs = NaN
  /** Of the welcome, then of the heartbeats. */
  #timer: unknown
  #renewal: unknown
  #probe: unknown
  /** When the last probe was sent. */
  #askedMs = 0

  /** Throws a ConnectionError where the token cannot be sent, and what the WebSocket throws where it does not take the address. */
  constructor (options: SessionOptions) {
    const { url, token, WebSocket, clock } = options
    this.#options = options
    // A provider that is no TypeScript may give nothing.
    if (typeof token !== 'string' || !PROTOCOL.test(token)) throw new ConnectionError('INVALID_TOKEN', 'no subprotocol may have such a token')
    this.#socket = new WebSocket(url.href, [SUBPROTOCOL, `bearer.${token}`])
    this.#timer = clock.setTimer(() => { this.#end(LOST) }, WELCOME_TIMEOUT_MS)
    this.#socket.onmessage = ({ data }: { readonly data: unknown }) => { this.#take(String(data)) }
    this.#socket.onclose = ({ code }: { readonly code: number }) => { this.#end(code) }
    // `close` follows.
    this.#socket.onerror = () => {}
  }

  /** Does nothing once the session is over. */
  write (frame: string): void {
    if (!this.#isOver) this.#socket.send(frame)
  }

  /** Whether a session that was welcomed still lives: timers may have stood still, so the heartbeats cannot tell. Without an answer it ends. */
  probe (): void {
    const { clock } = this.#options
    // One without an answer keeps its time.
    if (this.#heardMs < this.#askedMs) return
    clock.clearTimer(this.#probe as never)
    this.#askedMs = clock.monotonicMs()
    this.write('{"type":"heartbeat"}')
    this.#probe = clock.setTimer(() => {
      if (this.#heardMs < this.#askedMs) this.#end(LOST)
    }, PROBE_MS)
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
    else if (frame.type === 'auth') this.#renewWithin(lifeMs(frame))
    else if (frame.type === 'shutdown') this.#reconnectAfterMs = Number(frame['reconnect_after_ms'])
    else this.#options.onFrame(frame)
  }

  #welcome (frame: Frame): void {
    const { clock, onWelcome } = this.#options
    this.#welcomedMs = this.#heardMs
    clock.clearTimer(this.#timer as never)
    const [saidMs, timeoutMs] = [Number(frame['heartbeat_interval_ms']), Number(frame['heartbeat_timeout_ms'])]
    const intervalMs = saidMs > 0 ? saidMs : HEARTBEAT_MS
    this.#beat(intervalMs, timeoutMs > 0 ? timeoutMs : TIMEOUT_INTERVALS * intervalMs)
    this.#renewWithin(lifeMs(frame))
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

  #renewWithin (lifeMs: number): void {
    const { clock, renew } = this.#options
    clock.clearTimer(this.#renewal as never)
    // Nothing helped: the session ends with 4401, and the next one asks again.
    if (!(lifeMs > MIN_RENEW_MS)) return
    const delayMs = Math.max(MIN_RENEW_MS, lifeMs * RENEW_AT)
    this.#renewal = clock.setTimer(() => {
      // Until an `auth` frame says that it was taken.
      this.#renewWithin(lifeMs - delayMs)
      ask(clock, renew, TOKEN_TIMEOUT_MS).then((token) => { this.write(JSON.stringify({ type: 'auth', token })) }, () => {})
    }, delayMs)
  }

  #end (code: number): void {
    if (this.#isOver) return
    const { clock, onEnd } = this.#options
    this.#stop()
    this.#socket.close()
    onEnd(code, clock.monotonicMs() - this.#welcomedMs, this.#reconnectAfterMs)
  }

  #stop (): void {
    const { clock } = this.#options
    this.#isOver = true
    for (const timer of [this.#timer, this.#renewal, this.#probe]) clock.clearTimer(timer as never)
  }
}

/** What is left of the token's life, by the gateway's clock alone: ours may be wrong by more than that. */
function lifeMs (frame: Frame): number {
  return Number(frame['token_expires_at']) - Number(frame['timestamp'])
}
