/**
 * What the core needs from outside, as interfaces. `plugins/` has the real adapters, `src/embedded/` the
 * in-process ones; nothing else in the code knows which of the two runs.
 */
import type { CounterName, GaugeName, HistogramName } from './metrics.ts'
import type { ErrorCode } from './errors.ts'
import type { MessageType } from './protocol/frames.ts'

// ---- time, logs, metrics

export interface Timer { readonly [Symbol.toStringTag]?: string }

/** Time is injected: the core never reads a clock of its own. */
export interface Clock {
  /** Milliseconds on a clock that never jumps; its zero means nothing. */
  monotonicMs (): number
  /** Unix milliseconds. */
  unixMs (): number
  /** Calls once, after `delayMs`. */
  setTimer (call: () => void, delayMs: number): Timer
  clearTimer (timer: Timer): void
}

/** The part of pino's interface that the core uses: facts first, then a constant sentence. */
export interface Logger {
  debug (facts: object, text: string): void
  info (facts: object, text: string): void
  warn (facts: object, text: string): void
  error (facts: object, text: string): void
}

/** Metrics by the names of the table in `metrics.ts`; labels in the order of the table's row. */
export interface Meter {
  count (name: CounterName, value?: number, ...labels: string[]): void
  observe (name: HistogramName, value: number, ...labels: string[]): void
  set (name: GaugeName, value: number, ...labels: string[]): void
  /** A gauge that is read when somebody asks for the metrics. */
  source (name: GaugeName, read: () => number, ...labels: string[]): void
}

/** A dependency's state, shown in `/readyz` and in `im_gateway_degraded`. */
export type Dependency = 'etcd' | 'redis' | 'kafka' | 'auth' | 'im' | 'user'
export interface Health {
  up (dependency: Dependency): void
  down (dependency: Dependency, detail: string): void
}

// ---- sockets

/** One client's socket. Opaque to the core: only the `SocketDriver` touches it. */
export interface Socket { readonly __socket?: never }

/** What can be done to a socket; one shared object, so that a connection needs no closures. */
export interface SocketDriver {
  /** Writes bytes that are whole WebSocket frames. False: the kernel did not take them, the owner is told once it has. */
  write (socket: Socket, frames: Buffer): boolean
  /** Bytes that were written and that the kernel has not taken yet. */
  bufferedBytes (socket: Socket): number
  ping (socket: Socket): void
  /** Starts the closing handshake; the driver destroys the socket when the peer does not answer in time. */
  close (socket: Socket, code: number, reason: string): void
  /** Destroys the socket at once. */
  terminate (socket: Socket): void
  pause (socket: Socket): void
  resume (socket: Socket): void
}

// ---- authentication

/** Who a token speaks for. Times are Unix milliseconds. */
export interface Identity {
  readonly userId: string
  /** Absent where the token is not bound to a device. */
  readonly deviceId: string | undefined
  /** When the session ends unless the token is renewed. */
  readonly expiresAtMs: number
  /** `iat`; absent tokens count as older than every revocation. */
  readonly issuedAtMs: number | undefined
}

export type AuthErrorCode = Extract<ErrorCode, 'INVALID_TOKEN' | 'TOKEN_EXPIRED' | 'TOKEN_REVOKED' | 'SERVICE_UNAVAILABLE'>
export type AuthResult =
  | { readonly ok: true, readonly identity: Identity }
  | { readonly ok: false, readonly code: AuthErrorCode }

/** The whole check of a token [GW-CON-2]; never rejects. */
export interface Authenticator {
  authenticate (token: string): Promise<AuthResult>
}

/** The Auth Service's answer. Rejects with a GatewayError when there is no answer. */
export interface AuthService {
  validateToken (token: string): Promise<
    | { readonly valid: true, readonly userId: string, readonly deviceId: string | undefined, readonly expiresAtMs: number | undefined }
    | { readonly valid: false, readonly code: 'INVALID_TOKEN' | 'TOKEN_EXPIRED' | 'TOKEN_REVOKED' }>
}

// ---- IM Service

export interface RouteRequest {
  readonly kind: 'private' | 'group'
  readonly msgId: string
  readonly senderId: string
  readonly senderDeviceId: string
  /** User or group id. */
  readonly recipientId: string
  readonly content: string
  readonly messageType: MessageType
  readonly metadata: Readonly<Record<string, string>> | undefined
  readonly clientTimestampMs: number
  readonly traceparent: string | undefined
}

export interface RouteAccepted {
  readonly sequenceNumber: number
  readonly timestampMs: number
}

/** Resolves only when the IM Service accepted the message; rejects with a GatewayError. One attempt, no retry. */
export interface ImService {
  route (request: RouteRequest, deadlineMs: number): Promise<RouteAccepted>
}

// ---- User Service, shared cache

export interface MemberPage {
  readonly userIds: readonly string[]
  readonly nextCursor: string
  readonly hasMore: boolean
  readonly totalCount: number
}

/** Rejects with a GatewayError: GROUP_NOT_FOUND, or SERVICE_UNAVAILABLE when there is no answer. */
export interface UserService {
  groupMembers (groupId: string, cursor: string, limit: number): Promise<MemberPage>
  isMember (groupId: string, userId: string): Promise<boolean>
}

/** Second level of the group member cache (Redis). Every method rejects where the cache cannot answer. */
export interface SharedCache {
  /** undefined: not cached. */
  members (groupId: string): Promise<string[] | undefined>
  store (groupId: string, userIds: readonly string[]): Promise<void>
  /** Changes a cached group; does nothing where the group is not cached. */
  apply (groupId: string, userId: string, event: 'join' | 'leave'): Promise<void>
}

// ---- traces

/** `send_msg`: frame in to answer out. `route`: the IM Service's part of it. `push`: a caller's push to its report. `deliver`: one device of it, to its ack. `group_msg`: a group record to its last local write. */
export type SpanName = 'send_msg' | 'route' | 'push' | 'deliver' | 'group_msg'

export interface Span {
  /** W3C trace context of what happens inside it. */
  readonly traceparent: string
  /** Once. */
  end (outcome: string, isFailure: boolean): void
}

/** Where spans go [GW-OBS-2]. There is none where tracing is off, so that nothing is spent on it. */
export interface Tracer {
  /** `parent`: W3C trace context; what is malformed counts as none. Attributes are ids, never content or tokens. */
  start (name: SpanName, parent: string | undefined, attributes: Readonly<Record<string, string | number>>): Span
}

// ---- group bus

export type Topic = 'group_msg' | 'membership_change' | 'read_receipt_events'

export interface BusRecord {
  readonly topic: Topic
  readonly partition: number
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Unix milliseconds, as the broker has it. */
  readonly timestampMs: number
  readonly traceparent?: string | undefined
}

/**
 * Where group traffic comes from. The handler is called for each record in the order of its partition and never
 * throws; where it returns a promise the partition waits for it.
 */
export interface GroupBus {
  /** Joins and begins to deliver; resolves at once, joining goes on by itself. */
  start (handler: (record: BusRecord) => void | Promise<void>): void
  /** Resolves at the first fetch: from then on nothing is missed. */
  readonly ready: Promise<void>
  /** The first client was let in: where the bus is not ready yet, it goes back to this time (minus 5 s) at its first join. */
  firstClientAt (unixMs: number): void
  stop (): Promise<void>
}

// ---- registry

/**
 * The store below the registry: the few etcd operations that it needs. Every method rejects with a GatewayError
 * (SERVICE_UNAVAILABLE) when etcd does not answer within the adapter's deadline: what was asked may have happened or
 * may happen yet. Revisions fit a number.
 */
export interface KvStore {
  /** Linearizable. Keys in order, at most `limit` (0 or absent: all). `atRevision`: reads the past, rejects with KvCompactedError when it is gone. */
  range (prefixOrKey: string, options?: RangeOptions): Promise<RangeResult>
  /**
   * Runs the operations in one transaction, each a nested transaction of its own, and answers one by one. At most 100,
   * no key written twice: conditions are all looked at before the first write. Rejects with a KvRejectedError where the
   * store refuses it as a whole.
   */
  batch (operations: readonly KvOperation[]): Promise<KvBatchResult>
  grantLease (ttlSeconds: number): Promise<string>
  /** Resolves to the remaining seconds; 0: the lease is gone. */
  renewLease (leaseId: string): Promise<number>
  revokeLease (leaseId: string): Promise<void>
  /** One watch from `fromRevision` on. It ends once, by `onEnd`, at any doubt; it never reconnects by itself. */
  watch (prefix: string, fromRevision: number, handlers: WatchHandlers): KvWatch
  close (): Promise<void>
}

export interface RangeOptions { readonly prefix?: boolean, readonly limit?: number, readonly atRevision?: number, readonly startAfter?: string }
export interface KvEntry { readonly key: string, readonly value: string, readonly modRevision: number, readonly leaseId: string }
export interface RangeResult { readonly revision: number, readonly entries: readonly KvEntry[], readonly more: boolean }

/** Conditions of one operation; all must hold. */
export type KvCondition =
  | { readonly kind: 'absent', readonly key: string }
  | { readonly kind: 'value', readonly key: string, readonly equals: string }
  /** No key of the prefix was changed after `revision`. A prefix without keys passes. */
  | { readonly kind: 'prefix-unchanged', readonly prefix: string, readonly revision: number }

export interface KvOperation {
  readonly when: readonly KvCondition[]
  readonly then: { readonly put: string, readonly value: string, readonly leaseId: string } | { readonly remove: string } | undefined
  /** What to read when the conditions do not hold (or, without `then`, always): a key or a prefix. */
  readonly otherwise?: { readonly read: string, readonly prefix?: boolean }
}
export interface KvOperationResult { readonly succeeded: boolean, readonly entries: readonly KvEntry[] }
export interface KvBatchResult { readonly revision: number, readonly results: readonly KvOperationResult[] }

export type KvEvent =
  | { readonly type: 'put', readonly key: string, readonly value: string, readonly revision: number }
  | { readonly type: 'delete', readonly key: string, readonly revision: number }
export interface WatchHandlers {
  onEvents (events: readonly KvEvent[], revision: number): void
  /** Everything up to this revision has been told. Called once when the watch is open, then as a sign of life. */
  onProgress (revision: number): void
  /** Called exactly once unless cancelled. `compactedAt` is set where the revision asked for is gone. */
  onEnd (reason: { readonly compactedAt?: number, readonly error?: Error }): void
}
export interface KvWatch { cancel (): void }

/** The store answered and refuses the whole request; nothing of it was applied. `lease`: a lease that it names is gone. */
export class KvRejectedError extends Error {
  readonly reason: 'lease' | 'request'

  constructor (reason: 'lease' | 'request', detail: string) {
    super(detail)
    this.name = 'KvRejectedError'
    this.reason = reason
  }
}

/** The revision that was asked for has been compacted away. */
export class KvCompactedError extends Error {
  constructor () {
    super('the revision has been compacted')
    this.name = 'KvCompactedError'
  }
}

// ---- where users are

export interface DeviceRoute {
  readonly deviceId: string
  readonly nodeId: string
  readonly connectionId: string
  /** Unix milliseconds. */
  readonly since: number
}
/** `complete` is false where etcd could not be read and what is known may be old. */
export interface Routes { readonly devices: readonly DeviceRoute[], readonly complete: boolean }

/** What the registry needs to know of a connection. */
export interface SessionRef {
  readonly connectionId: string
  readonly userId: string
  readonly deviceId: string
  readonly openedAtUnixMs: number
}

export type Admission =
  | { readonly ok: true, readonly revision: number }
  | { readonly ok: false, readonly code: 'DEVICE_LIMIT_EXCEEDED' | 'SERVICE_UNAVAILABLE' }

/** Why the registry asks for a socket to be closed. */
export type RegistryVerdict = 'replaced' | 'revoked' | 'device_limit'

/** What the registry tells the sessions; called synchronously. */
export interface RegistryListener {
  /** Another node has this session's key, or a revocation covers it. */
  onVerdict (connectionId: string, userId: string, deviceId: string, verdict: RegistryVerdict): void
  /** A revocation came: close this user's (device's, where named) sockets whose token was issued before `beforeUnixMs`. */
  onRevoked (userId: string, deviceId: string | undefined, beforeUnixMs: number): void
}

/** What the other nodes say of themselves. */
export interface Room {
  /** Handshakes a second that all of them together can take now; 0: there is nobody else. */
  readonly connectsPerSecond: number
  /** Nodes that drain as well, and share it. */
  readonly draining: number
}

/** Where users are, in the cluster (etcd behind it). */
export interface Registry {
  /** Before the upgrade: a linearizable read of the user's devices. Never rejects. */
  admit (userId: string, deviceId: string): Promise<Admission>
  /** Puts the session under the admission's guard. Never rejects. `unavailable`: no answer in 5 s. */
  register (session: SessionRef, revision: number): Promise<'registered' | 'device_limit' | 'unavailable' | 'replaced'>
  /** Deletes the session's key where it is still this session's; retried until done or overtaken. Never rejects. */
  unregister (session: SessionRef): Promise<void>
  /** The user's devices: cache first, then etcd. `fresh`: a linearizable read. Rejects with SERVICE_UNAVAILABLE when nothing at all is known. */
  locate (userId: string, options?: { fresh?: boolean }): Promise<Routes>
  /** The gRPC address of a node, undefined where there is none. */
  nodeAddress (nodeId: string): Promise<string | undefined>
  isRevoked (userId: string, deviceId: string | undefined, issuedAtUnixMs: number | undefined): boolean
  listen (listener: RegistryListener): void
  /** Leases are revoked, the node key is deleted, the watch ends. */
  close (): Promise<void>
}
