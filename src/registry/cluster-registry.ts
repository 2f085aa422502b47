/**
 * Where users are, in the cluster: the parts of this folder over one KvStore. Sessions are put under shared leases, the
 * watch on `/registry/` says what others do, and what breaks is mended without closing a socket for it.
 */
import { GatewayError } from '../errors.ts'
import type { Admission, Clock, KvStore, Logger, Meter, Registry, RegistryListener, Room, Routes, SessionRef } from '../ports.ts'
import { within } from '../wait.ts'
import { Batcher } from './batcher.ts'
import type { Outcome } from './enrolment.ts'
import { Feed } from './feed.ts'
import { LeasePool, type LeaseHolder } from './lease-pool.ts'
import { Locator } from './locator.ts'
import { NodeDirectory } from './node-directory.ts'
import { NodeKey } from './node-key.ts'
import { readUser } from './reads.ts'
import { deviceKey, ROOT } from './records.ts'
import { Registrations } from './registrations.ts'
import { Revocations } from './revocations.ts'
import { RouteCache } from './route-cache.ts'
import { Session } from './session.ts'
import { Watcher } from './watcher.ts'

export interface ClusterRegistryOptions {
  readonly kv: KvStore
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly nodeId: string
  /** Begins the connection ids of this process. */
  readonly startId: string
  readonly version: string
  readonly maxDevicesPerUser: number
  /** How long registrations outlive this process; whole seconds, in milliseconds. */
  readonly ttlMs: number
  readonly renewIntervalMs: number
  /** Sessions that share a lease. Default 500. */
  readonly maxHolders?: number
  /** How long an upgrade, or a look-up, waits for etcd. */
  readonly admissionTimeoutMs: number
  /** How long a session waits for its put. */
  readonly registrationTimeoutMs: number
  /** How long a route is believed although the watch said nothing. */
  readonly cacheTtlMs: number
  readonly routeCacheEntries: number
  /** 0 up to 1. */
  readonly random: () => number
}

/** Longest wait for etcd at the end; leases that it does not hear of expire. */
const CLOSE_TIMEOUT_MS = 5_000

export class ClusterRegistry implements Registry {
  readonly #options: ClusterRegistryOptions
  readonly #batcher: Batcher
  readonly #leases: LeasePool
  readonly #registrations: Registrations
  readonly #revocations: Revocations
  readonly #locator: Locator
  readonly #nodes: NodeDirectory
  readonly #nodeKey: NodeKey
  readonly #watcher: Watcher
  #listener: RegistryListener | undefined
  #onNodeStarted: (address: string) => void = () => {}
  #closing: Promise<void> | undefined

  constructor (options: ClusterRegistryOptions) {
    this.#options = options
    const { meter, admissionTimeoutMs: timeoutMs, registrationTimeoutMs } = options
    this.#batcher = new Batcher(options)
    const batcher = this.#batcher
    this.#leases = new LeasePool(options, { onLeaseLost: (holders) => this.#onLeaseLost(holders) })
    const leases = this.#leases
    this.#registrations = new Registrations({ ...options, batcher, leases, repairTimeoutMs: registrationTimeoutMs, onReplaced: (session) => { this.#listener?.onReplaced(session.connectionId, session.userId, session.deviceId) } })
    this.#revocations = new Revocations(meter, (userId, deviceId, before) => this.#listener?.onRevoked(userId, deviceId, before))
    const cache = new RouteCache({ clock: options.clock, maxEntries: options.routeCacheEntries, ttlMs: options.cacheTtlMs })
    this.#locator = new Locator({ batcher, cache, meter, timeoutMs })
    this.#nodes = new NodeDirectory({ nodeId: options.nodeId, batcher, timeoutMs, onStarted: (address) => { this.#onNodeStarted(address) } })
    this.#nodeKey = new NodeKey({ ...options, batcher, leases, timeoutMs: registrationTimeoutMs })
    const feed = new Feed({
      meter, nodeId: options.nodeId, registrations: this.#registrations, routes: cache, revocations: this.#revocations, nodes: this.#nodes, nodeKey: this.#nodeKey
    })
    this.#watcher = new Watcher({ ...options, prefix: ROOT }, feed)
  }

  /** Sessions that are in etcd, as far as is known. */
  get registered (): number { return this.#registrations.registered }
  /** Puts and removals that wait. */
  get repairs (): number { return this.#registrations.repairs }
  /** Whether changes are heard of as they happen. */
  get live (): boolean { return this.#watcher.live }
  /** All changes up to this revision are known. */
  get revision (): number { return this.#watcher.revision }

  /**
   * Claims the node id and begins to follow the others. Resolves without the id, or the list of revocations, where etcd
   * does not answer: they come when etcd is back, and until then nobody is admitted. Rejects with a NodeIdTakenError where another node has the id.
   */
  async start (grpcAddress: string): Promise<void> {
    this.#watcher.start()
    await this.#nodeKey.start(grpcAddress)
    if (!this.#nodeKey.everHeld) return
    const { clock, registrationTimeoutMs } = this.#options
    await within(this.#revocations.whenKnown, registrationTimeoutMs, clock).catch(() => {})
  }

  listen (listener: RegistryListener): void {
    this.#listener = listener
  }

  /** [GW-CON-7] The read whose revision guards the put; a device that is known may always return. */
  async admit (userId: string, deviceId: string): Promise<Admission> {
    const { admissionTimeoutMs: timeoutMs, maxDevicesPerUser, meter, logger } = this.#options
    let admission: Admission = { ok: false, code: 'SERVICE_UNAVAILABLE' }
    if (this.#nodeKey.everHeld && this.#revocations.isKnown) {
      try {
        const { entries, revision } = await readUser(this.#batcher, userId, timeoutMs)
        const key = deviceKey(userId, deviceId)
        const isAdmitted = entries.length < maxDevicesPerUser || entries.some((entry) => entry.key === key)
        admission = isAdmitted ? { ok: true, revision } : { ok: false, code: 'DEVICE_LIMIT_EXCEEDED' }
      } catch (error) {
        logger.debug({ err: error }, 'the devices of a user cannot be read')
      }
    }
    meter.count('registry_operations_total', 1, 'admit', admission.ok ? 'ok' : admission.code)
    return admission
  }

  async register (session: SessionRef, revision: number): Promise<Outcome> {
    return await this.#registrations.register(session, revision)
  }

  async unregister (session: SessionRef): Promise<void> {
    await this.#registrations.unregister(session)
  }

  async locate (userId: string, options: { readonly fresh?: boolean } = {}): Promise<Routes> {
    try {
      return await this.#locator.locate(userId, options.fresh === true)
    } catch (error) {
      throw error instanceof GatewayError ? error : new GatewayError('SERVICE_UNAVAILABLE', { cause: error })
    }
  }

  /** Rejects with SERVICE_UNAVAILABLE where nothing is known and etcd does not answer. */
  async nodeAddress (nodeId: string): Promise<string | undefined> {
    return await this.#nodes.address(nodeId)
  }

  /** Told the gRPC address of each node that starts, of those at the start as well. */
  onNodeStarted (call: (address: string) => void): void {
    this.#onNodeStarted = call
  }

  /** The gRPC addresses of the other nodes, by id. */
  get otherNodes (): ReadonlyMap<string, string> { return this.#nodes.others }

  /** What the other nodes can take, as they announced it. */
  get room (): Room { return this.#nodes.room }

  /** Tells the other nodes how many handshakes a second this one can take; 0: none. */
  announce (connectsPerSecond: number): void {
    this.#nodeKey.announce(connectsPerSecond)
  }

  isRevoked (userId: string, deviceId: string | undefined, issuedAtUnixMs: number | undefined): boolean {
    return this.#revocations.isRevoked(userId, deviceId, issuedAtUnixMs)
  }

  /** Leases are revoked, and with them every registration goes; then the node key. Bounded, never rejects. */
  close (): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close (): Promise<void> {
    this.#watcher.stop()
    this.#registrations.stop()
    const leaving = Promise.all([this.#leases.close(), this.#nodeKey.close()])
    await within(leaving, CLOSE_TIMEOUT_MS, this.#options.clock).catch(() => {
      this.#options.logger.warn({ sessions: this.#registrations.registered }, 'etcd did not hear of this node\'s end: its registrations expire')
    })
    this.#batcher.close()
  }

  #onLeaseLost (holders: readonly LeaseHolder[]): void {
    for (const holder of holders) {
      if (holder instanceof Session) this.#registrations.onLeaseLost(holder)
      else this.#nodeKey.onLeaseLost()
    }
  }
}
