/**
 * etcd's data model in one process: revisions, nested transactions whose conditions are all looked at before the
 * first write, leases on an injected clock, a history that can be compacted. Synchronous; `MemoryKv` is a client of it.
 */
import { KvCompactedError, KvRejectedError } from '../ports.ts'
import type { Clock, KvBatchResult, KvCondition, KvEntry, KvEvent, KvOperation, KvOperationResult, RangeOptions, RangeResult, Timer } from '../ports.ts'
import { eventOf, History, type Change, type Revision } from './history.ts'
import { KeyTree, type Stored } from './key-tree.ts'

const MAX_OPERATIONS = 100

interface MemoryLease { readonly id: string, readonly ttlSeconds: number, readonly keys: Set<string>, timer: Timer }

/** Told of every revision, at once. */
export interface StoreObserver { onRevision (events: readonly KvEvent[], revision: number): void }

export interface MemoryStoreOptions {
  readonly clock: Clock
  /** How many changes are kept for watches that come back; older ones are compacted. Default 200,000. */
  readonly historyChanges?: number
}

export class MemoryStore {
  readonly #clock: Clock
  readonly #history: History
  readonly #tree = new KeyTree()
  readonly #leases = new Map<string, MemoryLease>()
  readonly #observers = new Set<StoreObserver>()
  #revision = 1
  #nextLease = 1
  #scan: { readonly prefix: string, readonly revision: number, readonly entries: readonly Stored[] } | undefined

  constructor (options: MemoryStoreOptions) {
    this.#clock = options.clock
    this.#history = new History(options.historyChanges ?? 200_000)
  }

  get revision (): number { return this.#revision }
  /** Watches and reads below this revision are refused; 0: nothing was compacted. */
  get compacted (): number { return this.#history.compacted }
  get size (): number { return this.#tree.size }
  get leaseIds (): string[] { return [...this.#leases.keys()] }

  observe (observer: StoreObserver): void { this.#observers.add(observer) }
  unobserve (observer: StoreObserver): void { this.#observers.delete(observer) }

  /** @throws KvCompactedError */
  range (key: string, options: RangeOptions = {}): RangeResult {
    const revision = options.atRevision ?? this.#revision
    if (revision < this.compacted) throw new KvCompactedError()
    const entries = options.prefix === true ? this.#below(key, revision) : this.#at(key, revision)
    const from = options.startAfter === undefined ? 0 : entries.findIndex((entry) => entry.key > (options.startAfter as string))
    const rest = from === -1 ? [] : entries.slice(from, from + (options.limit || entries.length))
    return { revision: this.#revision, entries: rest, more: from !== -1 && from + rest.length < entries.length }
  }

  /** @throws KvRejectedError, and then nothing has been done */
  batch (operations: readonly KvOperation[]): KvBatchResult {
    this.#check(operations)
    const decided = operations.map((operation) => operation.then !== undefined && operation.when.every((condition) => this.#holds(condition)))
    for (const [index, { then }] of operations.entries()) {
      if (decided[index] === true && then !== undefined && 'put' in then && !this.#leases.has(then.leaseId)) {
        throw new KvRejectedError('lease', 'requested lease not found')
      }
    }
    const changes: Change[] = []
    const results = operations.map((operation, index) => this.#run(operation, decided[index] === true, changes))
    this.#commit(changes)
    return { revision: this.#revision, results }
  }

  grantLease (ttlSeconds: number): string {
    const id = String(this.#nextLease++)
    this.#leases.set(id, { id, ttlSeconds, keys: new Set(), timer: this.#expiry(id, ttlSeconds) })
    return id
  }

  /** The seconds that the lease has again; 0: there is none. */
  renewLease (id: string): number {
    const lease = this.#leases.get(id)
    if (lease === undefined) return 0
    this.#clock.clearTimer(lease.timer)
    lease.timer = this.#expiry(id, lease.ttlSeconds)
    return lease.ttlSeconds
  }

  /** Deletes the lease and all its keys, in one revision. */
  revokeLease (id: string): void {
    const lease = this.#leases.get(id)
    if (lease === undefined) return
    this.#clock.clearTimer(lease.timer)
    this.#leases.delete(id)
    const changes: Change[] = []
    for (const key of [...lease.keys].sort()) this.#remove(key, changes)
    this.#commit(changes)
  }

  /** What happened from a revision on. @throws KvCompactedError */
  changesSince (revision: number, prefix: string): Revision[] {
    return this.#history.since(revision, prefix)
  }

  /** Forgets the history up to a revision, by default all of it. */
  compact (revision = this.#revision): void {
    this.#history.compact(revision)
    this.#scan = undefined
  }

  #check (operations: readonly KvOperation[]): void {
    if (operations.length > MAX_OPERATIONS) throw new KvRejectedError('request', 'too many operations in txn request')
    const written = new Set<string>()
    for (const { then } of operations) {
      if (then === undefined) continue
      const key = 'put' in then ? then.put : then.remove
      if (written.has(key)) throw new KvRejectedError('request', 'duplicate key given in txn request')
      written.add(key)
    }
  }

  #holds (condition: KvCondition): boolean {
    switch (condition.kind) {
      case 'absent': return this.#tree.get(condition.key) === undefined
      case 'value': return this.#tree.get(condition.key)?.value === condition.equals
      case 'absent-or-value': return (this.#tree.get(condition.key)?.value ?? condition.equals) === condition.equals
      case 'prefix-unchanged': return this.#tree.below(condition.prefix).every((entry) => entry.modRevision <= condition.revision)
    }
  }

  #run ({ then, otherwise }: KvOperation, succeeded: boolean, changes: Change[]): KvOperationResult {
    if (succeeded && then !== undefined) {
      if ('put' in then) this.#put(then.put, then.value, then.leaseId, changes)
      else this.#remove(then.remove, changes)
      return { succeeded, entries: [] }
    }
    if (otherwise === undefined) return { succeeded, entries: [] }
    const entry = this.#tree.get(otherwise.read)
    return { succeeded, entries: otherwise.prefix === true ? this.#tree.below(otherwise.read) : entry === undefined ? [] : [entry] }
  }

  #put (key: string, value: string, leaseId: string, changes: Change[]): void {
    const before = this.#tree.get(key)
    const after = { key, value, modRevision: this.#revision + 1, leaseId }
    if (before !== undefined) this.#leases.get(before.leaseId)?.keys.delete(key)
    this.#leases.get(leaseId)?.keys.add(key)
    this.#tree.set(after)
    changes.push({ revision: this.#revision + 1, key, before, after })
  }

  #remove (key: string, changes: Change[]): void {
    const before = this.#tree.get(key)
    if (before === undefined) return
    this.#leases.get(before.leaseId)?.keys.delete(key)
    this.#tree.delete(key)
    changes.push({ revision: this.#revision + 1, key, before, after: undefined })
  }

  #commit (changes: Change[]): void {
    if (changes.length === 0) return
    this.#revision++
    this.#history.record(changes)
    const events = changes.map(eventOf)
    for (const observer of [...this.#observers]) observer.onRevision(events, this.#revision)
  }

  #expiry (id: string, ttlSeconds: number): Timer {
    return this.#clock.setTimer(() => this.revokeLease(id), ttlSeconds * 1000)
  }

  #at (key: string, revision: number): readonly KvEntry[] {
    if (revision < this.#revision) return this.#below(key, revision).filter((entry) => entry.key === key)
    const entry = this.#tree.get(key)
    return entry === undefined ? [] : [entry]
  }

  #below (prefix: string, revision: number): readonly Stored[] {
    if (this.#scan?.prefix === prefix && this.#scan.revision === revision) return this.#scan.entries
    let entries: readonly Stored[] = this.#tree.below(prefix)
    if (revision < this.#revision) entries = this.#history.undo(entries, prefix, revision)
    if (entries.length > MAX_OPERATIONS) this.#scan = { prefix, revision, entries }
    return entries
  }
}
