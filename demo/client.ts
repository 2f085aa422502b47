/** A small chat client for the demo and for tests: connects, acknowledges, sends, remembers what came. */
import { once } from 'node:events'
import WebSocket from 'ws'
import type { MessageType } from '../src/protocol/frames.ts'
import { SUBPROTOCOL } from '../src/protocol/subprotocol.ts'

/** A frame as it came. */
export type ServerFrame = Readonly<Record<string, unknown>> & { readonly type: string }

export interface ClientOptions {
  /** `ws://127.0.0.1:8080/ws`. */
  readonly url: string
  readonly token: string
  /** Only where the token carries no device. */
  readonly deviceId?: string
  /** Whether messages that ask for it are acknowledged as they come; default true. */
  readonly autoAck?: boolean
  /** Whether the gateway's pings are answered; default true. */
  readonly answerPings?: boolean
  /** For each wait that names no deadline of its own; default 5,000 ms. */
  readonly timeoutMs?: number
}

export interface Closed { readonly code: number, readonly reason: string }
export interface SendOptions { readonly msgId?: string, readonly messageType?: MessageType, readonly metadata?: Readonly<Record<string, string>> }
export interface Accepted { readonly msgId: string, readonly sequenceNumber: number }

/** The gateway answered the upgrade with an HTTP error. */
export class RefusedError extends Error {
  readonly status: number
  readonly code: string

  constructor (status: number, code: string) {
    super(`refused with ${status} ${code}`)
    this.name = 'RefusedError'
    this.status = status
    this.code = code
  }
}

/** The gateway answered a message with an error frame. */
export class SendError extends Error {
  readonly code: string
  readonly frame: ServerFrame

  constructor (frame: ServerFrame) {
    super(`the gateway answered ${String(frame['error_code'])}`)
    this.name = 'SendError'
    this.code = String(frame['error_code'])
    this.frame = frame
  }
}

interface Waiter { readonly matches: (frame: ServerFrame) => boolean, readonly found: (frame: ServerFrame) => void }

const TIMEOUT_MS = 5_000
let nextMsgId = 0

export class DemoClient {
  /** Everything that came, in order. */
  readonly frames: ServerFrame[] = []
  readonly #socket: WebSocket
  readonly #timeoutMs: number
  readonly #autoAck: boolean
  readonly #waiters = new Set<Waiter>()
  readonly #closed: Promise<Closed>
  readonly #prefix = `m-${process.pid.toString(36)}-${Date.now().toString(36)}`

  private constructor (socket: WebSocket, options: ClientOptions) {
    this.#socket = socket
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    this.#autoAck = options.autoAck ?? true
    this.#closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => { resolve({ code, reason: reason.toString() }) })
    })
    socket.on('error', () => {})
    socket.on('message', (data) => { this.#take(JSON.parse(String(data)) as ServerFrame) })
  }

  /** Resolves after `welcome`; rejects with a RefusedError where the upgrade was refused. */
  static async connect (options: ClientOptions): Promise<DemoClient> {
    const { url, token, deviceId, answerPings = true, timeoutMs = TIMEOUT_MS } = options
    const address = deviceId === undefined ? url : `${url}?device_id=${encodeURIComponent(deviceId)}`
    const socket = new WebSocket(address, SUBPROTOCOL, { headers: { authorization: `Bearer ${token}` }, handshakeTimeout: timeoutMs, autoPong: answerPings })
    const client = new DemoClient(socket, options)
    const refused = new Promise<never>((resolve, reject) => {
      socket.once('unexpected-response', (request, response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => { body += text })
        response.once('end', () => { reject(new RefusedError(response.statusCode ?? 0, errorCode(body))) })
        response.once('error', reject)
      })
    })
    await Promise.race([once(socket, 'open'), refused])
    await client.next('welcome')
    return client
  }

  get welcome (): ServerFrame {
    return this.frames[0] as ServerFrame
  }

  get isOpen (): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  /** Resolves to the sequence number; rejects with a SendError, or where nothing was answered in time. */
  async send (recipient: string, content: string, options: SendOptions = {}): Promise<Accepted> {
    const { msgId = `${this.#prefix}-${nextMsgId++}`, messageType, metadata } = options
    const answer = this.waitFor((frame) => frame['msg_id'] === msgId && (frame.type === 'ack' || frame.type === 'error'), `the answer to ${msgId}`)
    this.write({ type: 'send_msg', msg_id: msgId, recipient, content, timestamp: Date.now(), message_type: messageType, metadata })
    const frame = await answer
    if (frame.type === 'error') throw new SendError(frame)
    return { msgId, sequenceNumber: Number(frame['sequence_number']) }
  }

  /** A frame of any shape. */
  write (frame: object): void {
    this.#socket.send(JSON.stringify(frame))
  }

  acknowledge (msgId: string): void {
    this.write({ type: 'ack', msg_id: msgId })
  }

  /** The message with this id, whether it came already or not. */
  async message (msgId: string, timeoutMs?: number): Promise<ServerFrame> {
    const isIt = (frame: ServerFrame): boolean => frame.type === 'message' && frame['msg_id'] === msgId
    return this.frames.find(isIt) ?? await this.waitFor(isIt, `message ${msgId}`, timeoutMs)
  }

  /** How often a message came. */
  count (msgId: string): number {
    return this.frames.filter((frame) => frame.type === 'message' && frame['msg_id'] === msgId).length
  }

  /** The first frame of a type, whether it came already or not. */
  async next (type: string, timeoutMs?: number): Promise<ServerFrame> {
    return this.frames.find((frame) => frame.type === type) ?? await this.waitFor((frame) => frame.type === type, type, timeoutMs)
  }

  /** A frame that is yet to come. */
  async waitFor (matches: (frame: ServerFrame) => boolean, what: string, timeoutMs = this.#timeoutMs): Promise<ServerFrame> {
    let waiter: Waiter | undefined
    const found = new Promise<ServerFrame>((resolve) => { waiter = { matches, found: resolve } })
    if (waiter === undefined) throw new Error('no waiter')
    this.#waiters.add(waiter)
    try {
      return await within(Promise.race([found, this.#closed.then(({ code, reason }) => { throw new Error(`closed with ${code} ${reason} while waiting for ${what}`) })]), what, timeoutMs)
    } finally {
      this.#waiters.delete(waiter)
    }
  }

  /** Resolves when the socket is closed, by whomever. */
  async closed (timeoutMs = this.#timeoutMs): Promise<Closed> {
    return await within(this.#closed, 'the close', timeoutMs)
  }

  /** Stops reading: what the gateway writes stays in the kernel's buffers, then in the gateway's outbox. */
  pause (): void { this.#socket.pause() }
  resume (): void { this.#socket.resume() }
  /** A WebSocket ping. */
  ping (): void { this.#socket.ping() }

  async close (): Promise<void> {
    if (this.#socket.isPaused) this.#socket.resume()
    this.#socket.close(1000)
    await this.closed().catch(() => { this.#socket.terminate() })
  }

  terminate (): void { this.#socket.terminate() }

  #take (frame: ServerFrame): void {
    this.frames.push(frame)
    if (this.#autoAck && frame.type === 'message' && frame['ack_required'] === true) this.acknowledge(String(frame['msg_id']))
    for (const waiter of this.#waiters) if (waiter.matches(frame)) waiter.found(frame)
  }
}

/** Rejects where the promise has not settled in time. */
export async function within<T> (promise: Promise<T>, what: string, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((resolve, reject) => {
    timer = setTimeout(() => { reject(new Error(`no ${what} within ${timeoutMs} ms`)) }, timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function errorCode (body: string): string {
  try {
    return String((JSON.parse(body) as { error_code?: unknown }).error_code)
  } catch {
    return 'UNKNOWN'
  }
}
