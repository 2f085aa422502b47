/**
 * One socket of one device. Fields only: no closures, no timers, no listeners of its own, so that an idle
 * connection costs little. They stand by the module that uses them.
 */
import type { Socket } from '../ports.ts'
import type { CloseKind } from '../protocol/close-codes.ts'
import type { SendFrame } from '../protocol/frames.ts'
import type { PendingList } from '../delivery/pending.ts'
import type { SendState } from '../upstream/send.ts'
import type { UserEntry } from './hub.ts'

/** opening: in the hub, not yet registered. closing: a close frame was sent; nothing more is written. */
export type ConnectionState = 'opening' | 'open' | 'closing' | 'closed'

export class Connection {
  readonly socket: Socket
  readonly user: UserEntry
  readonly deviceId: string
  /** Number of the connection in the life of this process. */
  readonly serial: number
  readonly openedAtUnixMs: number
  state: ConnectionState = 'opening'

  // sessions: Unix milliseconds from the token
  tokenExpiresAtMs: number
  tokenIssuedAtMs: number | undefined
  /** What it was closed for, by this node or by its client; null: it was not. */
  closedFor: CloseKind | null = null

  // inbound: messages that wait (before the welcome, or behind a full send window)
  inbox: SendFrame[] | null = null
  inboxBytes = 0
  /** Since when the socket is not read, on the heartbeat clock; -1: it is read. */
  pausedAtMs = -1
  /** Its turn in a drain has come: no new message is taken. */
  draining = false
  /** Malformed frames in a row. */
  invalidFrames = 0

  // limits: buckets and abuse, monotonic milliseconds
  frameTokens = 0
  frameTokensAtMs = 0
  overLimitSinceMs = 0
  authTokens = 0
  authTokensAtMs = 0

  // heartbeat: last sign of life and last ping, on its own clock (`Heartbeat.nowMs`)
  lastSeenMs: number
  lastPingMs: number

  // outbox
  queue: Buffer[] | null = null
  queuedBytes = 0
  /** Frames are kept until the session is registered. */
  held = true
  /** In the list of connections to flush at the end of this turn. */
  dirty = false
  /** The socket did not take the last write: the next frames wait for its drain. */
  blocked = false
  /** Since when the kernel has not taken all; 0: it has. */
  stalledSinceMs = 0
  /** What the socket held when it was last looked at. */
  stalledBytes = 0
  /** Bytes written since the client's last frame: what the kernel may be hiding. */
  unansweredBytes = 0
  /** When a ping was sent because of unansweredBytes; 0: none is out. */
  probedAtMs = 0

  // delivery/tracker: the pushes that wait for this connection's ack; null: none
  pending: PendingList | null = null

  // upstream/sender: this connection's messages that are queued or upstream
  sending: SendState | null = null

  // hub: index in the list of all connections
  hubIndex = -1

  constructor (socket: Socket, user: UserEntry, deviceId: string, serial: number, nowMs: number, openedAtUnixMs: number, tokenExpiresAtMs: number, tokenIssuedAtMs: number | undefined) {
    this.socket = socket
    this.user = user
    this.deviceId = deviceId
    this.serial = serial
    this.openedAtUnixMs = openedAtUnixMs
    this.tokenExpiresAtMs = tokenExpiresAtMs
    this.tokenIssuedAtMs = tokenIssuedAtMs
    this.lastSeenMs = nowMs
    this.lastPingMs = nowMs
  }

  get paused (): boolean { return this.pausedAtMs >= 0 }
  /** Its close has been decided, or has happened: nothing more is taken from it or queued for it. */
  get isEnding (): boolean { return this.state === 'closing' || this.state === 'closed' }
  /** Bytes that wait for it, in its queue and in its socket. */
  get waitingBytes (): number { return this.queuedBytes + this.stalledBytes }
}

/** The id that the registry and the logs know a connection by: the start id of the process, then the serial. */
export function connectionId (startId: string, serial: number): string {
  return `${startId}.${serial.toString(36)}`
}
