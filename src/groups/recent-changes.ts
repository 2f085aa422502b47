/**
 * Joins and leaves of the last minutes, laid over whatever is read from Redis or the User Service: either may answer with
 * a list from before the change [GW-GRP-3]. Bounded in age and number; the oldest go first.
 */
import type { Clock } from '../ports.ts'

interface Change { readonly groupId: string, readonly userId: string, readonly event: 'join' | 'leave', readonly atMs: number }

export class RecentChanges {
  readonly #clock: Clock
  readonly #keepMs: number
  readonly #capacity: number
  /** Insertion order is age: a newer change of the same user is put in anew. */
  readonly #changes = new Map<string, Change>()
  readonly #byGroup = new Map<string, Map<string, Change>>()

  constructor (options: { readonly clock: Clock, readonly keepMs: number, readonly capacity?: number }) {
    this.#clock = options.clock
    this.#keepMs = options.keepMs
    this.#capacity = options.capacity ?? 100_000
  }

  get size (): number { return this.#changes.size }

  add (groupId: string, userId: string, event: 'join' | 'leave'): void {
    const key = `${groupId}\u0000${userId}` // no id has a control character
    const change: Change = { groupId, userId, event, atMs: this.#clock.monotonicMs() }
    this.#changes.delete(key)
    this.#changes.set(key, change)
    let group = this.#byGroup.get(groupId)
    if (group === undefined) this.#byGroup.set(groupId, group = new Map())
    group.set(userId, change)
    this.#trim()
  }

  /** The last change of each user of a group. */
  * of (groupId: string): Generator<{ readonly userId: string, readonly event: 'join' | 'leave' }> {
    this.#trim()
    yield * this.#byGroup.get(groupId)?.values() ?? []
  }

  last (groupId: string, userId: string): 'join' | 'leave' | undefined {
    this.#trim()
    return this.#byGroup.get(groupId)?.get(userId)?.event
  }

  #trim (): void {
    const oldest = this.#clock.monotonicMs() - this.#keepMs
    for (const [key, change] of this.#changes) {
      if (change.atMs >= oldest && this.#changes.size <= this.#capacity) return
      this.#changes.delete(key)
      const group = this.#byGroup.get(change.groupId)
      group?.delete(change.userId)
      if (group?.size === 0) this.#byGroup.delete(change.groupId)
    }
  }
}
