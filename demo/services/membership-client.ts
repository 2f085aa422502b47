/** The User Service's word on who is in a group, over gRPC, as an IM Service elsewhere would ask. */
import { ChannelPool } from '../../plugins/lib/channel-pool.ts'
import { methodDefinition } from '../../plugins/lib/grpc-service.ts'
import { UserErrorCode, UserServiceDefinition } from '../../src/generated/user/v1/user.ts'
import type { Clock } from '../../src/ports.ts'

const DEADLINE_MS = 2_000
const VALIDATE = methodDefinition(UserServiceDefinition.fullName, UserServiceDefinition.methods.validateGroupMembership)

export class MembershipClient {
  readonly #pool: ChannelPool

  constructor (address: string, clock: Clock) {
    this.#pool = new ChannelPool({ address, channels: 1, clock })
  }

  /** undefined: there is no such group. Rejects where the service does not answer, or with an error. */
  async isMember (groupId: string, userId: string): Promise<boolean | undefined> {
    const { isMember, errorCode } = await this.#pool.unary(VALIDATE, { groupId, userId }, DEADLINE_MS)
    if (errorCode === UserErrorCode.USER_ERROR_CODE_GROUP_NOT_FOUND) return undefined
    if (errorCode !== UserErrorCode.USER_ERROR_CODE_UNSPECIFIED) throw new Error(`the User Service answered with error ${errorCode}`)
    return isMember
  }

  close (): void { this.#pool.close() }
}
