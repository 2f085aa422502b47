/**
 * Where a group's members come from: the shared cache, behind it the User Service in pages. A list of a small group
 * comes whole; of a large one each page goes into the entry as it comes, so that nothing here grows with the group.
 */
import { GatewayError } from '../errors.ts'
import type { Hub } from '../connections/hub.ts'
import type { Clock, Logger, Meter, SharedCache, UserService } from '../ports.ts'
import { GroupEntry } from './group-entry.ts'
import type { RecentChanges } from './recent-changes.ts'
import { Semaphore } from './semaphore.ts'

export interface MemberSourceOptions {
  readonly hub: Hub
  readonly users: UserService
  readonly sharedCache: SharedCache | undefined
  readonly changes: RecentChanges
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly largeGroupSize: number
}

/** Members in a page of the User Service, the most it gives. */
export const PAGE_SIZE = 1_000
/** A service that never ends its pages is broken; and changes are remembered for as long as a read may take, not longer. */
const MAX_PAGES = 10_000
export const READ_DEADLINE_MS = 60_000
/** Lists up to this many times LARGE_GROUP_SIZE are put into the shared cache; larger ones would stall Redis and us. */
const SHARED_FACTOR = 10
/** Groups read at once, and members asked for at once. */
const PARALLEL_READS = 16
const PARALLEL_QUESTIONS = 16

export class MemberSource {
  readonly #options: MemberSourceOptions
  readonly #reads = new Semaphore(PARALLEL_READS)
  readonly #questions = new Semaphore(PARALLEL_QUESTIONS)

  constructor (options: MemberSourceOptions) {
    this.#options = options
  }

  /**
   * Reads a group anew; `expected` members, where something is known. Rejects with GROUP_NOT_FOUND, or with another
   * GatewayError where nobody answers.
   */
  read (groupId: string, expected: number): Promise<GroupEntry> {
    return this.#reads.run(async () => {
      const entry = new GroupEntry(groupId)
      try {
        const cached = await this.#fromCache(groupId)
        if (cached === undefined) await this.#fromService(entry, expected)
        else this.#take(entry, cached, cached.length)
        return entry
      } catch (error) {
        entry.dissolve()
        throw error
      }
    })
  }

  isMember (groupId: string, userId: string): Promise<boolean> {
    return this.#questions.run(() => this.#options.users.isMember(groupId, userId))
  }

  async #fromCache (groupId: string): Promise<string[] | undefined> {
    const { sharedCache, logger, meter } = this.#options
    if (sharedCache === undefined) return undefined
    try {
      const members = await sharedCache.members(groupId)
      meter.count('cache_requests_total', 1, 'redis', members === undefined ? 'miss' : 'hit')
      return members
    } catch (error) {
      meter.count('cache_requests_total', 1, 'redis', 'error')
      logger.debug({ err: error }, 'shared cache did not answer')
      return undefined
    }
  }

  async #fromService (entry: GroupEntry, expected: number): Promise<void> {
    const { users, largeGroupSize, clock } = this.#options
    const deadlineMs = clock.monotonicMs() + READ_DEADLINE_MS
    const shareLimit = largeGroupSize * SHARED_FACTOR
    let list: string[] | undefined = []
    let cursor = ''
    for (let page = 0; page < MAX_PAGES; page++) {
      const { userIds, nextCursor, hasMore, totalCount } = await users.groupMembers(entry.groupId, cursor, PAGE_SIZE)
      if (clock.monotonicMs() > deadlineMs) throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'the pages took too long' })
      if (list === undefined) {
        this.#take(entry, userIds, 0)
      } else {
        list = list.concat(userIds)
        if (Math.max(list.length, totalCount) > shareLimit) {
          this.#take(entry, list, Math.max(list.length, totalCount, expected))
          list = undefined
        }
      }
      if (!hasMore) {
        if (list !== undefined) this.#takeAndShare(entry, list)
        return
      }
      if (nextCursor === cursor || nextCursor === '') throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'a page that leads nowhere' })
      cursor = nextCursor
    }
    throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'too many pages' })
  }

  /** What changed while the pages came belongs into the shared copy too; what changes from now on follows it there. */
  #takeAndShare (entry: GroupEntry, list: readonly string[]): void {
    const { sharedCache, changes, logger } = this.#options
    const members = new Set(list)
    for (const { userId, event } of changes.of(entry.groupId)) {
      if (event === 'join') members.add(userId)
      else members.delete(userId)
    }
    const userIds = [...members]
    this.#take(entry, userIds, userIds.length)
    sharedCache?.store(entry.groupId, userIds).catch((error: unknown) => { logger.debug({ err: error }, 'shared cache did not take a group') })
  }

  /** Puts members in: local ones by reference, all of them in a list or a filter made for as many as expected. */
  #take (entry: GroupEntry, userIds: readonly string[], expected: number): void {
    const { hub, largeGroupSize } = this.#options
    const small = entry.filter === null && expected <= largeGroupSize
    if (small) entry.members ??= new Set()
    else if (entry.filter === null) entry.startFilter(expected)
    for (const userId of userIds) {
      const user = hub.user(userId)
      if (user !== undefined) entry.addLocal(user)
      if (small) entry.members?.add(userId)
      else entry.addToFilter(userId)
    }
    entry.memberCount += userIds.length
  }
}
