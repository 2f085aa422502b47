/**
 * One group as this node knows it. Small and with local members: the whole list. Otherwise: the local members, and a
 * Bloom filter of everybody, so that memory follows local connections and not the size of groups [GW-GRP-2].
 */
import type { UserEntry } from '../connections/hub.ts'
import { BloomFilter } from './bloom.ts'

/** Rough cost of a user id in a Set, of a reference in the lists of group and user, of all else. */
const MEMBER_BYTES = 96
const LOCAL_BYTES = 32
const ENTRY_BYTES = 320
/** A filter is made with room for joins; past it its rate of false positives grows. */
const FILTER_SPARE = 1.25
const MIN_FILTER = 64

export class GroupEntry {
  readonly groupId: string
  /** Members with a connection here: what a fan-out iterates. Replaced by another array when the group is forgotten: somebody may still be about to use this one. */
  local: UserEntry[] = []
  /** Everybody, in a small group with local members. */
  members: Set<string> | null = null
  /** Everybody, in all other groups. */
  filter: BloomFilter | null = null
  /** Those who came since and pass the filter: only the User Service knows. null: nobody. */
  undecided: Set<UserEntry> | null = null
  memberCount = 0
  /** Arrivals below this number have been looked at. */
  arrivalsSeen = 0
  /** Monotonic milliseconds: when it is read anew. */
  expiresAtMs = 0
  /** Monotonic milliseconds: nobody is asked before, for the User Service did not answer. */
  askAfterMs = 0
  #filterRoom = 0

  constructor (groupId: string) {
    this.groupId = groupId
  }

  get bytes (): number {
    const listed = this.local.length + (this.undecided?.size ?? 0)
    return ENTRY_BYTES + 2 * this.groupId.length + listed * LOCAL_BYTES + (this.members?.size ?? 0) * MEMBER_BYTES + (this.filter?.bytes ?? 0)
  }

  /** Begins a filter for about so many members. */
  startFilter (expected: number): void {
    this.#filterRoom = Math.ceil(Math.max(MIN_FILTER, expected) * FILTER_SPARE)
    this.filter = new BloomFilter(this.#filterRoom)
  }

  /** Into the filter. False, once: it is full and should be made anew. */
  addToFilter (userId: string): boolean {
    this.filter?.add(userId)
    return --this.#filterRoom !== 0
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

  /** The question is answered, or the user is gone. False: it was not open. */
  decide (user: UserEntry): boolean {
    const wasOpen = this.undecided?.delete(user) === true
    if (this.undecided?.size === 0) this.undecided = null
    return wasOpen
  }

  addLocal (user: UserEntry): void {
    if (user.groups?.includes(this) === true) return
    user.groups ??= []
    user.groupSlots ??= []
    user.groups.push(this)
    user.groupSlots.push(this.local.push(user) - 1)
  }

  removeLocal (user: UserEntry): void {
    const slot = this.#unlist(user)
    if (slot !== undefined) this.#free(slot)
  }

  /** The user is gone: out of all local lists, in as many steps as there are groups. */
  static removeFromAll (user: UserEntry): void {
    const { groups, groupSlots } = user
    user.groups = null
    user.groupSlots = null
    for (const [at, entry] of groups?.entries() ?? []) entry.#free(groupSlots?.[at] as number)
  }

  /** The group is forgotten: nobody refers to it any more. */
  dissolve (): void {
    const forgotten = this.local
    this.local = []
    for (const user of forgotten) this.#unlist(user)
  }

  /** Out of the user's lists; its slot in the local list, undefined where it had none. */
  #unlist ({ groups, groupSlots }: UserEntry): number | undefined {
    const at = groups?.indexOf(this) ?? -1
    if (at === -1) return undefined
    groups?.splice(at, 1)
    return groupSlots?.splice(at, 1)[0]
  }

  /** The last of the list takes the place that becomes free. */
  #free (slot: number): void {
    const last = this.local.pop() as UserEntry
    if (slot === this.local.length) return
    this.local[slot] = last
    const place = last.groups?.indexOf(this) ?? -1
    if (last.groupSlots !== null) last.groupSlots[place] = slot
  }
}
