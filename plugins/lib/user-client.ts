/** The User Service over gRPC, under its policy. */
import { UserServiceDefinition } from '../../src/generated/user/v1/user.ts'
import type { MemberPage, UserService } from '../../src/ports.ts'
import type { CallPolicy } from '../../src/upstream/policy.ts'
import { checkUserError } from '../../src/upstream/service-errors.ts'
import type { ChannelPool } from './channel-pool.ts'
import { methodDefinition } from './grpc-service.ts'

const MEMBERS = methodDefinition(UserServiceDefinition.fullName, UserServiceDefinition.methods.getGroupMembers)
const IS_MEMBER = methodDefinition(UserServiceDefinition.fullName, UserServiceDefinition.methods.validateGroupMembership)

export class UserClient implements UserService {
  readonly #pool: ChannelPool
  readonly #policy: Pick<CallPolicy, 'run'>

  constructor (pool: ChannelPool, policy: Pick<CallPolicy, 'run'>) {
    this.#pool = pool
    this.#policy = policy
  }

  async groupMembers (groupId: string, cursor: string, limit: number): Promise<MemberPage> {
    const reply = await this.#policy.run('GetGroupMembers', (attemptMs) => this.#pool.unary(MEMBERS, { groupId, cursor, limit }, attemptMs))
    checkUserError(reply.errorCode)
    return { userIds: reply.members.map((member) => member.userId), nextCursor: reply.nextCursor, hasMore: reply.hasMore, totalCount: reply.totalCount }
  }

  async isMember (groupId: string, userId: string): Promise<boolean> {
    const reply = await this.#policy.run('ValidateGroupMembership', (attemptMs) => this.#pool.unary(IS_MEMBER, { groupId, userId }, attemptMs))
    checkUserError(reply.errorCode)
    return reply.isMember
  }
}
