/**
 * Where users are, as read from etcd and kept up to date by the watch. While the watch is blind nothing here is taken for
 * true: entries are what is left to say when etcd cannot be read. "No devices" is never kept.
 */
import { LRUCache } from 'lru-cache'
import type { Clock, DeviceRoute } from '../ports.ts'
import type { RouteRecord } from './records.ts'

export interface RouteCacheOptions {
  readonly clock: Clock
  /** Users that are kept, least recently used first out. */
  readonly maxEntries: number
  /** How long an entry is believed although the watch said nothing, in milliseconds. */
  readonly ttlMs: number
}

interface Entry {
  devices: readonly DeviceRoute[]
  /** Of the read: what the watch says of earlier revisions is in it already. */
  readonly revision: number
  readonly expiresAtMs: number
  /** When it was read: it is up to date only while the watch has not been lost since. */
  readonly epoch: number
}

/**
 * The reads of one user that are under way: their number, and the latest revision at which the watch has seen the user
 * change meanwhile. An answer from before that revision is not kept.
 */
export interface Reading { readonly userId: string, count: number, changedAt: number }

/** Epoch of what was read while the watch was lost: never up to date. */
const BLIND = -1

export class RouteCache {
  readonly #clock: Clock
  readonly #ttlMs: number
  readonly #entries: LRUCache<string, Entry>
  readonly #readings = new Map<string, Reading>()
  #live = false
  /** How often the watch was lost. */
  #epoch = 0

  constructor (options: RouteCacheOptions) {
    this.#clock = options.clock
    this.#ttlMs = options.ttlMs
    this.#entries = new LRUCache({ max: options.maxEntries })
  }

  get size (): number { return this.#entries.size }

  /** What is known, and whether it is up to date. */
  get (userId: string): { readonly devices: readonly DeviceRoute[], readonly fresh: boolean } | undefined {
    const entry = this.#entries.get(userId)
    if (entry === undefined) return undefined
    return { devices: entry.devices, fresh: this.#live && entry.epoch === this.#epoch && this.#clock.monotonicMs() < entry.expiresAtMs }
  }

  /** To be called before a read is sent; `end` follows, whatever comes of it. */
  begin (userId: string): Reading {
    let reading = this.#readings.get(userId)
    if (reading === undefined) this.#readings.set(userId, reading = { userId, count: 0, changedAt: 0 })
    reading.count++
    return reading
  }

  end (reading: Reading): void {
    if (--reading.count === 0) this.#readings.delete(reading.userId)
  }

  /** Keeps what was read at a revision, unless the watch knows better already. */
  store (reading: Reading, devices: readonly DeviceRoute[], revision: number): void {
    if (reading.changedAt > revision) return
    const { userId } = reading
    if ((this.#entries.peek(userId)?.revision ?? 0) > revision) return
    if (devices.length === 0) this.#entries.delete(userId)
    else this.#entries.set(userId, { devices, revision, expiresAtMs: this.#clock.monotonicMs() + this.#ttlMs, epoch: this.#live ? this.#epoch : BLIND })
  }

  /** A device's key was put or deleted; `record` undefined: it is gone, or nobody understands it. */
  onChange (userId: string, deviceId: string, record: RouteRecord | undefined, revision: number): void {
    const reading = this.#readings.get(userId)
    if (reading !== undefined) reading.changedAt = Math.max(reading.changedAt, revision)
    const entry = this.#entries.peek(userId)
    if (entry === undefined || revision <= entry.revision) return
    const others = entry.devices.filter((device) => device.deviceId !== deviceId)
    entry.devices = record === undefined ? others : [...others, routeOf(deviceId, record)]
    if (entry.devices.length === 0) this.#entries.delete(userId)
  }

  onLive (live: boolean): void {
    if (this.#live && !live) this.#epoch++
    this.#live = live
  }

  /** Changes were missed: nothing that was read before counts any more. */
  clear (): void {
    this.#entries.clear()
    for (const reading of this.#readings.values()) reading.changedAt = Infinity
  }
}

export function routeOf (deviceId: string, record: RouteRecord): DeviceRoute {
  return { deviceId, nodeId: record.node, connectionId: record.conn, since: record.at }
}
