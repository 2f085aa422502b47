/** The groups that this node knows, bounded in bytes, least recently used out first; and those that do not exist. */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../ports.ts'
import type { GroupEntry } from './group-entry.ts'

/** A new one each time an entry's size is counted anew: the cache ignores what it already has. */
interface Slot { readonly entry: GroupEntry }

/** How long a group that does not exist is remembered [GW-GRP-4]. */
const MISSING_MS = 30_000
const MAX_MISSING = 10_000
/** Once it has not been asked for so long, a group that was joined and never found is waited for anew. */
export const LAG_FORGOTTEN_MS = 300_000

export class GroupTable {
  readonly #clock: Clock
  readonly #slots: LRUCache<string, Slot>
  readonly #maxBytes: number
  /** Until when each is taken for missing, monotonic milliseconds. */
  readonly #missing = new LRUCache<string, number>({ max: MAX_MISSING })

  /** Groups that were joined and are not found: since when, and when that was last so, monotonic milliseconds. */
  readonly #lags = new LRUCache<string, { readonly sinceMs: number, readonly seenMs: number }>({ max: MAX_MISSING })

  constructor (options: { readonly maxBytes: number, readonly clock: Clock }) {
    this.#clock = options.clock
    this.#maxBytes = options.maxBytes
    this.#slots = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: ({ entry }) => entry.bytes,
      dispose: ({ entry }) => { entry.dissolve() },
      noDisposeOnSet: true
    })
  }

  get bytes (): number { return this.#slots.calculatedSize }

  /** The entry, which counts as used by that. */
  use (groupId: string): GroupEntry | undefined { return this.#slots.get(groupId)?.entry }
  peek (groupId: string): GroupEntry | undefined { return this.#slots.peek(groupId)?.entry }

  /** Puts an entry in, or has its size counted anew. One that is larger than all the table is dissolved. */
  keep (entry: GroupEntry): void {
    const before = this.peek(entry.groupId)
    if (before !== undefined && before !== entry) before.dissolve()
    this.#missing.delete(entry.groupId)
    this.#lags.delete(entry.groupId)
    if (entry.bytes > this.#maxBytes) {
      this.#slots.delete(entry.groupId)
      entry.dissolve()
    } else {
      this.#slots.set(entry.groupId, { entry })
    }
  }

  isMissing (groupId: string): boolean {
    const until = this.#missing.get(groupId)
    return until !== undefined && this.#clock.monotonicMs() < until
  }

  markMissing (groupId: string): void {
    this.#slots.delete(groupId)
    this.#missing.set(groupId, this.#clock.monotonicMs() + MISSING_MS)
  }

  /** Somebody joined: it does exist. */
  unmarkMissing (groupId: string): void {
    this.#missing.delete(groupId)
  }

  /** Somebody joined it, and it is not found: for how many milliseconds that has been so, however often somebody joined since. */
  lagMs (groupId: string): number {
    const now = this.#clock.monotonicMs()
    const lag = this.#lags.get(groupId)
    const sinceMs = lag !== undefined && now - lag.seenMs < LAG_FORGOTTEN_MS ? lag.sinceMs : now
    this.#lags.set(groupId, { sinceMs, seenMs: now })
    return now - sinceMs
  }
}
