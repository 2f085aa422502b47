/**
 * A WebSocket client on a bare TCP socket: small enough to have thousands of in one process, and free to break the
 * protocol. It masks with zeros, so what it writes is what it was given.
 */
import { connect, type Socket } from 'node:net'

export interface RawClientOptions {
  readonly port: number
  readonly token: string
  /** For each frame of the node, the welcome included. The payload is only valid during the call. */
  readonly onFrame?: (client: RawClient, opcode: number, payload: Buffer) => void
}

export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

const REQUEST = 'GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
const SWITCHING = 'HTTP/1.1 101 '
const HEAD_END = '\r\n\r\n'

/** A whole masked frame. */
function clientFrame (opcode: number, payload: string | Buffer): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload
  const head = body.length < 126 ? Buffer.from([0x80 | opcode, 0x80 | body.length, 0, 0, 0, 0]) : Buffer.from([0x80 | opcode, 0x80 | 126, body.length >> 8, body.length & 255, 0, 0, 0, 0])
  return Buffer.concat([head, body])
}

export class RawClient {
  readonly socket: Socket
  /** Resolves when the socket is closed, by whomever and however. */
  readonly closed: Promise<void>
  readonly #onFrame: RawClientOptions['onFrame']
  #rest: Buffer | undefined
  #welcome: ((welcomed: boolean) => void) | undefined
  #isUpgraded = false

  private constructor (options: RawClientOptions, welcome: (welcomed: boolean) => void) {
    this.#onFrame = options.onFrame
    this.#welcome = welcome
    const socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true })
    this.socket = socket
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#settle(false)
        resolve()
      })
    })
    socket.on('error', () => {})
    socket.on('data', (data) => { this.#take(data) })
    socket.write(`${REQUEST}Authorization: Bearer ${options.token}\r\n\r\n`)
  }

  /** Asks for the upgrade. `welcomed` resolves to false where the socket closes before the first text frame. */
  static open (options: RawClientOptions): { readonly client: RawClient, readonly welcomed: Promise<boolean> } {
    let settle: (welcomed: boolean) => void = () => {}
    const welcomed = new Promise<boolean>((resolve) => { settle = resolve })
    return { client: new RawClient(options, settle), welcomed }
  }

  /** Resolves after the welcome; rejects where there was none. */
  static async connect (options: RawClientOptions): Promise<RawClient> {
    const { client, welcomed } = RawClient.open(options)
    if (!await welcomed) throw new Error('no welcome')
    return client
  }

  send (frame: object): void {
    this.write(OPCODE.text, JSON.stringify(frame))
  }

  write (opcode: number, payload: string | Buffer = ''): void {
    this.socket.write(clientFrame(opcode, payload))
  }

  /** Starts the closing handshake; the node closes the socket. */
  close (code = 1000): void {
    this.write(OPCODE.close, Buffer.from([code >> 8, code & 255]))
  }

  /** Where its end is under way already, Node would wait for that and may never close the socket. */
  reset (): void {
    if (this.socket.writableEnded) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }

  #settle (welcomed: boolean): void {
    this.#welcome?.(welcomed)
    this.#welcome = undefined
  }

  #take (data: Buffer): void {
    let bytes = this.#rest === undefined ? data : Buffer.concat([this.#rest, data])
    this.#rest = undefined
    if (!this.#isUpgraded) {
      const end = bytes.indexOf(HEAD_END)
      if (end === -1) {
        this.#rest = bytes
        return
      }
      if (bytes.toString('latin1', 0, SWITCHING.length) !== SWITCHING) return
      this.#isUpgraded = true
      bytes = bytes.subarray(end + HEAD_END.length)
    }
    let at = 0
    while (bytes.length - at >= 2) {
      const short = (bytes[at + 1] as number) & 127
      const headLength = short < 126 ? 2 : short === 126 ? 4 : 10
      if (bytes.length - at < headLength) break
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
      if (bytes.length - at < headLength + length) break
      this.#frame((bytes[at] as number) & 15, bytes.subarray(at + headLength, at + headLength + length))
      at += headLength + length
    }
    // A copy: what is left of a large chunk would keep all of it.
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at))
  }

  #frame (opcode: number, payload: Buffer): void {
    if (opcode === OPCODE.text) this.#settle(true)
    else if (opcode === OPCODE.close && this.socket.writable) this.socket.end(clientFrame(OPCODE.close, payload))
    this.#onFrame?.(this, opcode, payload)
  }
}
