/**
 * The socket driver over `ws`: what the outbox and the sessions do to a socket, and what happens on it. A socket passes its
 * events on in an `emit` of its own: listeners would take half a kilobyte of memory a socket.
 */
import type { ServerResponse } from 'node:http'
import type { Socket as NetSocket } from 'node:net'
import { WebSocket } from 'ws'
import type { Socket, SocketDriver } from '../../src/ports.ts'
import type { Connection } from '../../src/connections/connection.ts'
import type { CloseKind } from '../../src/protocol/close-codes.ts'

const kConnection = Symbol('connection')
// RFC 6455 section 5.5.2: FIN, opcode 9, no payload.
const PING = Buffer.from([0x89, 0x00])

/** What an error of the peer is in the table of close codes, if not a protocol error; `ws` has sent the code when it tells us. */
const ERROR_KINDS: Readonly<Record<string, CloseKind>> = {
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 'tooLarge',
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 'tooLarge',
  WS_ERR_INVALID_UTF8: 'invalidUtf8',
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 'tooManyFragments'
}
const NO_EXTENSIONS = Object.freeze({})
/** What `ws` says where no close frame came. */
const ABNORMAL = 1006

type Raw = NetSocket & { [kConnection]?: Connection | undefined, _httpMessage?: ServerResponse | null, _peername?: object | undefined }

/** Who is told what happens on a socket. */
export interface SocketEvents {
  onFrame (connection: Connection, data: Buffer, isBinary: boolean): void
  /** A ping or a pong; whether a ping is to be answered. */
  onControl (connection: Connection): boolean
  onDrained (connection: Connection): void
  /** A close frame of ours, or of `ws` to a violation, is about to be written. */
  onClosing (connection: Connection): void
  /** Whatever code the client gave, it closed: the others of the table are ours to say. */
  onClosed (connection: Connection, kind: CloseKind): void
}

/** The driver and the kind of socket of one app; `bind` names who is told, before the first socket is attached. */
export interface WsSockets {
  readonly driver: SocketDriver
  /** What the server makes of an upgrade. */
  readonly WebSocket: typeof WebSocket
  bind (events: SocketEvents): void
  attach (ws: WebSocket, connection: Connection): void
}

/** A socket of a device. */
abstract class DeviceSocket extends WebSocket {
  declare readonly _socket: Raw | null
  declare readonly _closeFrameReceived: boolean
  /** Where listeners would be: an empty table takes 180 bytes. */
  _events: undefined
  /** None is ever negotiated; one table for all. */
  _extensions = NO_EXTENSIONS
  connection: Connection | undefined
  /** Its answer to the upgrade waits for the first frame, to leave in one write with it. */
  held = true

  /** Nobody else listens: what the plugin's listener closes over, the request and the reply, would stay as long as the socket. */
  override on (): this { return this }
}

export function wsSockets (): WsSockets {
  let events: SocketEvents
  // One for all sockets of the app.
  function onDrain (this: Raw): void {
    const connection = this[kConnection] as Connection
    this[kConnection] = undefined
    events.onDrained(connection)
  }

  class AppSocket extends DeviceSocket {
    override emit (event: string | symbol, first?: unknown, second?: unknown): boolean {
      const { connection } = this
      if (connection === undefined) return false
      switch (event) {
        case 'message': events.onFrame(connection, first as Buffer, second as boolean); break
        case 'ping':
          // A client that does not read its pongs gets no more of them: they would pile up.
          if (events.onControl(connection) && rawOf(socketOf(this))?.writableNeedDrain === false) this.pong(first)
          break
        case 'pong': events.onControl(connection); break
        case 'close': events.onClosed(connection, first === ABNORMAL ? 'lost' : 'clientClosed'); break
        case 'error': this.#onError(connection, first as Error & { code?: string }); break
        default: return false
      }
      return true
    }

    /** `ws` closes before it tells why: the answers to the frames before leave first. A client that closed hears no more, though its end of TCP may take its time. */
    override close (code?: number, reason?: string | Buffer): void {
      if (this.connection !== undefined && this.readyState === this.OPEN) {
        if (this._closeFrameReceived) events.onClosed(this.connection, 'clientClosed')
        else events.onClosing(this.connection)
      }
      super.close(code, reason)
    }

    #onError (connection: Connection, { code }: { code?: string }): void {
      letGo(this, this._socket)
      if (code?.startsWith('WS_ERR_') === true) events.onClosed(connection, ERROR_KINDS[code] ?? 'protocolError')
      else this.terminate()
    }
  }

  return {
    WebSocket: AppSocket,
    driver: {
      write (socket, frames) {
        const raw = rawOf(socket)
        if (raw === undefined) return true
        raw.write(frames)
        letGo(deviceSocket(socket), raw)
        if (raw.writableLength === 0 || !raw.writableNeedDrain) return true
        if (raw[kConnection] === undefined) {
          raw[kConnection] = deviceSocket(socket).connection as Connection
          raw.once('drain', onDrain) // one, and only while it stalls: a socket that never does has no such listener
        }
        return false
      },
      bufferedBytes: (socket) => rawOf(socket)?.writableLength ?? 0,
      ping (socket) { rawOf(socket)?.write(PING) },
      close (socket, code, reason) {
        const ws = deviceSocket(socket)
        letGo(ws, ws._socket)
        // A paused socket would never read the answer to the close frame.
        if (ws.isPaused) ws.resume()
        ws.close(code, reason)
      },
      terminate (socket) { deviceSocket(socket).terminate() },
      pause (socket) { deviceSocket(socket).pause() },
      resume (socket) { deviceSocket(socket).resume() }
    },
    bind (owner) { events = owner },
    attach (ws, connection) {
      const device = ws as DeviceSocket
      device.connection = connection
      if (device._socket !== null) letRequestGo(device._socket)
    }
  }
}

function letGo (ws: DeviceSocket, raw: Raw | null): void {
  if (!ws.held) return
  ws.held = false
  raw?.uncork()
}

/** The ws object as the core's opaque socket. */
export function socketOf (ws: WebSocket): Socket {
  return ws as unknown as Socket
}

/**
 * The response that the upgrade was routed with stays reachable from the socket, and the request with it: 4 KB a
 * connection that nobody needs any more. So does the peer's address, which was asked for once.
 */
function letRequestGo (raw: Raw): void {
  raw._httpMessage?.detachSocket(raw)
  raw._peername = undefined
}

function deviceSocket (socket: Socket): DeviceSocket {
  return socket as unknown as DeviceSocket
}

/** The TCP socket while frames may be written to it. */
function rawOf (socket: Socket): Raw | undefined {
  const ws = deviceSocket(socket)
  const raw = ws._socket
  return raw === null || raw.destroyed || ws.readyState !== ws.OPEN ? undefined : raw
}
