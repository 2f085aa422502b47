/**
 * Who of a group is here [GW-GRP-2], [GW-GRP-3], [GW-GRP-4]. Concurrent misses share one read; an entry that has expired
 * serves on while it is read anew. Joins and leaves change entries in place, and whoever came online since is looked up
 * at the group's next record.
 */
import { GatewayError } from '../errors.ts'
import type { Hub, PresenceListener, UserEntry } from '../connections/hub.ts'
import type { Clock, Logger, Meter, SharedCache, UserService } from '../ports.ts'
import { settledWithin } from '../wait.ts'
import { GroupEntry } from './group-entry.ts'
import { GroupTable } from './group-table.ts'
import { MemberSource, PAGE_SIZE, READ_DEADLINE_MS } from './member-source.ts'
import { Newcomers } from './newcomers.ts'
import { CHANGE_BYTES, RecentChanges, type Change } from './recent-changes.ts'

export interface MembershipOptions {
  readonly hub: Hub
  readonly users: UserService
  readonly sharedCache: SharedCache | undefined
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  /** Groups up to this size are cached whole where they have a local member. */
  readonly largeGroupSize: number
  /** For groups and recent changes together. */
  readonly membershipCacheBytes: number
  readonly cacheTtlMs: number
}

/** `missing`: there is no such group. `unknown`: it has to be read, or somebody looked up, first. */
export type LocalMembers = readonly UserEntry[] | 'missing' | 'unknown'
export type KnownMembers = Exclude<LocalMembers, 'unknown'>

/** Recent changes get this share of the bytes at most. */
const CHANGE_SHARE = 1 / 8
/** What a record waits at most for the User Service to say who of those who came is a member. */
export const LOOKUP_WAIT_MS = 2_000
/** Between two tries to read or to ask while the User Service is away and what is known serves on. */
export const RETRY_MS = 5_000
/** How far a User Service may lag that says there is no group which somebody has just joined. */
export const LAG_MS = 30_000

export class Membership implements PresenceListener {
  readonly #options: MembershipOptions
  readonly #source: MemberSource
  readonly #newcomers: Newcomers
  readonly #changes: RecentChanges
  readonly #table: GroupTable
  readonly #reading = new Map<string, Promise<KnownMembers>>()

  constructor (options: MembershipOptions) {
    const { hub, meter, membershipCacheBytes, cacheTtlMs, clock } = options
    this.#options = options
    const capacity = Math.floor(membershipCacheBytes * CHANGE_SHARE / CHANGE_BYTES)
    // A list may be as old as the shared cache keeps it, or as the read that brings it.
    this.#changes = new RecentChanges({ clock, keepMs: cacheTtlMs + READ_DEADLINE_MS, capacity })
    this.#table = new GroupTable({ maxBytes: membershipCacheBytes - capacity * CHANGE_BYTES, clock })
    this.#source = new MemberSource({ ...options, changes: this.#changes })
    this.#newcomers = new Newcomers({ hub, changes: this.#changes })
    hub.listen(this)
    meter.source('membership_bytes', () => this.#table.bytes + this.#changes.size * CHANGE_BYTES)
  }

  onUserOnline (user: UserEntry): void {
    this.#newcomers.add(user)
  }

  onUserOffline (user: UserEntry): void {
    this.#newcomers.remove(user)
    GroupEntry.removeFromAll(user)
  }

  /** What is known at once; the list is live. An expired entry is read anew in the background. */
  local (groupId: string): LocalMembers {
    const { clock, meter } = this.#options
    const entry = this.#table.use(groupId)
    if (entry === undefined) {
      if (this.#table.isMissing(groupId)) return 'missing'
      meter.count('cache_requests_total', 1, 'membership', 'miss')
      return 'unknown'
    }
    const now = clock.monotonicMs()
    if (now >= entry.expiresAtMs) this.#readAnew(entry, now)
    const { local } = entry
    const size = local.length
    if (now >= entry.askAfterMs && !this.#newcomers.look(entry)) return 'unknown'
    // It may have become too large to be kept; those who were found get this message all the same.
    if (local.length > size) this.#table.keep(entry)
    meter.count('cache_requests_total', 1, 'membership', 'hit')
    return local
  }

  /** Reads the group, or looks up who came. Rejects where a group is not known and nobody answers. */
  async resolve (groupId: string): Promise<KnownMembers> {
    const entry = this.#table.peek(groupId)
    if (entry === undefined) return this.#read(groupId)
    await this.#lookUp(entry)
    return (this.#table.peek(groupId) ?? entry).local.slice()
  }

  /** Whether membership changes of this group are told to its members: only in small groups. */
  isSmall (groupId: string): boolean {
    const entry = this.#table.peek(groupId)
    return entry !== undefined && entry.memberCount <= this.#options.largeGroupSize
  }

  /** A join or a leave, in place and laid over every read that is under way or to come. */
  apply (groupId: string, userId: string, event: Change): void {
    this.#changes.add(groupId, userId, event)
    this.#table.unmarkMissing(groupId)
    const { sharedCache, logger } = this.#options
    sharedCache?.apply(groupId, userId, event).catch((error: unknown) => { logger.debug({ err: error }, 'shared cache did not take a change') })
    const entry = this.#table.peek(groupId)
    if (entry === undefined) return
    this.#change(entry, userId, event)
    this.#table.keep(entry)
  }

  #change (entry: GroupEntry, userId: string, event: Change): void {
    const user = this.#options.hub.user(userId)
    const wasThere = entry.mayHave(userId)
    if (user !== undefined) entry.decide(user)
    if (event === 'leave') {
      entry.members?.delete(userId)
      if (wasThere) entry.memberCount--
      if (user !== undefined) entry.removeLocal(user)
      return
    }
    if (!wasThere) entry.memberCount++
    if (entry.members !== null) entry.members.add(userId)
    else if (!wasThere && !entry.addToFilter(userId)) entry.expiresAtMs = Math.min(entry.expiresAtMs, this.#options.clock.monotonicMs())
    if (user !== undefined) entry.addLocal(user)
    if (entry.memberCount > this.#options.largeGroupSize) entry.shrink()
  }

  /**
   * Finds out who of those who came is a member, in two seconds at most; never rejects. Whoever was not found out about
   * in time gets nothing for now, and sees it by the gap in the sequence.
   */
  async #lookUp (entry: GroupEntry): Promise<void> {
    const { clock, largeGroupSize, logger } = this.#options
    const undecided = this.#newcomers.undecided(entry)
    // A small group that gets a local member is cached whole; of a large one, whatever takes fewer calls.
    const whole = undecided === undefined || entry.memberCount <= largeGroupSize || undecided.length > entry.memberCount / PAGE_SIZE
    const calls = whole ? this.#read(entry.groupId) : Promise.all(undecided.map((user) => this.#ask(entry, user)))
    let isAnswered = false
    const answered = calls.then(() => { isAnswered = true }, (error: unknown) => { logger.debug({ err: error }, 'who came could not be looked up') })
    await settledWithin(answered, LOOKUP_WAIT_MS, clock)
    if (!isAnswered) entry.askAfterMs = clock.monotonicMs() + RETRY_MS
    if (this.#isCurrent(entry)) this.#table.keep(entry)
  }

  async #ask (entry: GroupEntry, user: UserEntry): Promise<void> {
    const isMember = await this.#source.isMember(entry.groupId, user.userId)
    // An event that came meanwhile has decided already.
    if (entry.decide(user) && isMember && this.#newcomers.isHere(user) && this.#isCurrent(entry)) entry.addLocal(user)
  }

  #isCurrent (entry: GroupEntry): boolean {
    return this.#table.peek(entry.groupId) === entry
  }

  /** One read at a time, and none at every record while the service is away. */
  #readAnew (entry: GroupEntry, nowMs: number): void {
    entry.expiresAtMs = nowMs + RETRY_MS
    this.#read(entry.groupId).catch((error: unknown) => { this.#options.logger.debug({ err: error }, 'an expired group serves on') })
  }

  /** Joins a read of the group that is under way. Resolves to a copy: the entry may have to give way at once. */
  #read (groupId: string): Promise<KnownMembers> {
    let reading = this.#reading.get(groupId)
    if (reading === undefined) {
      reading = this.#readOnce(groupId).finally(() => { this.#reading.delete(groupId) })
      this.#reading.set(groupId, reading)
    }
    return reading
  }

  async #readOnce (groupId: string): Promise<KnownMembers> {
    const { clock, cacheTtlMs } = this.#options
    const arrivalsSeen = this.#newcomers.end
    const startedMs = clock.monotonicMs()
    try {
      const entry = await this.#source.read(groupId, this.#table.peek(groupId)?.memberCount ?? 0)
      entry.expiresAtMs = clock.monotonicMs() + cacheTtlMs
      for (const { userId, event } of this.#changes.of(groupId)) this.#change(entry, userId, event)
      entry.arrivalsSeen = arrivalsSeen
      if (entry.local.length === 0) entry.shrink()
      const local = entry.local.slice()
      this.#table.keep(entry)
      return local
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'GROUP_NOT_FOUND') throw error
      // The answer is from before the group: its records wait for a better one, for as long as that can be. Joins that go on do not prolong it.
      if (this.#changes.joinedSince(groupId, startedMs - LAG_MS) && this.#table.lagMs(groupId) < LAG_MS) throw new GatewayError('SERVICE_UNAVAILABLE', { cause: error, detail: 'a group that was joined is not found yet' })
      this.#table.markMissing(groupId)
      return 'missing'
    }
  }
}
