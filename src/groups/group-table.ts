/** The groups that this node knows, bounded in bytes, least recently used out first; and those that do not exist. */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../ports.ts'
import type { GroupEntry } from './group-entry.ts'

/** A new one each time an entry's size is counted anew: the cache ignores what it already has. */
interface Slot { readonly entry: GroupEntry }

/** How long a group that does not exist is remembered [GW-GRP-4]. */
const MISSING_MS = 30_000
const MAX_MISSING = 10_000

export class GroupTable {
  readonly #clock: Clock
  readonly #slots: LRUCache<string, Slot>
  readonly #maxBytes: number
  /** Until when each is taken for missing, monotonic milliseconds. */
  readonly #missing = new LRUCache<string, number>({ max: MAX_MISSING })

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
}
