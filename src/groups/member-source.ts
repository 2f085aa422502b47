/**
 * Where a group's members come from: the shared cache, behind it the User Service in pages. A list of a small group
 * comes whole; of a large one each page goes into the entry as it comes, so that nothing here grows with the group.
 */
import { GatewayError } from '../errors.ts'
import type { Hub } from '../connections/hub.ts'
import type { Logger, Meter, SharedCache, UserService } from '../ports.ts'
import { GroupEntry } from './group-entry.ts'

export interface MemberSourceOptions {
  readonly hub: Hub
  readonly users: UserService
  readonly sharedCache: SharedCache | undefined
  readonly meter: Meter
  readonly logger: Logger
  readonly largeGroupSize: number
}

const PAGE_SIZE = 1_000
/** A service that never ends its pages is broken. */
const MAX_PAGES = 10_000
/** Lists up to this many times LARGE_GROUP_SIZE are put into the shared cache; larger ones are not worth the copy. */
const SHARED_FACTOR = 10

export class MemberSource {
  readonly #options: MemberSourceOptions

  constructor (options: MemberSourceOptions) {
    this.#options = options
  }

  /** Reads a group anew. Rejects with GROUP_NOT_FOUND, or with another GatewayError where nobody answers. */
  async read (groupId: string): Promise<GroupEntry> {
    const entry = new GroupEntry(groupId)
    try {
      const cached = await this.#fromCache(groupId)
      if (cached === undefined) await this.#fromService(entry)
      else this.#take(entry, cached, cached.length)
      return entry
    } catch (error) {
      entry.dissolve()
      throw error
    }
  }

  async isMember (groupId: string, userId: string): Promise<boolean> {
    return this.#options.users.isMember(groupId, userId)
  }

  async #fromCache (groupId: string): Promise<string[] | undefined> {
    const { sharedCache, logger } = this.#options
    if (sharedCache === undefined) return undefined
    try {
      return await sharedCache.members(groupId)
    } catch (error) {
      logger.debug({ err: error }, 'shared cache did not answer')
      return undefined
    }
  }

  async #fromService (entry: GroupEntry): Promise<void> {
    const { users, largeGroupSize } = this.#options
    const shareLimit = largeGroupSize * SHARED_FACTOR
    let list: string[] | undefined = []
    let cursor = ''
    for (let page = 0; page < MAX_PAGES; page++) {
      const { userIds, nextCursor, hasMore, totalCount } = await users.groupMembers(entry.groupId, cursor, PAGE_SIZE)
      if (page === 0 && totalCount > shareLimit) list = undefined
      list?.push(...userIds)
      if (list !== undefined && list.length > shareLimit) {
        this.#take(entry, list, totalCount)
        list = undefined
      } else if (list === undefined) {
        this.#take(entry, userIds, totalCount)
      }
      if (!hasMore) {
        if (list !== undefined) {
          this.#take(entry, list, list.length)
          this.#share(entry.groupId, list)
        }
        return
      }
      if (nextCursor === cursor || nextCursor === '') throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'a page that leads nowhere' })
      cursor = nextCursor
    }
    throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'too many pages' })
  }

  /** Puts members in: local ones by reference, all of them in a list or a filter. */
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

  #share (groupId: string, userIds: readonly string[]): void {
    const { sharedCache, logger } = this.#options
    sharedCache?.store(groupId, userIds).catch((error: unknown) => { logger.debug({ err: error }, 'shared cache did not take a group') })
  }
}
