/**
 * The socket driver over `ws`: what the outbox and the sessions do to a socket, and the few listeners that all sockets
 * share. A listener finds its connection through a symbol on the socket, so no socket needs a closure of its own.
 */
import type { ServerResponse } from 'node:http'
import type { Socket as NetSocket } from 'node:net'
import type { WebSocket } from 'ws'
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
/** What `ws` says where no close frame came. */
const ABNORMAL = 1006

type Raw = NetSocket & { [kConnection]?: Connection, _httpMessage?: ServerResponse | null }
type Ws = WebSocket & { [kConnection]?: Connection, readonly _socket: Raw | null }

/** Who is told what happens on a socket. */
export interface SocketEvents {
  onFrame (connection: Connection, data: Buffer, isBinary: boolean): void
  onControl (connection: Connection): void
  onDrained (connection: Connection): void
  /** Whatever code the client gave, it closed: the others of the table are ours to say. */
  onClosed (connection: Connection, kind: CloseKind): void
}

/** The driver and the listeners of one app; `bind` names who is told, before the first socket is attached. */
export interface WsSockets {
  readonly driver: SocketDriver
  bind (events: SocketEvents): void
  attach (ws: WebSocket, connection: Connection): void
}

export function wsSockets (): WsSockets {
  let events: SocketEvents
  // One function each for all sockets of the app.
  function onMessage (this: WebSocket, data: Buffer, isBinary: boolean): void { events.onFrame(connectionOf(this), data, isBinary) }
  function onControl (this: WebSocket): void { events.onControl(connectionOf(this)) }
  function onClose (this: WebSocket, code: number): void { events.onClosed(connectionOf(this), code === ABNORMAL ? 'lost' : 'clientClosed') }
  function onDrain (this: Raw): void { events.onDrained(this[kConnection] as Connection) }
  function onError (this: WebSocket, error: Error & { code?: string }): void {
    const { code } = error
    if (code?.startsWith('WS_ERR_') === true) events.onClosed(connectionOf(this), ERROR_KINDS[code] ?? 'protocolError')
    else this.terminate()
  }

  return {
    driver: {
      write (socket, frames) {
        const raw = rawOf(socket)
        if (raw === undefined) return true
        raw.write(frames)
        if (raw.writableLength === 0 || !raw.writableNeedDrain) return true
        raw.once('drain', onDrain) // only while it stalls: a socket that never does has no such listener
        return false
      },
      bufferedBytes: (socket) => rawOf(socket)?.writableLength ?? 0,
      ping (socket) { rawOf(socket)?.write(PING) },
      close (socket, code, reason) {
        const ws = asWs(socket)
        // A paused socket would never read the answer to the close frame.
        if (ws.isPaused) ws.resume()
        ws.close(code, reason)
      },
      terminate (socket) { asWs(socket).terminate() },
      pause (socket) { asWs(socket).pause() },
      resume (socket) { asWs(socket).resume() }
    },
    bind (owner) { events = owner },
    attach (ws, connection) {
      const socket = ws as Ws
      socket[kConnection] = connection
      const raw = socket._socket
      if (raw !== null) {
        raw[kConnection] = connection
        letRequestGo(raw)
      }
      ws.removeAllListeners('error')
      ws.on('error', onError)
      ws.on('message', onMessage)
      ws.on('ping', onControl)
      ws.on('pong', onControl)
      ws.on('close', onClose)
    }
  }
}

/** The ws object as the core's opaque socket. */
export function socketOf (ws: WebSocket): Socket {
  return ws as unknown as Socket
}

/**
 * The response that the upgrade was routed with stays reachable from the socket, and the request with it, and so does
 * whatever the plugin's `error` listener closes over: 4 KB a connection that nobody needs any more.
 */
function letRequestGo (raw: Raw): void {
  raw._httpMessage?.detachSocket(raw)
}

function asWs (socket: Socket): Ws {
  return socket as unknown as Ws
}

function connectionOf (ws: WebSocket): Connection {
  return (ws as Ws)[kConnection] as Connection
}

/** The TCP socket while frames may be written to it. */
function rawOf (socket: Socket): Raw | undefined {
  const ws = asWs(socket)
  const raw = ws._socket
  return raw === null || raw.destroyed || ws.readyState !== ws.OPEN ? undefined : raw
}
