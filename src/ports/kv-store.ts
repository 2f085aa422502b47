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
  /** Either of the two above; one of these at most. */
  | { readonly kind: 'absent-or-value', readonly key: string, readonly equals: string }
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
  /** Called exactly once unless cancelled. */
  onEnd (reason: WatchEnd): void
}
/** `compactedAt`: the revision asked for is gone. `tooLong`: more has happened since than the adapter takes in at once. */
export interface WatchEnd { readonly compactedAt?: number, readonly tooLong?: boolean, readonly error?: Error }
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
