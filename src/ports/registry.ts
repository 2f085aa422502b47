/** Where users are. */

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

/** What the registry tells the sessions; called synchronously. */
export interface RegistryListener {
  /** A later session of the device has taken this session's key: its socket has to be closed. */
  onReplaced (connectionId: string, userId: string, deviceId: string): void
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
  /** Puts the session under the admission's guard. Never rejects. `unavailable`: etcd did not answer in time. */
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
