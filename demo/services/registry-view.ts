/** The gateways' registry as the watch tells it, so that the IM Service need not ask etcd for each message. */
import { parseKey, parseNode, parseRoute, ROOT } from '../../src/registry/records.ts'
import { Watcher, type WatchSink } from '../../src/registry/watcher.ts'
import type { Clock, KvEntry, KvEvent, KvStore, Logger, Meter } from '../../src/ports.ts'

/** The stand-in services count nothing. */
const NO_METER: Meter = { count: () => {}, observe: () => {}, set: () => {}, source: () => {} }

export interface RegisteredDevice { readonly userId: string, readonly deviceId: string, readonly nodeId: string }

export class RegistryView implements WatchSink {
  readonly #watcher: Watcher
  /** Node by device, by user. */
  #users = new Map<string, Map<string, string>>()
  /** gRPC address by node. */
  #nodes = new Map<string, string>()

  constructor (options: { readonly kv: KvStore, readonly clock: Clock, readonly logger: Logger }) {
    this.#watcher = new Watcher({ ...options, prefix: ROOT, meter: NO_METER, random: Math.random }, this)
  }

  /** Whether what it says is so; otherwise etcd has to be asked. */
  get isLive (): boolean { return this.#watcher.live }

  start (): void { this.#watcher.start() }
  stop (): void { this.#watcher.stop() }

  /** Node by device. */
  devicesOf (userId: string): ReadonlyMap<string, string> {
    return this.#users.get(userId) ?? new Map()
  }

  /** All that are registered. */
  devices (): RegisteredDevice[] {
    return [...this.#users].flatMap(([userId, devices]) => [...devices].map(([deviceId, nodeId]) => ({ userId, deviceId, nodeId })))
  }

  addressOf (nodeId: string): string | undefined {
    return this.#nodes.get(nodeId)
  }

  onLive (): void {}
  snapshotPrefixes (): readonly string[] { return [ROOT] }

  onSnapshotStart (): void {
    this.#users = new Map()
    this.#nodes = new Map()
  }

  onSnapshotEntries (entries: readonly KvEntry[]): void {
    for (const { key, value } of entries) this.#put(key, value)
  }

  onSnapshotEnd (): void {}

  onEvents (events: readonly KvEvent[]): void {
    for (const event of events) {
      if (event.type === 'put') this.#put(event.key, event.value)
      else this.#delete(event.key)
    }
  }

  #put (key: string, value: string): void {
    const owner = parseKey(key)
    if (owner?.kind === 'node') {
      const address = parseNode(value)?.grpc
      if (address !== undefined) this.#nodes.set(owner.nodeId, address)
    } else if (owner?.kind === 'user') {
      const node = parseRoute(value)?.node
      if (node === undefined) return
      const devices = this.#users.get(owner.userId) ?? new Map<string, string>()
      devices.set(owner.deviceId, node)
      this.#users.set(owner.userId, devices)
    }
  }

  #delete (key: string): void {
    const owner = parseKey(key)
    if (owner?.kind === 'node') this.#nodes.delete(owner.nodeId)
    else if (owner?.kind === 'user') {
      const devices = this.#users.get(owner.userId)
      devices?.delete(owner.deviceId)
      if (devices?.size === 0) this.#users.delete(owner.userId)
    }
  }
}
