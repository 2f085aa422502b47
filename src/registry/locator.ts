/** Finds the devices of users: in the cache while the watch keeps it up to date, else in etcd, and only where etcd does not answer in what may be out of date. */
import type { DeviceRoute, KvEntry, Meter, Routes } from '../ports.ts'
import type { Batcher } from './batcher.ts'
import { readUser } from './reads.ts'
import { parseKey, parseRoute } from './records.ts'
import { routeOf, type RouteCache } from './route-cache.ts'

export interface LocatorOptions {
  readonly batcher: Batcher
  readonly cache: RouteCache
  readonly meter: Meter
  /** How long etcd's answer is waited for, in milliseconds. */
  readonly timeoutMs: number
}

export class Locator {
  readonly #options: LocatorOptions
  /** Reads that later callers may share. */
  readonly #shared = new Map<string, Promise<Routes>>()

  constructor (options: LocatorOptions) {
    this.#options = options
  }

  /** `fresh`: past the cache, by a read sent after this call. Rejects with SERVICE_UNAVAILABLE when nothing at all is known. */
  async locate (userId: string, fresh: boolean): Promise<Routes> {
    const { cache, meter } = this.#options
    if (fresh) return await this.#read(userId)
    const known = cache.get(userId)
    if (known?.fresh === true) {
      meter.count('cache_requests_total', 1, 'routes', 'hit')
      return { devices: known.devices, complete: true }
    }
    meter.count('cache_requests_total', 1, 'routes', 'miss')
    const shared = this.#shared.get(userId)
    if (shared !== undefined) return await shared
    const reading = this.#read(userId).finally(() => { this.#shared.delete(userId) })
    this.#shared.set(userId, reading)
    return await reading
  }

  async #read (userId: string): Promise<Routes> {
    const { batcher, cache, meter, timeoutMs } = this.#options
    const reading = cache.begin(userId)
    try {
      const { entries, revision } = await readUser(batcher, userId, timeoutMs)
      const devices = this.#devices(entries)
      cache.store(reading, devices, revision)
      return { devices, complete: true }
    } catch (error) {
      const known = cache.get(userId)
      if (known === undefined) throw error
      meter.count('cache_requests_total', 1, 'routes', 'stale')
      return { devices: known.devices, complete: false }
    } finally {
      cache.end(reading)
    }
  }

  #devices (entries: readonly KvEntry[]): DeviceRoute[] {
    const devices: DeviceRoute[] = []
    for (const { key, value } of entries) {
      const owner = parseKey(key)
      const record = parseRoute(value)
      if (owner?.kind === 'user' && record !== undefined) devices.push(routeOf(owner.deviceId, record))
      else this.#options.meter.count('registry_bad_values_total', 1, 'user')
    }
    return devices
  }
}
