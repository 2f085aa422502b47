/**
 * The life of a session: into the hub with its outbox held, registered, welcomed, and ended once whoever ends it
 * [GW-CON-5], [GW-CON-6]. From the moment a close is decided the connection is out of the hub and of the registry; what
 * is left of the socket is the closing handshake.
 */
import type { Clock, Identity, Logger, Meter, Registry, RegistryListener, SessionRef, Socket, SocketDriver } from '../ports.ts'
import type { Recorder } from '../explain/recorder.ts'
import { CLOSE, type CloseKind } from '../protocol/close-codes.ts'
import { encodeWelcome } from '../protocol/encode.ts'
import { Connection, connectionId } from './connection.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { Hub } from './hub.ts'
import type { Inbound } from './inbound.ts'
import type { Outbox } from './outbox.ts'

export interface SessionsOptions {
  readonly nodeId: string
  /** Begins every connection id of this process. */
  readonly startId: string
  readonly maxMessageBytes: number
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
  readonly hub: Hub
  readonly driver: SocketDriver
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly recorder?: Recorder | undefined
  readonly outbox: Outbox
  readonly inbound: Inbound
  readonly heartbeat: Heartbeat
  readonly registry: Registry
  readonly tracker: { connectionClosed (connection: Connection, reason: 'gone' | 'slow', successor?: Connection): void }
}

/** What the handshake found out. */
export interface Accepted {
  readonly identity: Identity
  readonly deviceId: string
  /** Revision of the admission read: the put is guarded by it. */
  readonly revision: number
  /** When the upgrade request came, monotonic milliseconds. */
  readonly receivedAtMs: number
}

export class Sessions implements RegistryListener {
  readonly #options: SessionsOptions
  #serial = 0

  constructor (options: SessionsOptions) {
    this.#options = options
    options.registry.listen(this)
    options.meter.source('connections', () => options.hub.connectionCount)
    options.meter.source('users', () => options.hub.userCount)
  }

  /** A socket whose handshake is done. Frames may be given to `Inbound` at once; the welcome follows the registration. */
  accept (socket: Socket, accepted: Accepted): Connection {
    const { hub, clock, heartbeat, registry } = this.#options
    const { identity, deviceId } = accepted
    const user = hub.userFor(identity.userId)
    const connection = new Connection(socket, user, deviceId, ++this.#serial, heartbeat.nowMs, clock.unixMs(), identity.expiresAtMs, identity.issuedAtMs)
    hub.add(connection)
    if (registry.isRevoked(identity.userId, deviceId, identity.issuedAtMs)) {
      this.close(connection, 'revoked')
      return connection
    }
    this.#register(connection, accepted).catch((error: unknown) => {
      this.#options.logger.error({ err: error, ...this.facts(connection) }, 'registration failed')
      this.close(connection, 'overloaded')
    })
    return connection
  }

  /** Ends a connection: its queue leaves, then the close frame. Does nothing where it is ending already. */
  close (connection: Connection, kind: CloseKind): void {
    if (connection.isEnding) return
    connection.closedFor = kind
    this.#end(connection)
    const { code, reason } = CLOSE[kind]
    this.#options.driver.close(connection.socket, code, reason)
  }

  /** The socket is gone. `kind` says why where the end was not ours. */
  onSocketClosed (connection: Connection, kind: CloseKind): void {
    if (connection.state === 'closed') return
    if (connection.closedFor === null) {
      connection.closedFor = kind
      this.#end(connection)
    }
    connection.state = 'closed'
  }

  /** The kernel has taken what was written. */
  onSocketDrained (connection: Connection): void {
    this.#options.outbox.drained(connection)
  }

  onReplaced (id: string, userId: string, deviceId: string): void {
    for (const connection of this.#options.hub.user(userId)?.connections ?? []) {
      if (connection.deviceId === deviceId && this.idOf(connection) === id) this.close(connection, 'replaced')
    }
  }

  onRevoked (userId: string, deviceId: string | undefined, beforeUnixMs: number): void {
    for (const connection of this.#options.hub.user(userId)?.connections ?? []) {
      if (deviceId !== undefined && connection.deviceId !== deviceId) continue
      if (connection.tokenIssuedAtMs === undefined || connection.tokenIssuedAtMs < beforeUnixMs) this.close(connection, 'revoked')
    }
  }

  /** Sockets that were accepted since the start. */
  get accepted (): number { return this.#serial }

  idOf (connection: Connection): string {
    return connectionId(this.#options.startId, connection.serial)
  }

  /** Ids for a log line. */
  facts (connection: Connection): { connection: string, user: string, device: string } {
    return { connection: this.idOf(connection), user: connection.user.userId, device: connection.deviceId }
  }

  async #register (connection: Connection, accepted: Accepted): Promise<void> {
    const { registry, meter } = this.#options
    const outcome = await registry.register(this.#ref(connection), accepted.revision)
    // Closed meanwhile: its end has unregistered it, in whatever state the put was.
    if (connection.state !== 'opening') return
    switch (outcome) {
      case 'registered': break
      case 'device_limit': this.close(connection, 'deviceLimit'); return
      case 'replaced': this.close(connection, 'replaced'); return
      case 'unavailable': this.close(connection, 'overloaded'); return
    }
    this.#welcome(connection)
    meter.count('connections_opened_total')
    meter.observe('handshake_seconds', (this.#options.clock.monotonicMs() - accepted.receivedAtMs) / 1000)
  }

  #welcome (connection: Connection): void {
    const { clock, heartbeat, inbound, outbox } = this.#options
    connection.state = 'open'
    heartbeat.welcome(connection)
    outbox.release(connection, encodeWelcome({
      connectionId: this.idOf(connection),
      userId: connection.user.userId,
      deviceId: connection.deviceId,
      nodeId: this.#options.nodeId,
      heartbeatIntervalMs: this.#options.heartbeatIntervalMs,
      heartbeatTimeoutMs: this.#options.heartbeatTimeoutMs,
      maxMessageBytes: this.#options.maxMessageBytes,
      tokenExpiresAtMs: connection.tokenExpiresAtMs
    }, clock.unixMs()))
    this.#options.recorder?.begin('opened', '', connection.user.userId, connection.deviceId, this.idOf(connection))
    for (const older of connection.user.connections) {
      if (older.deviceId === connection.deviceId && older.serial < connection.serial) this.close(older, 'replaced')
    }
    inbound.resume(connection)
  }

  #end (connection: Connection): void {
    const { clock, hub, meter, outbox, recorder, registry, tracker, logger } = this.#options
    const kind = connection.closedFor as CloseKind
    connection.state = 'closing'
    hub.remove(connection)
    outbox.finish(connection)
    // Another connection of the same device takes over what waits here [GW-CON-6].
    tracker.connectionClosed(connection, kind === 'slowConsumer' ? 'slow' : 'gone', hub.device(connection.user.userId, connection.deviceId))
    for (const { msgId, recipient } of connection.inbox ?? []) recorder?.noted('send', msgId, connection.user.userId, connection.deviceId, recipient, 'CONNECTION_CLOSED')
    connection.inbox = null
    connection.inboxBytes = 0
    const { code, reason } = CLOSE[kind]
    recorder?.noted('closed', '', connection.user.userId, connection.deviceId, this.idOf(connection), reason, code, Math.max(0, Math.round((clock.unixMs() - connection.openedAtUnixMs) / 1000)))
    meter.count('connections_closed_total', 1, reason)
    logger.debug({ ...this.facts(connection), reason }, 'connection closed')
    registry.unregister(this.#ref(connection)).catch((error: unknown) => {
      logger.error({ err: error, ...this.facts(connection) }, 'unregistering failed')
    })
  }

  #ref (connection: Connection): SessionRef {
    return {
      connectionId: this.idOf(connection),
      userId: connection.user.userId,
      deviceId: connection.deviceId,
      openedAtUnixMs: connection.openedAtUnixMs
    }
  }
}
