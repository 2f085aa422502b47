/**
 * A gateway for one client under test, on a free port of loopback. It reads and writes by the gateway's own tables,
 * decoders and encoders, so it speaks what a real one speaks; but what happens is a situation's choice, the faults above all
 * that no real one commits when asked.
 */
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { errorBody, ERRORS, type ErrorCode } from '../src/errors.ts'
import { encodeWelcome } from '../src/protocol/encode.ts'
import { readHandshake } from '../src/protocol/handshake.ts'
import { SUBPROTOCOL } from '../src/protocol/subprotocol.ts'
import { GatewaySession } from './gateway-session.ts'
import { Journal } from './journal.ts'

export interface GatewaySettings {
  readonly tokenLifeMs: number
  /** How far the gateway's clock is ahead of the client's. */
  readonly clockOffsetMs: number
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
  readonly maxMessageBytes: number
  readonly welcomeAfterMs: number
}

/** An upgrade that the client asked for; monotonic milliseconds. */
export interface Attempt { readonly atMs: number, readonly token: string, readonly subprotocols: string | undefined }
interface Token { readonly issuedMs: number, readonly expiresAt: number }

const DEFAULTS: GatewaySettings = { tokenLifeMs: 3_600_000, clockOffsetMs: 0, heartbeatIntervalMs: 30_000, heartbeatTimeoutMs: 90_000, maxMessageBytes: 10_240, welcomeAfterMs: 0 }
const SECRET = randomUUID()

export class TestGateway {
  readonly attempts = new Journal<Attempt>()
  readonly sessions = new Journal<GatewaySession>()
  /** What the client sent and no gateway would take. */
  readonly faults: string[] = []
  /** With what every upgrade is refused; undefined: they are not. */
  refusal: ErrorCode | undefined
  /** Called with each session before its welcome. */
  onSession: (session: GatewaySession) => void = () => {}
  readonly #settings: GatewaySettings
  readonly #tokens = new Map<string, Token>()
  readonly #server = createServer((request, response) => { response.end(request.url === '/token' ? this.#mint() : '') })
  readonly #sockets = new WebSocketServer({ noServer: true, clientTracking: true, autoPong: false, perMessageDeflate: false, handleProtocols: (offered) => offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false })

  constructor (settings: Partial<GatewaySettings> = {}) {
    this.#settings = { ...DEFAULTS, ...settings }
    this.#server.on('upgrade', (request: IncomingMessage, stream: Duplex, head: Buffer) => { this.#upgrade(request, stream, head) })
  }

  async listen (): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** What the client is told of it. */
  get env (): { readonly IM_URL: string, readonly IM_TOKEN_URL: string } {
    const { port } = this.#server.address() as AddressInfo
    return { IM_URL: `ws://127.0.0.1:${port}/ws`, IM_TOKEN_URL: `http://127.0.0.1:${port}/token` }
  }

  /** The n-th session, from 0. */
  session (n: number, timeoutMs = 40_000): Promise<GatewaySession> {
    return this.sessions.next(n === 0 ? 'connection' : 'new connection', () => true, { from: n, timeoutMs })
  }

  /** The attempt that comes after a monotonic moment. */
  attemptAfter (atMs: number, timeoutMs: number): Promise<Attempt> {
    return this.attempts.next('attempt to connect again', (attempt) => attempt.atMs > atMs, { timeoutMs })
  }

  /** When a token was issued, in monotonic milliseconds; undefined: it is not one of ours. */
  issuedMs (token: string): number | undefined {
    return this.#tokens.get(token)?.issuedMs
  }

  async close (): Promise<void> {
    for (const session of this.sessions.all) session.end()
    this.attempts.end()
    this.sessions.end()
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #now (): number {
    return Date.now() + this.#settings.clockOffsetMs
  }

  #mint (): string {
    const now = this.#now()
    const expiresAt = now + this.#settings.tokenLifeMs
    const [header, claims] = [{ alg: 'HS256', typ: 'JWT' }, { user_id: 'ann', device_id: 'phone', iat: now / 1_000, exp: expiresAt / 1_000, jti: randomUUID() }]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    const token = `${header}.${claims}.${createHmac('sha256', SECRET).update(`${header}.${claims}`).digest('base64url')}`
    this.#tokens.set(token, { issuedMs: performance.now(), expiresAt })
    return token
  }

  #upgrade (request: IncomingMessage, stream: Duplex, head: Buffer): void {
    stream.on('error', () => { /* the client is gone: its session hears of it */ })
    const reading = readHandshake(request.rawHeaders, request.url ?? '', { allowQueryToken: false })
    const token = reading.ok ? reading.handshake.token : ''
    this.attempts.add({ atMs: performance.now(), token, subprotocols: request.headers['sec-websocket-protocol'] })
    const refusal = this.refusal ?? (reading.ok ? this.#faultOf(token) : reading.code)
    if (refusal !== undefined) {
      const body = JSON.stringify(errorBody(refusal))
      stream.end(`HTTP/1.1 ${ERRORS[refusal].httpStatus} Refused\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
      return
    }
    this.#sockets.handleUpgrade(request, stream, head, (socket) => {
      const { maxMessageBytes, welcomeAfterMs } = this.#settings
      const session = new GatewaySession({
        socket,
        stream,
        token,
        maxMessageBytes,
        now: () => this.#now(),
        expiryOf: (fresh) => this.#tokens.get(fresh)?.expiresAt,
        onFault: (fault) => { this.faults.push(fault) }
      })
      this.onSession(session)
      setTimeout(() => {
        this.#welcome(session)
        this.sessions.add(session)
      }, welcomeAfterMs)
    })
  }

  #faultOf (token: string): ErrorCode | undefined {
    const known = this.#tokens.get(token)
    if (known === undefined) return 'INVALID_TOKEN'
    return known.expiresAt > this.#now() ? undefined : 'TOKEN_EXPIRED'
  }

  #welcome (session: GatewaySession): void {
    const { heartbeatIntervalMs, heartbeatTimeoutMs, maxMessageBytes } = this.#settings
    session.write(encodeWelcome({
      connectionId: randomUUID(), userId: 'ann', deviceId: 'phone', nodeId: 'conformance', heartbeatIntervalMs, heartbeatTimeoutMs, maxMessageBytes, tokenExpiresAtMs: this.#tokens.get(session.token)?.expiresAt ?? 0
    }, this.#now()))
  }
}
