/** One connection of the client under test, from the gateway's side: what it sends is kept, what it gets is the situation's choice. */
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { ERRORS, type ErrorCode } from '../src/errors.ts'
import { decode } from '../src/protocol/decode.ts'
import { encodeAck, encodeAuth, encodeError, encodeHeartbeat, encodeMessage, encodeShutdown, type ErrorFacts } from '../src/protocol/encode.ts'
import type { ClientFrame, ClientFrameType, OutboundMessage, SendFrame } from '../src/protocol/frames.ts'
import { Journal } from './journal.ts'

export interface SessionOptions {
  readonly socket: WebSocket
  /** Below it: prebuilt frames go there, and it can be cut. */
  readonly stream: Duplex
  readonly token: string
  readonly maxMessageBytes: number
  /** Unix milliseconds of the gateway. */
  readonly now: () => number
  /** When a token ends, by the same clock; undefined: it is not one of ours. */
  readonly expiryOf: (token: string) => number | undefined
  /** What no gateway would take. */
  readonly onFault: (fault: string) => void
}

export interface Received<F extends ClientFrame = ClientFrame> { readonly frame: F, readonly atMs: number }
export interface Closed { readonly code: number, readonly atMs: number }

export class GatewaySession {
  readonly token: string
  readonly frames = new Journal<Received>()
  readonly closes = new Journal<Closed>()
  readonly pongs = new Journal<string>()
  /** Frames over the limit, by size; each is answered with a close. */
  readonly oversize: number[] = []
  readonly #options: SessionOptions
  #sequence = 0
  /** How a message is answered; default: with an ack. */
  onSend: (frame: SendFrame) => void = (frame) => { this.ack(frame.msgId) }
  /** How a renewal is answered; default: it is taken. */
  onAuth: (token: string) => void = (token) => { this.renewed(token) }
  /** Answers nothing, not even pings. */
  isSilent = false

  constructor (options: SessionOptions) {
    const { socket, token } = options
    this.#options = options
    this.token = token
    socket.on('message', (data, isBinary) => { this.#take(data as Buffer, isBinary) })
    socket.on('ping', (data) => { if (!this.isSilent) socket.pong(data) })
    socket.on('pong', (data) => { this.pongs.add(data.toString()) })
    socket.on('close', (code) => { this.closes.add({ code, atMs: performance.now() }) })
    socket.on('error', (error) => { options.onFault(error.message) })
  }

  get isOpen (): boolean { return this.closes.length === 0 }

  /** Messages that came, in order. */
  get sent (): SendFrame[] {
    return this.frames.all.flatMap(({ frame }) => frame.type === 'send_msg' ? [frame] : [])
  }

  /** The first frame of a type that matches; rejects where none comes in time. */
  next<T extends ClientFrameType> (type: T, matches: (frame: Extract<ClientFrame, { type: T }>) => boolean = () => true, timeoutMs?: number): Promise<Received<Extract<ClientFrame, { type: T }>>> {
    const isIt = ({ frame }: Received): boolean => frame.type === type && matches(frame as Extract<ClientFrame, { type: T }>)
    return this.frames.next(`${type} frame`, isIt, { ...(timeoutMs !== undefined && { timeoutMs }) }) as Promise<Received<Extract<ClientFrame, { type: T }>>>
  }

  /** Bytes of a whole frame, as the encoders make them. */
  write (frame: Buffer): void {
    if (this.isOpen) this.#options.stream.write(frame)
  }

  /** A frame of any shape. */
  say (frame: object): void {
    this.#options.socket.send(JSON.stringify(frame))
  }

  /** A message from bob, unless `fields` say otherwise. */
  push (msgId: string, sequenceNumber: number, fields: Partial<OutboundMessage> = {}, ackRequired = true): void {
    this.write(encodeMessage({ msgId, sender: 'bob', recipient: 'ann', content: `message ${sequenceNumber}`, messageType: 'text', metadata: undefined, timestamp: this.#options.now(), sequenceNumber, ...fields }, ackRequired))
  }

  ack (msgId: string, sequenceNumber = ++this.#sequence): void {
    this.write(encodeAck(msgId, sequenceNumber, this.#options.now()))
  }

  error (code: ErrorCode, facts: ErrorFacts = {}): void {
    this.write(encodeError(code, this.#options.now(), facts))
  }

  renewed (token: string): void {
    const expiresAt = this.#options.expiryOf(token)
    if (expiresAt === undefined) this.error('INVALID_TOKEN')
    else this.write(encodeAuth(expiresAt, this.#options.now()))
  }

  /** Announces the end; the close is another call. */
  shutdown (reconnectAfterMs: number): void {
    this.write(encodeShutdown(reconnectAfterMs, this.#options.now()))
  }

  ping (data: string): void {
    this.#options.socket.ping(data)
  }

  /** Resolves to the monotonic time of the close. */
  close ({ code, reason }: { readonly code: number, readonly reason: string }): number {
    this.#options.socket.close(code, reason)
    return performance.now()
  }

  /** As a network does: no close frame. Resolves to the monotonic time. */
  cut (): number {
    this.#options.socket.terminate()
    return performance.now()
  }

  /** Nobody waits for it any more. */
  end (): void {
    for (const journal of [this.frames, this.closes, this.pongs]) journal.end()
  }

  #take (data: Buffer, isBinary: boolean): void {
    const { maxMessageBytes, onFault, now } = this.#options
    if (data.length > maxMessageBytes) {
      this.oversize.push(data.length)
      this.close({ code: 1009, reason: 'message_too_large' })
      return
    }
    if (isBinary) onFault('a binary frame')
    const decoded = decode(data.toString())
    if (!decoded.ok) {
      onFault(`${ERRORS[decoded.code].text}: ${data.toString().slice(0, 200)}`)
      this.error(decoded.code, { msgId: decoded.msgId })
      return
    }
    const { frame } = decoded
    this.frames.add({ frame, atMs: performance.now() })
    if (this.isSilent) return
    if (frame.type === 'send_msg') this.onSend(frame)
    else if (frame.type === 'auth') this.onAuth(frame.token)
    else if (frame.type === 'heartbeat') this.write(encodeHeartbeat(now(), frame.timestamp))
  }
}
