/**
 * Joins and leaves of the last minutes, laid over whatever is read from Redis or the User Service: either may answer with
 * a list from before the change [GW-GRP-3]. Bounded in age and number; the oldest go first.
 */
import type { Clock } from '../ports.ts'

export interface RecentChangesOptions {
  readonly clock: Clock
  readonly keepMs: number
  /** Changes that are kept at most. */
  readonly capacity: number
}

export type Change = 'join' | 'leave'
interface DatedChange { readonly groupId: string, readonly userId: string, readonly event: Change, readonly atMs: number }

/** Rough cost of one change. */
export const CHANGE_BYTES = 320

export class RecentChanges {
  readonly #options: RecentChangesOptions
  /** Insertion order is age: a newer change of the same user is put in anew. */
  readonly #changes = new Map<string, DatedChange>()
  readonly #byGroup = new Map<string, Map<string, DatedChange>>()

  constructor (options: RecentChangesOptions) {
    this.#options = options
  }

  get size (): number { return this.#changes.size }

  add (groupId: string, userId: string, event: Change): void {
    const key = `${groupId}\u0000${userId}` // no id has a control character
    const change: DatedChange = { groupId, userId, event, atMs: this.#options.clock.monotonicMs() }
    this.#changes.delete(key)
    this.#changes.set(key, change)
    let group = this.#byGroup.get(groupId)
    if (group === undefined) this.#byGroup.set(groupId, group = new Map())
    group.set(userId, change)
    this.#trim()
  }

  /** The last change of each user of a group. */
  of (groupId: string): Iterable<{ readonly userId: string, readonly event: Change }> {
    this.#trim()
    return this.#byGroup.get(groupId)?.values() ?? []
  }

  last (groupId: string, userId: string): Change | undefined {
    this.#trim()
    return this.#byGroup.get(groupId)?.get(userId)?.event
  }

  /** Whether somebody's last change is a join of that moment (monotonic milliseconds) or later. */
  joinedSince (groupId: string, sinceMs: number): boolean {
    for (const { event, atMs } of this.#byGroup.get(groupId)?.values() ?? []) if (event === 'join' && atMs >= sinceMs) return true
    return false
  }

  #trim (): void {
    const { clock, keepMs, capacity } = this.#options
    const oldest = clock.monotonicMs() - keepMs
    for (const [key, change] of this.#changes) {
      if (change.atMs >= oldest && this.#changes.size <= capacity) return
      this.#changes.delete(key)
      const group = this.#byGroup.get(change.groupId)
      group?.delete(change.userId)
      if (group?.size === 0) this.#byGroup.delete(change.groupId)
    }
  }
}
