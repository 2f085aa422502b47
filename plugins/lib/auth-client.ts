/** The Auth Service over gRPC, under its policy. */
import { AuthServiceDefinition } from '../../src/generated/auth/v1/auth.ts'
import { GatewayError } from '../../src/errors.ts'
import type { AuthService } from '../../src/ports.ts'
import type { CallPolicy } from '../../src/upstream/policy.ts'
import { authRefusal } from '../../src/upstream/service-errors.ts'
import type { ChannelPool } from './channel-pool.ts'
import { methodDefinition } from './grpc-service.ts'

const VALIDATE = methodDefinition(AuthServiceDefinition.fullName, AuthServiceDefinition.methods.validateToken)

export class AuthClient implements AuthService {
  readonly #pool: ChannelPool
  readonly #policy: Pick<CallPolicy, 'run'>

  constructor (pool: ChannelPool, policy: Pick<CallPolicy, 'run'>) {
    this.#pool = pool
    this.#policy = policy
  }

  async validateToken (token: string): ReturnType<AuthService['validateToken']> {
    const reply = await this.#policy.run('ValidateToken', (attemptMs) => this.#pool.unary(VALIDATE, { accessToken: token }, attemptMs))
    const refusal = authRefusal(reply.errorCode)
    // An answer that contradicts itself is none.
    if (refusal === 'no answer') throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'the Auth Service answered with an internal error' })
    if (!reply.valid) return { valid: false, code: refusal }
    const expiresAtMs = reply.expiresAt?.getTime()
    return {
      valid: true,
      userId: reply.userId,
      deviceId: reply.deviceId === '' ? undefined : reply.deviceId,
      expiresAtMs: expiresAtMs === undefined || Number.isNaN(expiresAtMs) ? undefined : expiresAtMs
    }
  }
}
