/** A WebSocket whose other end is the test. */
import type { Socket } from '../../client/src/socket.ts'

export type Sent = Readonly<Record<string, unknown>> & { readonly type: string }

/** The sockets that a client opened, the last one last. */
export class FakeNetwork {
  readonly sockets: FakeWebSocket[] = []
  readonly WebSocket: new (url: string, protocols: string[]) => FakeWebSocket

  constructor () {
    const { sockets } = this
    this.WebSocket = class extends FakeWebSocket {
      constructor (url: string, protocols: string[]) {
        super(url, protocols)
        sockets.push(this)
      }
    }
  }

  get last (): FakeWebSocket {
    const socket = this.sockets.at(-1)
    if (socket === undefined) throw new Error('no socket was opened')
    return socket
  }
}

export class FakeWebSocket implements Socket {
  readonly url: string
  readonly protocols: readonly string[]
  readonly sent: Sent[] = []
  isClosed = false
  onopen: Socket['onopen'] = null
  onmessage: ((event: { readonly data: string }) => void) | null = null
  onclose: ((event: { readonly code: number }) => void) | null = null
  onerror: Socket['onerror'] = null

  constructor (url: string, protocols: string[]) {
    this.url = url
    this.protocols = protocols
  }

  send (text: string): void { this.sent.push(JSON.parse(text) as Sent) }
  close (): void { this.isClosed = true }

  /** A frame of the gateway. */
  give (frame: object | string): void { this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) }) }

  welcome (fields: object = {}): void {
    this.give({ type: 'welcome', user_id: 'ann', device_id: 'phone', heartbeat_interval_ms: 30_000, heartbeat_timeout_ms: 90_000, max_message_bytes: 1_000, token_expires_at: 1_700_003_600_000, timestamp: 1_700_000_000_000, ...fields })
  }

  /** The connection is closed, by the gateway or by the network. */
  end (code: number): void {
    this.isClosed = true
    this.onclose?.({ code })
  }

  of (type: string): Sent[] { return this.sent.filter((frame) => frame.type === type) }
}
