/**
 * Who came online since a group was last looked at [GW-GRP-2]: with the whole list at hand they are in or out at once; with
 * a filter those who pass it are undecided until the User Service is asked.
 */
import type { Hub, UserEntry } from '../connections/hub.ts'
import { Arrivals } from './arrivals.ts'
import type { GroupEntry } from './group-entry.ts'
import type { RecentChanges } from './recent-changes.ts'

export interface NewcomersOptions {
  readonly hub: Hub
  readonly changes: RecentChanges
  readonly arrivals?: Arrivals
}

/** Looking at so many newcomers costs less than reading any group anew. */
const MAX_LOOKED_AT = 2_048

export class Newcomers {
  readonly #hub: Hub
  readonly #changes: RecentChanges
  readonly #arrivals: Arrivals

  constructor (options: NewcomersOptions) {
    this.#hub = options.hub
    this.#changes = options.changes
    this.#arrivals = options.arrivals ?? new Arrivals()
  }

  /** The number that the next newcomer gets. */
  get end (): number { return this.#arrivals.end }

  add (user: UserEntry): void { this.#arrivals.add(user) }
  remove (user: UserEntry): void { this.#arrivals.remove(user) }

  isHere (user: UserEntry): boolean {
    return this.#hub.user(user.userId) === user
  }

  /** Looks at who came. False: somebody is undecided, or so many came that the group is read anew for less. */
  look (entry: GroupEntry): boolean {
    const end = this.#arrivals.end
    if (entry.arrivalsSeen === end) return entry.undecided === null
    if (entry.members !== null) this.#addMembers(entry, entry.members, end - entry.arrivalsSeen)
    else if (this.#isTooFar(entry)) return false
    else this.#addCandidates(entry)
    entry.arrivalsSeen = end
    return entry.undecided === null
  }

  /** Who is still here and undecided; undefined: the group has to be read anew. */
  undecided (entry: GroupEntry): UserEntry[] | undefined {
    if (entry.members === null && this.#isTooFar(entry)) return undefined
    const here = [...entry.undecided ?? []].filter((user) => this.isHere(user))
    entry.undecided = here.length === 0 ? null : new Set(here)
    return here
  }

  #isTooFar (entry: GroupEntry): boolean {
    const came = this.#arrivals.end - entry.arrivalsSeen
    return came > 0 && (came > Math.max(MAX_LOOKED_AT, entry.memberCount) || !this.#arrivals.knows(entry.arrivalsSeen))
  }

  #addMembers (entry: GroupEntry, members: ReadonlySet<string>, came: number): void {
    if (came <= members.size && this.#arrivals.knows(entry.arrivalsSeen)) {
      for (const user of this.#arrivals.since(entry.arrivalsSeen)) if (members.has(user.userId)) entry.addLocal(user)
      return
    }
    for (const userId of members) {
      const user = this.#hub.user(userId)
      if (user !== undefined) entry.addLocal(user)
    }
  }

  #addCandidates (entry: GroupEntry): void {
    for (const user of this.#arrivals.since(entry.arrivalsSeen, entry.filter)) {
      if (user.groups?.includes(entry) === true) continue
      const change = this.#changes.last(entry.groupId, user.userId)
      if (change === 'join') entry.addLocal(user)
      else if (change === undefined) (entry.undecided ??= new Set()).add(user)
    }
  }
}
