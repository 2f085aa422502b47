/** The stand-in User Service: who exists, who is in which group; joins and leaves are announced on `membership_change`. */
import {
  UserErrorCode, UserServiceDefinition, type GetGroupMembersRequest, type GetGroupMembersResponse,
  type ValidateGroupMembershipRequest, type ValidateGroupMembershipResponse
} from '../../src/generated/user/v1/user.ts'
import type { Clock } from '../../src/ports.ts'
import { serveGrpc, unary, type GrpcHost } from '../grpc.ts'
import type { Producer } from '../producer.ts'
import { Lines } from './lines.ts'

export interface UsersOptions {
  readonly producer: Producer
  readonly clock: Clock
}

export type MembershipEvent = 'join' | 'leave'

const MAX_PAGE = 1_000

export class UsersStandIn {
  readonly #options: UsersOptions
  readonly #users = new Set<string>()
  /** Members in order, so that a cursor means the same after a change. */
  readonly #groups = new Map<string, string[]>()
  /** Announcements of a group leave in the order of its changes. */
  readonly #lines = new Lines()

  constructor (options: UsersOptions) {
    this.#options = options
  }

  addUser (userId: string): void {
    this.#users.add(userId)
  }

  isUser (userId: string): boolean {
    return this.#users.has(userId)
  }

  /** Replaces a group of that name; nobody is told. */
  createGroup (groupId: string, userIds: Iterable<string>): void {
    const members = [...new Set(userIds)].sort()
    for (const userId of members) this.#users.add(userId)
    this.#groups.set(groupId, members)
  }

  /** With their members, in order. */
  get groups (): ReadonlyMap<string, readonly string[]> { return this.#groups }

  hasGroup (groupId: string): boolean {
    return this.#groups.has(groupId)
  }

  /** undefined where the group is not known. */
  isMember (groupId: string, userId: string): boolean | undefined {
    const members = this.#groups.get(groupId)
    return members === undefined ? undefined : members[placeOf(members, userId)] === userId
  }

  /** Resolves to false where nothing changed; rejects where the change stands and the gateways could not be told. */
  join (groupId: string, userId: string): Promise<boolean> {
    return this.#change(groupId, userId, 'join')
  }

  leave (groupId: string, userId: string): Promise<boolean> {
    return this.#change(groupId, userId, 'leave')
  }

  members (request: GetGroupMembersRequest): GetGroupMembersResponse {
    const { groupId, cursor, limit } = request
    const members = this.#groups.get(groupId)
    if (members === undefined) return { ...NO_MEMBERS, errorCode: UserErrorCode.USER_ERROR_CODE_GROUP_NOT_FOUND, errorMessage: 'no such group' }
    if (limit < 1 || limit > MAX_PAGE) return { ...NO_MEMBERS, errorCode: UserErrorCode.USER_ERROR_CODE_INVALID_REQUEST, errorMessage: 'limit is 1 to 1,000' }
    // The cursor is the last user of the page before, who may have left since.
    const place = cursor === '' ? 0 : placeOf(members, cursor)
    const from = cursor !== '' && members[place] === cursor ? place + 1 : place
    const page = members.slice(from, from + limit)
    const hasMore = from + limit < members.length
    return {
      members: page.map((userId) => ({ userId, groupId })),
      nextCursor: hasMore ? page.at(-1) ?? '' : '',
      totalCount: members.length,
      hasMore,
      errorCode: UserErrorCode.USER_ERROR_CODE_UNSPECIFIED,
      errorMessage: ''
    }
  }

  validate ({ groupId, userId }: ValidateGroupMembershipRequest): ValidateGroupMembershipResponse {
    const isMember = this.isMember(groupId, userId)
    return {
      isMember: isMember === true,
      member: isMember === true ? { userId, groupId } : undefined,
      errorCode: isMember === undefined ? UserErrorCode.USER_ERROR_CODE_GROUP_NOT_FOUND : UserErrorCode.USER_ERROR_CODE_UNSPECIFIED,
      errorMessage: isMember === undefined ? 'no such group' : ''
    }
  }

  listen (port?: number): Promise<GrpcHost> {
    return serveGrpc(UserServiceDefinition, {
      getGroupMembers: unary((request) => this.members(request)),
      validateGroupMembership: unary((request) => this.validate(request))
    }, port)
  }

  #change (groupId: string, userId: string, event: MembershipEvent): Promise<boolean> {
    return this.#lines.run(groupId, async () => {
      const members = this.#groups.get(groupId)
      if (members === undefined) throw new Error(`no such group: ${groupId}`)
      const place = placeOf(members, userId)
      const isMember = members[place] === userId
      if (isMember === (event === 'join')) return false
      if (event === 'join') members.splice(place, 0, userId)
      else members.splice(place, 1)
      this.#users.add(userId)
      const { producer, clock } = this.#options
      await producer.produce('membership_change', groupId, { group_id: groupId, user_id: userId, event_type: event, timestamp: clock.unixMs() })
      return true
    })
  }
}

const NO_MEMBERS = { members: [], nextCursor: '', totalCount: 0, hasMore: false }

/** Where a user stands, or would stand, among members in order. */
function placeOf (members: readonly string[], userId: string): number {
  let low = 0
  let high = members.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((members[middle] as string) < userId) low = middle + 1
    else high = middle
  }
  return low
}
