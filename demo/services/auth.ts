/**
 * The stand-in Auth Service: signs tokens of a short life, checks, refreshes and revokes them. Everybody who asks gets a
 * token: there are no passwords here, which is what makes it a stand-in.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { AuthErrorCode, AuthServiceDefinition, type ValidateTokenResponse } from '../../src/generated/auth/v1/auth.ts'
import type { Clock } from '../../src/ports.ts'
import { serveGrpc, unary, type GrpcHost } from '../grpc.ts'
import { checkToken, signToken, type Claims } from './tokens.ts'

export interface AuthOptions {
  /** HS256 secret, 32 bytes at least; the gateway gets it as JWT_SECRET. */
  readonly secret: string
  readonly accessTokenTtlMs: number
  readonly refreshTokenTtlMs: number
  /** Tells the gateways: sockets whose token is older are closed, such tokens are refused. `deviceId` undefined: all of the user's. */
  readonly announceRevocation: (userId: string, deviceId: string | undefined, beforeUnixMs: number) => Promise<void>
  readonly clock: Clock
}

export interface TokenPair {
  readonly accessToken: string
  readonly refreshToken: string
  readonly expiresAtMs: number
}

interface Grant { readonly userId: string, readonly deviceId: string | undefined, readonly expiresAtMs: number, readonly issuedAtMs: number }

const MAX_GRANTS = 10_000
const ALL_DEVICES = ''

const FAULTS = {
  malformed: AuthErrorCode.AUTH_ERROR_CODE_MALFORMED_TOKEN,
  signature: AuthErrorCode.AUTH_ERROR_CODE_INVALID_SIGNATURE,
  claims: AuthErrorCode.AUTH_ERROR_CODE_MISSING_CLAIMS,
  expired: AuthErrorCode.AUTH_ERROR_CODE_TOKEN_EXPIRED,
  revoked: AuthErrorCode.AUTH_ERROR_CODE_INVALID_TOKEN
} as const

export type Verdict =
  | { readonly ok: true, readonly claims: Claims }
  | { readonly ok: false, readonly fault: keyof typeof FAULTS }

export class AuthStandIn {
  readonly #options: AuthOptions
  /** By the hash of the refresh token, oldest first: who reads this memory still cannot refresh. */
  readonly #grants = new Map<string, Grant>()
  /** User to device (or all) to the moment before which tokens are void. */
  readonly #revoked = new Map<string, Map<string, number>>()

  constructor (options: AuthOptions) {
    this.#options = options
  }

  /** A token for a user's device; without a device it fits any of them. */
  mint (userId: string, deviceId?: string, ttlMs = this.#options.accessTokenTtlMs): TokenPair {
    const { secret, refreshTokenTtlMs, clock } = this.#options
    // Later than every revocation, one of this very millisecond included.
    const now = Math.max(clock.unixMs(), this.#voidBefore(userId, deviceId))
    const claims: Claims = {
      user_id: userId,
      ...(deviceId === undefined ? {} : { device_id: deviceId }),
      iat: now / 1000,
      exp: Math.ceil((now + ttlMs) / 1000),
      jti: randomUUID()
    }
    const refreshToken = randomBytes(32).toString('base64url')
    this.#remember(hash(refreshToken), { userId, deviceId, expiresAtMs: now + refreshTokenTtlMs, issuedAtMs: now })
    return { accessToken: signToken(claims, secret), refreshToken, expiresAtMs: claims.exp * 1000 }
  }

  /** A new pair for a refresh token, which is used up by it; undefined where it is unknown, used, expired or revoked. */
  refresh (refreshToken: string): TokenPair | undefined {
    const key = hash(refreshToken)
    const grant = this.#grants.get(key)
    this.#grants.delete(key)
    if (grant === undefined || grant.expiresAtMs <= this.#options.clock.unixMs() || this.#isRevoked(grant.userId, grant.deviceId, grant.issuedAtMs)) return undefined
    return this.mint(grant.userId, grant.deviceId)
  }

  /** Voids every token issued to the user (or the device alone) until now. Rejects where the gateways could not be told. */
  async revoke (userId: string, deviceId?: string): Promise<void> {
    const before = this.#options.clock.unixMs() + 1
    const devices = this.#revoked.get(userId) ?? new Map<string, number>()
    this.#revoked.set(userId, devices.set(deviceId ?? ALL_DEVICES, before))
    await this.#options.announceRevocation(userId, deviceId, before)
  }

  check (token: string): Verdict {
    const result = checkToken(token, this.#options.secret, this.#options.clock.unixMs())
    if (!result.ok) return result
    const { user_id: userId, device_id: deviceId, iat } = result.claims
    return this.#isRevoked(userId, deviceId, iat * 1000) ? { ok: false, fault: 'revoked' } : result
  }

  validate (token: string): ValidateTokenResponse {
    const result = this.check(token)
    if (!result.ok) {
      return { valid: false, userId: '', deviceId: '', expiresAt: undefined, errorCode: FAULTS[result.fault], errorMessage: result.fault }
    }
    const { user_id: userId, device_id: deviceId = '', exp } = result.claims
    return { valid: true, userId, deviceId, expiresAt: new Date(exp * 1000), errorCode: AuthErrorCode.AUTH_ERROR_CODE_UNSPECIFIED, errorMessage: '' }
  }

  listen (port?: number): Promise<GrpcHost> {
    return serveGrpc(AuthServiceDefinition, { validateToken: unary((request) => this.validate(request.accessToken)) }, port)
  }

  #isRevoked (userId: string, deviceId: string | undefined, issuedAtMs: number): boolean {
    return issuedAtMs < this.#voidBefore(userId, deviceId)
  }

  #voidBefore (userId: string, deviceId: string | undefined): number {
    const devices = this.#revoked.get(userId)
    if (devices === undefined) return 0
    return Math.max(devices.get(ALL_DEVICES) ?? 0, deviceId === undefined ? 0 : devices.get(deviceId) ?? 0)
  }

  #remember (key: string, grant: Grant): void {
    this.#grants.set(key, grant)
    const [oldest] = this.#grants.keys()
    if (this.#grants.size > MAX_GRANTS && oldest !== undefined) this.#grants.delete(oldest)
  }
}

function hash (refreshToken: string): string {
  return createHash('sha256').update(refreshToken).digest('base64url')
}
