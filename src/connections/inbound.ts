/**
 * What comes from a client: size and frame bucket, shape, the bucket of its type, then to whom it belongs [GW-SND-1].
 * Messages wait in the connection's inbox before the welcome [GW-CON-5] and behind a full send window [GW-SND-3];
 * everything else is handled as it comes. Nothing here throws: whatever a client sends, in any state, ends as an answer.
 */
import type { Authenticator, Clock, Logger, Meter, Registry, SocketDriver } from '../ports.ts'
import type { ErrorCode } from '../errors.ts'
import type { Recorder } from '../explain/recorder.ts'
import type { CloseKind } from '../protocol/close-codes.ts'
import { decode } from '../protocol/decode.ts'
import { encodeAuth, encodeError, encodeHeartbeat, type ErrorFacts } from '../protocol/encode.ts'
import type { AckFrame, SendFrame } from '../protocol/frames.ts'
import type { Connection } from './connection.ts'
import type { Heartbeat } from './heartbeat.ts'
import type { Outbox } from './outbox.ts'
import type { MessageVerdict, RateLimits } from './rate-limits.ts'

/** Messages and bytes that wait before the welcome; past either the socket is not read. */
export const EARLY_FRAMES = 16
export const INBOX_BYTES = 64 * 1024
/** Malformed frames in a row that end a connection with 4003. */
export const MAX_INVALID_FRAMES = 20

export interface InboundOptions {
  readonly driver: SocketDriver
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly recorder?: Recorder | undefined
  readonly outbox: Outbox
  readonly limits: RateLimits
  readonly authenticator: Authenticator
  readonly registry: Pick<Registry, 'isRevoked'>
  readonly sender: { submit (connection: Connection, frame: SendFrame): void, isFull (connection: Connection): boolean }
  readonly tracker: { ack (connection: Connection, msgId: string): void }
  readonly heartbeat: Pick<Heartbeat, 'nowMs' | 'look' | 'pause' | 'resume'>
  readonly close: (connection: Connection, kind: CloseKind) => void
}

export class Inbound {
  readonly #options: InboundOptions

  constructor (options: InboundOptions) {
    this.#options = options
  }

  /** One whole message of the client. */
  onFrame (connection: Connection, data: Buffer, isBinary: boolean): void {
    if (connection.isEnding || !this.#pass(connection)) return
    if (isBinary) {
      this.#options.close(connection, 'binary')
      return
    }
    const decoded = decode(data.toString())
    if (!decoded.ok) {
      this.#options.meter.count('frames_in_total', 1, decoded.type)
      this.#refuse(connection, decoded.code, decoded.msgId, decoded.type === 'send_msg')
      return
    }
    connection.invalidFrames = 0
    const { frame } = decoded
    this.#options.meter.count('frames_in_total', 1, frame.type)
    switch (frame.type) {
      case 'send_msg': this.#onSend(connection, frame, data.length); break
      case 'ack': this.#onAck(connection, frame); break
      case 'heartbeat': this.#options.outbox.send(connection, encodeHeartbeat(this.#options.clock.unixMs(), frame.timestamp), 'heartbeat'); break
      case 'auth': this.#onAuth(connection, frame.token); break
    }
  }

  /** A ping or a pong: life, and a frame for the bucket. Whether a ping is to be answered. */
  onControl (connection: Connection): boolean {
    return !connection.isEnding && this.#pass(connection)
  }

  /** Hands on what waits in the inbox while the send window has room, and reads the socket again when nothing waits. */
  resume (connection: Connection): void {
    const { sender, driver, heartbeat } = this.#options
    if (connection.state !== 'open') return
    const { inbox } = connection
    if (inbox !== null) {
      // A message that settles at once comes back here: each is taken out before it is handed on. Its answer may close the connection.
      while (connection.inbox === inbox && inbox.length > 0 && !sender.isFull(connection)) sender.submit(connection, inbox.shift() as SendFrame)
      if (inbox.length > 0) return
      connection.inbox = null
      connection.inboxBytes = 0
    }
    if (!connection.paused || sender.isFull(connection)) return
    heartbeat.resume(connection)
    driver.resume(connection.socket)
  }

  /** The frame bucket; every frame is a sign of life, dropped or not. */
  #pass (connection: Connection): boolean {
    connection.lastSeenMs = this.#options.heartbeat.nowMs
    this.#options.outbox.alive(connection)
    const verdict = this.#options.limits.takeFrame(connection)
    if (verdict === 'pass') return true
    this.#options.meter.count('frames_dropped_total')
    if (verdict === 'abuse') this.#options.close(connection, 'rateLimitAbuse')
    return false
  }

  #refuse (connection: Connection, code: ErrorCode, msgId: string | undefined, isMessage: boolean): void {
    // A well-formed message to a malformed recipient costs a token as any other: the bucket comes before the recipient.
    if (code === 'INVALID_RECIPIENT' && isMessage && !this.#takeMessage(connection, msgId)) return
    if (isMessage) this.#remember(connection, msgId, '', code)
    this.#error(connection, code, { msgId })
    if (++connection.invalidFrames >= MAX_INVALID_FRAMES) this.#options.close(connection, 'invalidFrames')
  }

  #onSend (connection: Connection, frame: SendFrame, bytes: number): void {
    if (!this.#takeMessage(connection, frame.msgId, frame.recipient)) return
    if (connection.draining) {
      // Not acknowledged, so the client sends it again to the node it connects to next.
      this.#remember(connection, frame.msgId, frame.recipient, 'DRAINING')
      return
    }
    const { sender } = this.#options
    if (connection.state === 'open' && connection.inbox === null && !sender.isFull(connection)) {
      sender.submit(connection, frame)
      if (sender.isFull(connection)) this.#pause(connection)
      return
    }
    if (connection.inbox === null) connection.inbox = [frame]
    else connection.inbox.push(frame)
    connection.inboxBytes += bytes
    if (connection.state === 'open' || connection.inbox.length >= EARLY_FRAMES || connection.inboxBytes >= INBOX_BYTES) this.#pause(connection)
  }

  #takeMessage (connection: Connection, msgId: string | undefined, recipient = ''): boolean {
    const verdict = this.#options.limits.takeMessage(connection.user)
    if (verdict.pass) return true
    this.#remember(connection, msgId, recipient, 'RATE_LIMIT_EXCEEDED')
    this.#limited(connection, verdict, 'send_msg', msgId)
    return false
  }

  #remember ({ user, deviceId }: Connection, msgId: string | undefined, recipient: string, outcome: string): void {
    if (msgId !== undefined) this.#options.recorder?.noted('send', msgId, user.userId, deviceId, recipient, outcome)
  }

  #limited (connection: Connection, verdict: Exclude<MessageVerdict, { pass: true }>, type: string, msgId?: string): void {
    this.#options.meter.count('rate_limited_total', 1, type)
    this.#error(connection, 'RATE_LIMIT_EXCEEDED', { msgId, retryAfterMs: verdict.retryAfterMs })
    if (verdict.abuse) this.#options.close(connection, 'rateLimitAbuse')
  }

  #onAck (connection: Connection, frame: AckFrame): void {
    for (const msgId of frame.msgIds) this.#options.tracker.ack(connection, msgId)
  }

  #onAuth (connection: Connection, token: string): void {
    const verdict = this.#options.limits.takeAuth(connection)
    if (!verdict.pass) {
      this.#limited(connection, verdict, 'auth')
      return
    }
    this.#renew(connection, token).catch((error: unknown) => {
      this.#options.logger.error({ err: error }, 'token renewal failed')
      this.#error(connection, 'INTERNAL_ERROR')
    })
  }

  /** A fresh token for the same user and device moves the end of the session. */
  async #renew (connection: Connection, token: string): Promise<void> {
    const result = await this.#options.authenticator.authenticate(token)
    if (connection.isEnding) return
    if (!result.ok) {
      this.#error(connection, result.code)
      return
    }
    const { identity } = result
    if (identity.userId !== connection.user.userId || (identity.deviceId ?? connection.deviceId) !== connection.deviceId) {
      this.#error(connection, 'INVALID_TOKEN')
      return
    }
    // Asked again, for the session's device: the token may name none [GW-CON-2].
    if (this.#options.registry.isRevoked(identity.userId, connection.deviceId, identity.issuedAtMs)) {
      this.#error(connection, 'TOKEN_REVOKED')
      return
    }
    connection.tokenExpiresAtMs = identity.expiresAtMs
    connection.tokenIssuedAtMs = identity.issuedAtMs
    this.#options.heartbeat.look(connection)
    this.#options.outbox.send(connection, encodeAuth(identity.expiresAtMs, this.#options.clock.unixMs()), 'auth')
  }

  #pause (connection: Connection): void {
    if (connection.paused) return
    this.#options.heartbeat.pause(connection)
    this.#options.driver.pause(connection.socket)
  }

  #error (connection: Connection, code: ErrorCode, facts?: ErrorFacts): void {
    this.#options.outbox.send(connection, encodeError(code, this.#options.clock.unixMs(), facts), 'error')
  }
}
