/**
 * Who of a group is here [GW-GRP-2], [GW-GRP-3], [GW-GRP-4]. Entries are bounded in bytes, the least recently used go
 * first; concurrent misses share one read; an entry that has expired serves on while it is read anew. Joins and leaves
 * change entries in place, and whoever came online since is looked up at the group's next record.
 */
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../errors.ts'
import type { Hub, PresenceListener, UserEntry } from '../connections/hub.ts'
import type { Clock, Logger, Meter, SharedCache, Timer, UserService } from '../ports.ts'
import { Arrivals } from './arrivals.ts'
import type { GroupEntry } from './group-entry.ts'
import { MemberSource } from './member-source.ts'
import { RecentChanges } from './recent-changes.ts'

export interface MembershipOptions {
  readonly hub: Hub
  readonly users: UserService
  readonly sharedCache: SharedCache | undefined
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  /** Groups up to this size are cached whole where they have a local member. */
  readonly largeGroupSize: number
  readonly membershipCacheBytes: number
  readonly cacheTtlMs: number
}

/** `missing`: there is no such group. `unknown`: it has to be read, or somebody looked up, first. */
export type LocalMembers = readonly UserEntry[] | 'missing' | 'unknown'

/** What the cache holds: a new one each time the entry's size is counted anew. */
interface Slot { readonly entry: GroupEntry }

/** How long a group that does not exist is remembered. */
const MISSING_MS = 30_000
const MAX_MISSING = 10_000
/** Changes are kept this much longer than a cached list can be old. */
const CHANGE_SLACK_MS = 60_000
/** What a record waits at most for the User Service to say who of those who came is a member. */
export const LOOKUP_WAIT_MS = 2_000
/** Between two tries to read or to ask while the User Service is away and what is known serves on. */
const RETRY_MS = 5_000

export class Membership implements PresenceListener {
  readonly #options: MembershipOptions
  readonly #source: MemberSource
  readonly #arrivals = new Arrivals()
  readonly #changes: RecentChanges
  readonly #entries: LRUCache<string, Slot>
  readonly #missing: LRUCache<string, number>
  readonly #reading = new Map<string, Promise<void>>()

  constructor (options: MembershipOptions) {
    const { hub, meter, membershipCacheBytes, cacheTtlMs, clock } = options
    this.#options = options
    this.#source = new MemberSource(options)
    this.#changes = new RecentChanges({ clock, keepMs: cacheTtlMs + CHANGE_SLACK_MS })
    this.#entries = new LRUCache({
      maxSize: membershipCacheBytes,
      sizeCalculation: ({ entry }) => entry.bytes,
      dispose: ({ entry }) => { entry.dissolve() },
      noDisposeOnSet: true
    })
    this.#missing = new LRUCache({ max: MAX_MISSING })
    hub.listen(this)
    meter.source('membership_bytes', () => this.#entries.calculatedSize)
  }

  onUserOnline (user: UserEntry): void {
    this.#arrivals.add(user)
  }

  onUserOffline (user: UserEntry): void {
    for (const entry of user.groups?.slice() ?? []) entry.removeLocal(user)
  }

  /** What is known at once. An expired entry is read anew in the background. */
  local (groupId: string): LocalMembers {
    const { clock, meter, cacheTtlMs } = this.#options
    const now = clock.monotonicMs()
    const entry = this.#entries.get(groupId)?.entry
    if (entry === undefined) {
      const until = this.#missing.get(groupId)
      if (until !== undefined && now < until) return 'missing'
      meter.count('cache_requests_total', 1, 'membership', 'miss')
      return 'unknown'
    }
    if (now - entry.loadedAtMs >= cacheTtlMs || entry.isCrowded) this.#readAnew(entry)
    if (!this.#look(entry, now)) return 'unknown'
    meter.count('cache_requests_total', 1, 'membership', 'hit')
    return entry.local
  }

  /** Reads the group, or looks up who came. Rejects where nobody answers; never for a group that does not exist. */
  async resolve (groupId: string): Promise<void> {
    const entry = this.#entries.get(groupId)?.entry
    if (entry === undefined) await this.#read(groupId)
    else await this.#lookUp(entry)
  }

  /** What is known, however little: for a group that stays unknown because it does not fit the cache or changes all the time. */
  known (groupId: string): readonly UserEntry[] {
    return this.#entries.peek(groupId)?.entry.local ?? []
  }

  /** Whether membership changes of this group are told to its members: only in small groups. */
  isSmall (groupId: string): boolean {
    const entry = this.#entries.peek(groupId)?.entry
    return entry !== undefined && entry.memberCount <= this.#options.largeGroupSize
  }

  /** A join or a leave, in place and laid over every read that is under way or to come. */
  apply (groupId: string, userId: string, event: 'join' | 'leave'): void {
    this.#changes.add(groupId, userId, event)
    this.#missing.delete(groupId)
    const { sharedCache, logger } = this.#options
    sharedCache?.apply(groupId, userId, event).catch((error: unknown) => { logger.debug({ err: error }, 'shared cache did not take a change') })
    const entry = this.#entries.peek(groupId)?.entry
    if (entry === undefined) return
    this.#change(entry, userId, event)
    this.#keep(entry)
  }

  #change (entry: GroupEntry, userId: string, event: 'join' | 'leave'): void {
    const user = this.#options.hub.user(userId)
    if (event === 'join') {
      const isNew = entry.members === null ? !entry.mayHave(userId) : !entry.members.has(userId)
      if (isNew) entry.memberCount++
      if (entry.members === null) entry.addToFilter(userId)
      else entry.members.add(userId)
      if (user !== undefined) entry.addLocal(user)
      if (entry.memberCount > this.#options.largeGroupSize) entry.shrink()
      return
    }
    const wasThere = entry.members === null ? entry.mayHave(userId) : entry.members.delete(userId)
    if (wasThere) entry.memberCount--
    if (user !== undefined) entry.removeLocal(user)
  }

  /** Looks at who came since. False: somebody may be a member, and only the User Service knows. */
  #look (entry: GroupEntry, nowMs: number): boolean {
    const end = this.#arrivals.end
    if (entry.arrivalsSeen === end) return true
    const { members } = entry
    let open = false
    for (const user of this.#came(entry)) {
      if (members !== null) {
        if (members.has(user.userId) && this.#isHere(user)) entry.addLocal(user)
      } else if (this.#isCandidate(entry, user)) {
        if (nowMs >= entry.lookUpAfterMs) return false
        open = true
      }
    }
    if (!open) entry.arrivalsSeen = end
    return true
  }

  /** Asks who of those who came is a member, for two seconds at most. Whoever was not found out about gets nothing for now: the gap shows in the sequence. */
  async #lookUp (entry: GroupEntry): Promise<void> {
    const { clock, largeGroupSize, logger } = this.#options
    const end = this.#arrivals.end
    const candidates = [...this.#came(entry)].filter((user) => this.#isCandidate(entry, user))
    // A small group that gets a local member is cached whole.
    const asked = entry.memberCount <= largeGroupSize
      ? this.#read(entry.groupId)
      : Promise.all(candidates.map(async (user) => {
        if (await this.#source.isMember(entry.groupId, user.userId)) this.#admit(entry, user)
      }))
    let timer: Timer | undefined
    const late = new Promise<never>((resolve, reject) => {
      timer = clock.setTimer(() => { reject(new GatewayError('DEADLINE_EXCEEDED')) }, LOOKUP_WAIT_MS)
    })
    try {
      await Promise.race([asked, late])
      entry.arrivalsSeen = Math.max(entry.arrivalsSeen, end)
      if (this.#isCurrent(entry)) this.#keep(entry)
    } catch (error) {
      logger.debug({ err: error }, 'who came could not be looked up')
      entry.lookUpAfterMs = clock.monotonicMs() + RETRY_MS
      asked.catch(() => { /* told above where it was in time */ })
    } finally {
      if (timer !== undefined) clock.clearTimer(timer)
    }
  }

  #admit (entry: GroupEntry, user: UserEntry): void {
    const left = this.#changes.last(entry.groupId, user.userId) === 'leave'
    if (!left && this.#isHere(user) && this.#isCurrent(entry)) entry.addLocal(user)
  }

  #isCurrent (entry: GroupEntry): boolean {
    return this.#entries.peek(entry.groupId)?.entry === entry
  }

  #came (entry: GroupEntry): Iterable<UserEntry> {
    return this.#arrivals.knows(entry.arrivalsSeen) ? this.#arrivals.since(entry.arrivalsSeen) : this.#options.hub.users()
  }

  #isCandidate (entry: GroupEntry, user: UserEntry): boolean {
    return this.#isHere(user) && entry.mayHave(user.userId) && user.groups?.includes(entry) !== true && this.#changes.last(entry.groupId, user.userId) !== 'leave'
  }

  #isHere (user: UserEntry): boolean {
    return this.#options.hub.user(user.userId) === user
  }

  #readAnew (entry: GroupEntry): void {
    const { clock, cacheTtlMs, logger } = this.#options
    this.#read(entry.groupId).catch((error: unknown) => {
      logger.debug({ err: error }, 'an expired group serves on')
      entry.loadedAtMs = clock.monotonicMs() - cacheTtlMs + RETRY_MS
    })
    // One read at a time, and none at every record while the service is away.
    entry.loadedAtMs = clock.monotonicMs()
  }

  /** Joins a read of the group that is under way. */
  #read (groupId: string): Promise<void> {
    let reading = this.#reading.get(groupId)
    if (reading === undefined) {
      reading = this.#readOnce(groupId).finally(() => { this.#reading.delete(groupId) })
      this.#reading.set(groupId, reading)
    }
    return reading
  }

  async #readOnce (groupId: string): Promise<void> {
    const { clock } = this.#options
    const arrivalsSeen = this.#arrivals.end
    try {
      const entry = await this.#source.read(groupId)
      for (const { userId, event } of this.#changes.of(groupId)) this.#change(entry, userId, event)
      if (entry.members !== null) {
        for (const user of this.#arrivals.since(arrivalsSeen)) if (this.#isHere(user) && entry.members.has(user.userId)) entry.addLocal(user)
      }
      entry.arrivalsSeen = entry.members === null ? arrivalsSeen : this.#arrivals.end
      entry.loadedAtMs = clock.monotonicMs()
      if (entry.local.length === 0) entry.shrink()
      this.#missing.delete(groupId)
      this.#keep(entry)
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'GROUP_NOT_FOUND') throw error
      this.#entries.delete(groupId)
      this.#missing.set(groupId, clock.monotonicMs() + MISSING_MS)
    }
  }

  /** Puts the entry in, or has its size counted anew. */
  #keep (entry: GroupEntry): void {
    const before = this.#entries.peek(entry.groupId)?.entry
    if (before !== undefined && before !== entry) before.dissolve()
    this.#entries.set(entry.groupId, { entry })
  }
}
