/**
 * What clients saw, beside what etcd held meanwhile. Clients say when a socket got its welcome and when it ended; etcd is
 * polled all the time; what does not fit together is a fault.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { performance } from 'node:perf_hooks'
import type { KvStore } from '../../../src/ports.ts'
import { deviceKey, parseRoute, USERS } from '../../../src/registry/records.ts'
import type { FaultWorld } from './fault-world.ts'
import type { Ledger } from './ledger.ts'

/** One socket of one device, from its welcome to its end. */
export interface Live {
  readonly key: string
  readonly connectionId: string
  readonly node: string
  readonly sinceMs: number
  endedAtMs: number | undefined
  /** A newer socket of the device got its welcome: the key is no longer this one's to have. */
  isSuperseded: boolean
  /** Since when the device's key has belonged to another, as far as the polls say. */
  foreignSinceMs: number | undefined
}

export interface Findings {
  readonly polls: number
  /** Polls in which the newest socket of a device lived and had no key. */
  readonly missing: number
  /** The longest that a socket outlived the loss of its key to another. */
  readonly longestForeignMs: number
  /** Keys of sockets that had ended longer ago than a lease lives. */
  readonly orphans: number
  readonly faults: readonly string[]
}

/** No close frame was seen. */
const LOST = 1006
const POLL_MS = 10
const MAX_FAULTS = 10

export class RegistryTruth {
  readonly #kv: KvStore
  readonly #ledger: Ledger
  /** How long a key may outlive its socket. */
  readonly #orphanMs: number
  /** By key: the sockets of a device that may live, oldest first. */
  readonly #live = new Map<string, Live[]>()
  /** By connection: since when its key has stood there without it. */
  readonly #unowned = new Map<string, number>()
  readonly #orphans = new Set<string>()
  readonly #faults: string[] = []
  #polls = 0
  #missing = 0
  #longestForeignMs = 0
  #running = false
  #polling: Promise<void> = Promise.resolve()

  constructor (kv: KvStore, ledger: Ledger, orphanMs: number) {
    this.#kv = kv
    this.#ledger = ledger
    this.#orphanMs = orphanMs
  }

  start (): void {
    this.#running = true
    this.#polling = this.#poll()
    // Told by `stop`.
    this.#polling.catch(() => {})
  }

  /** Rejects where etcd did not answer a poll. */
  async stop (): Promise<void> {
    this.#running = false
    await this.#polling
  }

  opened (userId: string, deviceId: string, connectionId: string, node: string): Live {
    const key = deviceKey(userId, deviceId)
    this.#ledger.say({ kind: 'opened', user: userId, device: deviceId, conn: connectionId, node })
    const live: Live = { key, connectionId, node, sinceMs: performance.now(), endedAtMs: undefined, isSuperseded: false, foreignSinceMs: undefined }
    const all = this.#live.get(key) ?? []
    for (const older of all) older.isSuperseded = true
    all.push(live)
    this.#live.set(key, all)
    return live
  }

  /** Said before the client ends it itself, or when it sees the end. */
  ended (live: Live): void {
    if (live.endedAtMs !== undefined) return
    live.endedAtMs = performance.now()
    this.#ledger.say({ kind: 'closed', conn: live.connectionId, code: LOST })
    const all = this.#live.get(live.key) ?? []
    all.splice(all.indexOf(live), 1)
    this.#noteForeign(live, live.endedAtMs)
  }

  /** Said before a node is killed. */
  nodeEnds (node: string): void {
    for (const all of this.#live.values()) for (const live of all.slice()) if (live.node === node) this.ended(live)
  }

  get findings (): Findings {
    return { polls: this.#polls, missing: this.#missing, longestForeignMs: Math.round(this.#longestForeignMs), orphans: this.#orphans.size, faults: this.#faults }
  }

  async #poll (): Promise<void> {
    while (this.#running) {
      // Those that live before the read is sent and after it is answered lived while it was served.
      const before = new Map([...this.#live].flatMap(([key, all]) => all.length === 0 ? [] : [[key, all.slice()] as const]))
      const { entries } = await this.#kv.range(USERS, { prefix: true })
      const nowMs = performance.now()
      this.#polls++
      const owners = new Map(entries.map(({ key, value }) => [key, parseRoute(value)?.conn]))
      for (const [key, all] of before) this.#compare(key, all, owners.get(key), nowMs)
      this.#lookForOrphans(owners, nowMs)
      await pause(POLL_MS)
    }
  }

  #compare (key: string, before: readonly Live[], owner: string | undefined, nowMs: number): void {
    for (const live of before) {
      if (live.endedAtMs !== undefined) continue
      if (owner === live.connectionId) {
        live.foreignSinceMs = undefined
        continue
      }
      if (owner === undefined && !live.isSuperseded) {
        this.#missing++
        this.#fault(`${key} is missing although ${live.connectionId} lives since ${Math.round(nowMs - live.sinceMs)} ms`)
      }
      if (owner !== undefined || live.isSuperseded) live.foreignSinceMs ??= nowMs
      this.#noteForeign(live, nowMs)
    }
  }

  #noteForeign (live: Live, nowMs: number): void {
    if (live.foreignSinceMs === undefined) return
    this.#longestForeignMs = Math.max(this.#longestForeignMs, nowMs - live.foreignSinceMs)
  }

  #lookForOrphans (owners: ReadonlyMap<string, string | undefined>, nowMs: number): void {
    const held = new Set<string>()
    for (const [key, owner = ''] of owners) {
      held.add(owner)
      if (this.#live.get(key)?.some(({ connectionId }) => connectionId === owner) === true) {
        this.#unowned.delete(owner)
        continue
      }
      const sinceMs = this.#unowned.get(owner) ?? nowMs
      this.#unowned.set(owner, sinceMs)
      if (nowMs - sinceMs <= this.#orphanMs || this.#orphans.has(owner)) continue
      this.#orphans.add(owner)
      this.#fault(`${key} still names ${owner}, which is gone since ${Math.round(nowMs - sinceMs)} ms`)
    }
    for (const owner of this.#unowned.keys()) if (!held.has(owner)) this.#unowned.delete(owner)
  }

  #fault (text: string): void {
    if (this.#faults.length < MAX_FAULTS) this.#faults.push(text)
  }
}

/** Keys of the connections that live, by connection. */
export function liveKeys (world: FaultWorld): Map<string, string> {
  const live = new Map<string, string>()
  for (const entry of world.ledger.entries) {
    if (entry.kind === 'opened') live.set(entry.conn, deviceKey(entry.user, entry.device))
    else if (entry.kind === 'closed') live.delete(entry.conn)
  }
  return live
}

/** Whether etcd holds what is connected now, and nothing else. */
export async function isTrue (world: FaultWorld): Promise<boolean> {
  const { entries } = await world.outside.kv.range(USERS, { prefix: true })
  const live = liveKeys(world)
  return entries.length === live.size && entries.every(({ key, value }) => live.get((JSON.parse(value) as { conn: string }).conn) === key)
}
