/** The User Service in memory: answers at once, or when the test lets it; can be away. */
import { GatewayError, type ErrorCode } from '../../src/errors.ts'
import type { MemberPage, UserService } from '../../src/ports.ts'

export class FakeUserService implements UserService {
  readonly groups = new Map<string, Set<string>>()
  /** Calls in their order: `members g cursor`, `isMember g user`. */
  readonly calls: string[] = []
  /** What every call is refused with. */
  failure: ErrorCode | undefined
  /** Calls wait until `letGo`. They answer with what was true when they came. */
  isHolding = false
  /** What the first pages say; undefined: the truth. */
  totalCount: number | undefined
  #held: Array<() => void> = []
  #most = 0

  /** Calls under way. */
  get waiting (): number { return this.#held.length }
  /** The most calls that were under way at once. */
  get most (): number { return this.#most }

  group (groupId: string, ...userIds: string[]): void {
    this.groups.set(groupId, new Set(userIds))
  }

  counted (start: string): number {
    return this.calls.filter((call) => call.startsWith(start)).length
  }

  async groupMembers (groupId: string, cursor: string, limit: number): Promise<MemberPage> {
    this.calls.push(`members ${groupId} ${cursor}`)
    const all = this.groups.get(groupId)
    const from = Number(cursor)
    const userIds = [...all ?? []].slice(from, from + limit)
    const hasMore = from + userIds.length < (all?.size ?? 0)
    const page = { userIds, nextCursor: hasMore ? String(from + userIds.length) : '', hasMore, totalCount: this.totalCount ?? all?.size ?? 0 }
    await this.#answer(all !== undefined)
    return page
  }

  async isMember (groupId: string, userId: string): Promise<boolean> {
    this.calls.push(`isMember ${groupId} ${userId}`)
    const all = this.groups.get(groupId)
    const isMember = all?.has(userId) === true
    await this.#answer(all !== undefined)
    return isMember
  }

  /** Answers the calls that wait, or the first `count` of them. */
  letGo (count = this.#held.length): void {
    for (const go of this.#held.splice(0, count)) go()
  }

  async #answer (exists: boolean): Promise<void> {
    const { failure } = this
    if (this.isHolding) {
      await new Promise<void>((resolve) => {
        this.#most = Math.max(this.#most, this.#held.push(resolve))
      })
    }
    if (failure !== undefined) throw new GatewayError(failure)
    if (!exists) throw new GatewayError('GROUP_NOT_FOUND')
  }
}
