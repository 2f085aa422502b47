/**
 * One group as this node knows it. Small and with local members: the whole list. Otherwise: the local members, and a
 * Bloom filter of everybody, so that memory follows local connections and not the size of groups [GW-GRP-2].
 */
import type { UserEntry } from '../connections/hub.ts'
import { BloomFilter } from './bloom.ts'

/** Rough cost of a user id in a Set, and of a reference in both lists. */
const MEMBER_BYTES = 96
const LOCAL_BYTES = 32
const ENTRY_BYTES = 256
/** A filter is made with room for joins; past it its rate of false positives grows. */
const FILTER_SPARE = 1.25

export class GroupEntry {
  readonly groupId: string
  /** Members with a connection here: what a fan-out iterates. */
  readonly local: UserEntry[] = []
  /** Everybody, in a small group with local members. */
  members: Set<string> | null = null
  /** Everybody, in all other groups. */
  filter: BloomFilter | null = null
  memberCount = 0
  /** The filter's own count of what was put in. */
  #filtered = 0
  #filterRoom = 0
  /** Monotonic milliseconds. */
  loadedAtMs = 0
  /** Arrivals up to here have been looked at. */
  arrivalsSeen = 0
  /** The User Service did not answer: until then nobody is looked up. Monotonic milliseconds. */
  lookUpAfterMs = 0

  constructor (groupId: string) {
    this.groupId = groupId
  }

  get bytes (): number {
    return ENTRY_BYTES + this.local.length * LOCAL_BYTES + (this.members?.size ?? 0) * MEMBER_BYTES + (this.filter?.bytes ?? 0)
  }

  /** The filter has taken so many joins that it should be made anew. */
  get isCrowded (): boolean { return this.filter !== null && this.#filtered > this.#filterRoom }

  /** Begins a filter for about so many members. */
  startFilter (expected: number): void {
    this.#filterRoom = Math.ceil(Math.max(64, expected) * FILTER_SPARE)
    this.#filtered = 0
    this.filter = new BloomFilter(this.#filterRoom)
  }

  addToFilter (userId: string): void {
    this.filter?.add(userId)
    this.#filtered++
  }

  /** From the whole list to a filter. */
  shrink (): void {
    if (this.members === null) return
    this.startFilter(this.members.size)
    for (const userId of this.members) this.addToFilter(userId)
    this.members = null
  }

  /** Whether a user can be a member: certain with the whole list, else with rare false positives. */
  mayHave (userId: string): boolean {
    return this.members?.has(userId) ?? this.filter?.has(userId) ?? false
  }

  addLocal (user: UserEntry): void {
    if (user.groups?.includes(this) === true) return
    user.groups ??= []
    user.groupSlots ??= []
    user.groups.push(this)
    user.groupSlots.push(this.local.push(user) - 1)
  }

  removeLocal (user: UserEntry): void {
    const at = user.groups?.indexOf(this) ?? -1
    if (at === -1 || user.groups === null || user.groupSlots === null) return
    const slot = user.groupSlots[at] as number
    user.groups.splice(at, 1)
    user.groupSlots.splice(at, 1)
    const last = this.local.pop() as UserEntry
    if (last === user) return
    this.local[slot] = last
    const place = last.groups?.indexOf(this) ?? -1
    if (last.groupSlots !== null) last.groupSlots[place] = slot
  }

  /** The group is forgotten: nobody refers to it any more. */
  dissolve (): void {
    for (const user of this.local.slice()) this.removeLocal(user)
  }
}
