/** Hands what the watcher says to whom it concerns. What nobody understands is counted and passed over. */
import type { KvEntry, KvEvent, Meter } from '../ports.ts'
import type { NodeDirectory } from './node-directory.ts'
import type { NodeKey } from './node-key.ts'
import { NODES, parseKey, parseNode, parseRevoked, parseRoute, REVOKED, USERS, type NodeRecord, type ParsedKey } from './records.ts'
import type { Registrations } from './registrations.ts'
import type { Revocations } from './revocations.ts'
import type { RouteCache } from './route-cache.ts'
import type { WatchSink } from './watcher.ts'

export interface FeedOptions {
  readonly meter: Meter
  readonly nodeId: string
  readonly registrations: Registrations
  readonly routes: RouteCache
  readonly revocations: Revocations
  readonly nodes: NodeDirectory
  readonly nodeKey: NodeKey
}

export class Feed implements WatchSink {
  readonly #options: FeedOptions
  #snapshotRevision = 0
  #sawNodeKey = false

  constructor (options: FeedOptions) {
    this.#options = options
  }

  onEvents (events: readonly KvEvent[]): void {
    for (const event of events) {
      const owner = parseKey(event.key)
      if (owner === undefined) this.#bad('key')
      else if (event.type === 'put') this.#put(owner, event.key, event.value, event.revision)
      else this.#delete(owner, event.key, event.revision)
    }
  }

  onLive (live: boolean): void {
    this.#options.routes.onLive(live)
    this.#options.nodes.onLive(live)
  }

  /** Users only where sessions, or what they left, have to be compared with them. */
  snapshotPrefixes (): readonly string[] {
    return this.#options.registrations.used ? [REVOKED, NODES, USERS] : [REVOKED, NODES]
  }

  onSnapshotStart (revision: number): void {
    const { routes, revocations, nodes } = this.#options
    this.#snapshotRevision = revision
    this.#sawNodeKey = false
    routes.clear()
    revocations.onSnapshotStart()
    nodes.onSnapshotStart()
  }

  onSnapshotEntries (entries: readonly KvEntry[]): void {
    const { registrations, revocations, nodes, nodeId, nodeKey } = this.#options
    for (const { key, value, modRevision } of entries) {
      const owner = parseKey(key)
      switch (owner?.kind) {
        case undefined:
          this.#bad('key')
          break
        case 'user':
          registrations.onPut(key, value, modRevision, this.#snapshotRevision)
          break
        case 'revoked': {
          const before = this.#before(value)
          if (before > 0) revocations.onSnapshotEntry(owner.userId, owner.deviceId, before)
          break
        }
        case 'node': {
          const record = this.#node(value)
          if (record !== undefined) nodes.onSnapshotEntry(owner.nodeId, record)
          if (owner.nodeId !== nodeId) break
          this.#sawNodeKey = true
          nodeKey.onPut(value, modRevision)
        }
      }
    }
  }

  onSnapshotEnd (revision: number): void {
    const { registrations, revocations, nodes, nodeKey, routes } = this.#options
    // Reads that were answered while the snapshot was read may lie before it.
    routes.clear()
    revocations.onSnapshotEnd()
    nodes.onSnapshotEnd()
    registrations.onSnapshotEnd(revision)
    if (!this.#sawNodeKey) nodeKey.onDelete(revision)
  }

  #put (owner: ParsedKey, key: string, value: string, revision: number): void {
    const { registrations, routes, revocations, nodes, nodeId, nodeKey } = this.#options
    switch (owner.kind) {
      case 'user': {
        const record = parseRoute(value)
        if (record === undefined) this.#bad('user')
        registrations.onPut(key, value, revision)
        routes.onChange(owner.userId, owner.deviceId, record, revision)
        return
      }
      case 'revoked': {
        const before = this.#before(value)
        if (before > 0) revocations.onPut(owner.userId, owner.deviceId, before)
        return
      }
      case 'node': {
        const record = this.#node(value)
        if (record === undefined) nodes.onDelete(owner.nodeId)
        else nodes.onPut(owner.nodeId, record)
        if (owner.nodeId === nodeId) nodeKey.onPut(value, revision)
      }
    }
  }

  #delete (owner: ParsedKey, key: string, revision: number): void {
    const { registrations, routes, revocations, nodes, nodeId, nodeKey } = this.#options
    switch (owner.kind) {
      case 'user':
        registrations.onDelete(key, revision)
        routes.onChange(owner.userId, owner.deviceId, undefined, revision)
        return
      case 'revoked':
        revocations.onDelete(owner.userId, owner.deviceId)
        return
      case 'node':
        nodes.onDelete(owner.nodeId)
        if (owner.nodeId === nodeId) nodeKey.onDelete(revision)
    }
  }

  #before (value: string): number {
    const record = parseRevoked(value)
    if (record === undefined) this.#bad('revoked')
    return record?.before ?? 0
  }

  #node (value: string): NodeRecord | undefined {
    const record = parseNode(value)
    if (record === undefined) this.#bad('node')
    return record
  }

  #bad (kind: string): void {
    this.#options.meter.count('registry_bad_values_total', 1, kind)
  }
}
