/**
 * What one connection sees, below the client library: each frame, ping and close is judged as it comes. A node that keeps
 * its promises gives every client what the protocol says, so nothing here asks how the client behaves.
 */
import type WebSocket from 'ws'
import { parseFrame, type Frame } from '../client/src/frames.ts'
import { ERRORS, type ErrorCode } from '../src/errors.ts'
import { CLOSE } from '../src/protocol/close-codes.ts'
import type { Stage } from './stage.ts'

/** Heartbeats are good to a second on both sides, and a ping may wait for a tick or two. */
export const HEARTBEAT_SLACK_MS = 3_000
/** Longer than any gateway asks a client to wait. */
const MAX_RECONNECT_AFTER_MS = 60_000
const TYPES: ReadonlySet<string> = new Set(['welcome', 'message', 'ack', 'error', 'heartbeat', 'auth', 'read_receipt', 'membership_change', 'shutdown'])
const STATUS_WITH_RETRY_AFTER: ReadonlySet<string> = new Set(['RATE_LIMIT_EXCEEDED', 'SERVICE_UNAVAILABLE', 'OVERLOADED', 'SERVER_SHUTDOWN'])
/** What may happen to a client that does nothing wrong. */
const BLAMELESS: ReadonlySet<number> = new Set([CLOSE.clientClosed.code, CLOSE.shutdown.code, CLOSE.overloaded.code])
/** A close frame without a code, which a client of ours may have asked for. */
const NO_STATUS = 1005

export interface WireOptions {
  readonly user: string
  /** The close codes that this client asks for, beyond those that come to anybody. */
  readonly expected?: ReadonlySet<number>
  /** It does not read, and cannot tell when a ping came. */
  readonly isDeaf?: boolean
  readonly onWelcome?: (frame: Frame) => void
  readonly onFrame?: (frame: Frame) => void
  readonly onClose?: (code: number) => void
}

export class Wire {
  readonly #stage: Stage
  readonly #options: WireOptions
  readonly #startedAtMs: number
  #welcomedAtMs: number | undefined
  #intervalMs = 0
  #pingedAtMs = 0
  #toldMs: number | undefined
  /** We have cut it ourselves. */
  isCut = false

  constructor (stage: Stage, options: WireOptions, socket: WebSocket) {
    this.#stage = stage
    this.#options = options
    this.#startedAtMs = stage.clock.monotonicMs()
    socket.on('message', (data, isBinary) => { this.#frame(isBinary ? undefined : parseFrame(String(data))) })
    socket.on('ping', () => { this.#ping() })
    socket.on('close', (code, reason) => { this.#closed(code, reason.toString()) })
    socket.on('error', () => { /* `close` follows */ })
    socket.on('unexpected-response', (request, response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => { body += text })
      response.once('close', () => {
        this.#refused(response.statusCode ?? 0, response.headers['retry-after'], body)
        socket.terminate()
      })
    })
  }

  /** Judges a ping that should have come by now. */
  checkPing (): void {
    if (this.#welcomedAtMs !== undefined && !this.isCut) this.#pingGap(false)
  }

  #frame (frame: Frame | undefined): void {
    const { verdict } = this.#stage
    const { user, onWelcome, onFrame } = this.#options
    verdict.judge('frames', frame !== undefined && TYPES.has(frame.type), () => `${user} got ${frame === undefined ? 'no frame' : `the type ${frame.type}`}`)
    if (frame === undefined) return
    if (this.#welcomedAtMs === undefined) this.#welcome(frame)
    if (frame.type === 'welcome') onWelcome?.(frame)
    else if (frame.type === 'error') this.#error(frame)
    else if (frame.type === 'shutdown') this.#toldMs = Number(frame['reconnect_after_ms'])
    onFrame?.(frame)
  }

  #welcome (frame: Frame): void {
    const { clock, verdict, limits } = this.#stage
    const now = this.#welcomedAtMs = this.#pingedAtMs = clock.monotonicMs()
    this.#intervalMs = Number(frame['heartbeat_interval_ms'])
    const tookMs = now - this.#startedAtMs
    verdict.judge('welcome', frame.type === 'welcome' && tookMs <= limits.welcomeWithinMs, () => `${this.#options.user}: ${frame.type} after ${Math.round(tookMs)} ms`)
  }

  #error (frame: Frame): void {
    const code = String(frame['error_code'])
    const row = ERRORS[code as ErrorCode] as typeof ERRORS[ErrorCode] | undefined
    const isRow = row !== undefined && (frame['retryable'] === undefined || frame['retryable'] === row.retryable)
    this.#stage.verdict.judge('errors', isRow, () => `${this.#options.user} got ${JSON.stringify(frame)}`)
    this.#stage.count(code)
  }

  #refused (status: number, retryAfter: string | undefined, body: string): void {
    let code = ''
    try {
      code = String((JSON.parse(body) as { error_code?: unknown }).error_code)
    } catch { /* no body of ours: judged below */ }
    const row = ERRORS[code as ErrorCode] as typeof ERRORS[ErrorCode] | undefined
    const isRow = row?.httpStatus === status && (!STATUS_WITH_RETRY_AFTER.has(code) || retryAfter !== undefined)
    // While nodes come and go, what stands before them answers in their place.
    if (row !== undefined || !this.#stage.isRestarting) this.#stage.verdict.judge('errors', isRow, () => `${this.#options.user} was refused with ${status} ${body.slice(0, 100)}`)
    this.#stage.count(code === '' ? String(status) : code)
  }

  #ping (): void {
    if (this.#welcomedAtMs === undefined || this.#options.isDeaf === true) return
    this.#pingGap(true)
    this.#pingedAtMs = this.#stage.clock.monotonicMs()
  }

  /** `isComplete`: a ping has come now. */
  #pingGap (isComplete: boolean): void {
    const gapMs = this.#stage.clock.monotonicMs() - this.#pingedAtMs
    const isLate = gapMs > this.#intervalMs + HEARTBEAT_SLACK_MS
    if (isComplete || isLate) this.#stage.verdict.judge('pings', !isLate, () => `${this.#options.user}: ${Math.round(gapMs)} ms without a ping, ${this.#intervalMs} were promised`)
  }

  #closed (code: number, reason: string): void {
    const { clock, verdict, limits, isRestarting } = this.#stage
    const { user, expected, onClose } = this.#options
    const waitedMs = clock.monotonicMs() - this.#startedAtMs
    if (this.#welcomedAtMs === undefined && waitedMs > limits.welcomeWithinMs) verdict.broken('welcome', `${user}: none in ${Math.round(waitedMs)} ms`)
    if (this.#welcomedAtMs !== undefined && !this.isCut && code !== NO_STATUS) {
      this.#stage.count(String(code))
      const known = Object.values(CLOSE).some((row) => row.code === code && (row.reason === reason || code === CLOSE.lost.code))
      verdict.judge('closes', known, () => `${user} was closed with ${code} "${reason}"`)
      const isFair = BLAMELESS.has(code) || expected?.has(code) === true || (isRestarting && code === CLOSE.lost.code)
      // A code of no table is told above.
      if (known) verdict.judge('stays', isFair, () => `${user} was closed with ${code} "${reason}"`)
      if (code === CLOSE.shutdown.code) {
        const toldMs = this.#toldMs
        const isTold = toldMs !== undefined && toldMs >= 0 && toldMs <= MAX_RECONNECT_AFTER_MS
        verdict.judge('shutdown', isTold, () => `${user} was told ${toldMs ?? 'nothing'}`)
        if (isTold) this.#stage.drained({ user, closedAtMs: clock.monotonicMs(), toldMs })
      }
    }
    onClose?.(code)
  }
}
