/**
 * The whole check of a token [GW-CON-2]: the signature by our own key first (cheap, so that garbage costs the Auth Service
 * nothing), then the Auth Service, which has the last word and whose answers are kept for a while. No answer, kept or
 * fresh, is given before the revocations were asked.
 */
import { createHash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { GatewayError } from '../errors.ts'
import type { AuthErrorCode, Authenticator, AuthResult, AuthService, Clock, Identity, Logger, Meter, Registry } from '../ports.ts'
import { isClientId, isPartyId } from '../protocol/decode.ts'
import { MAX_TOKEN_LENGTH } from '../protocol/frames.ts'
import { checkClaims, peekClaims, type ClaimRules, type Claims } from './claims.ts'

/** Signature and algorithm of a token, checked with a key of ours. Never rejects. */
export type VerifyLocal = (token: string) => Promise<
  | { readonly ok: true, readonly payload: unknown }
  | { readonly ok: false, readonly code: 'INVALID_TOKEN' | 'TOKEN_EXPIRED' | 'SERVICE_UNAVAILABLE' }>

export interface AuthenticatorOptions {
  /** undefined: no key is configured, the Auth Service alone decides. */
  readonly verifyLocal: VerifyLocal | undefined
  /** undefined: the local check alone decides (`AUTH_MODE=local`). */
  readonly service: AuthService | undefined
  readonly rules: ClaimRules
  readonly isRevoked: Registry['isRevoked']
  /** How long an answer of the Auth Service is kept; never past the token's expiry. */
  readonly cacheTtlMs: number
  /** Valid answers that are kept, and as many refusals: a flood of bad tokens does not drive out the good ones. */
  readonly cacheEntries: number
  /** Checks under way; past it: SERVICE_UNAVAILABLE. */
  readonly maxPendingCalls: number
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
}

type Decider = 'local' | 'cache' | 'service' | 'revoked' | 'limit'
interface Decision { readonly by: Decider, readonly result: AuthResult }
/** `untilMs`: monotonic milliseconds. */
interface Cached { readonly result: AuthResult, readonly untilMs: number }

const MAX_CACHE_TTL_MS = 60_000

export class TokenAuthenticator implements Authenticator {
  readonly #options: AuthenticatorOptions
  readonly #cacheTtlMs: number
  readonly #valid: LRUCache<string, Cached>
  readonly #refused: LRUCache<string, Cached>
  /** Checks under way, by the token's hash: the same token is asked for once at a time. */
  readonly #flights = new Map<string, Promise<Decision>>()

  constructor (options: AuthenticatorOptions) {
    if (options.verifyLocal === undefined && options.service === undefined) throw new RangeError('neither a key nor an Auth Service: nobody can check a token')
    this.#options = options
    this.#cacheTtlMs = Math.min(options.cacheTtlMs, MAX_CACHE_TTL_MS)
    this.#valid = new LRUCache({ max: options.cacheEntries })
    this.#refused = new LRUCache({ max: options.cacheEntries })
  }

  async authenticate (token: string): Promise<AuthResult> {
    const { by, result } = this.#revokedLast(await this.#decide(token))
    this.#options.meter.count('auth_checks_total', 1, by, result.ok ? 'ok' : result.code)
    return result
  }

  #decide (token: string): Decision | Promise<Decision> {
    if (token.length === 0 || token.length > MAX_TOKEN_LENGTH) return refusal('local', 'INVALID_TOKEN')
    // Checking a signature costs no more than looking for what it said.
    if (this.#options.service === undefined) return this.#check(token, '')
    // The token itself is a secret: neither kept nor logged.
    const key = createHash('sha256').update(token).digest('base64')
    const cached = this.#valid.get(key) ?? this.#refused.get(key)
    if (cached !== undefined && this.#isFresh(cached)) return { by: 'cache', result: cached.result }
    const flight = this.#flights.get(key)
    if (flight !== undefined) return flight
    if (this.#flights.size >= this.#options.maxPendingCalls) return refusal('limit', 'SERVICE_UNAVAILABLE')
    const started = this.#check(token, key).finally(() => { this.#flights.delete(key) })
    this.#flights.set(key, started)
    return started
  }

  /** A revocation overrules whatever was found, a cached answer too: it is asked for at every check. */
  #revokedLast (decision: Decision): Decision {
    const { result } = decision
    return result.ok && this.#isRevoked(result.identity) ? refusal('revoked', 'TOKEN_REVOKED') : decision
  }

  async #check (token: string, key: string): Promise<Decision> {
    const { verifyLocal, service, rules, clock } = this.#options
    let claims: Claims | undefined
    if (verifyLocal !== undefined) {
      const verified = await verifyLocal(token)
      if (!verified.ok) return refusal('local', verified.code)
      const checked = checkClaims(verified.payload, rules, clock.unixMs())
      if (!checked.ok) return refusal('local', checked.code)
      claims = checked.claims
      if (this.#isRevoked(claims)) return refusal('revoked', 'TOKEN_REVOKED')
    }
    if (service === undefined) return { by: 'local', result: { ok: true, identity: claims as Identity } }
    try {
      const answer = await service.validateToken(token)
      const result = answer.valid ? this.#merge(answer, claims, peekClaims(token)) : refuse(answer.code)
      this.#keep(key, result)
      return { by: 'service', result }
    } catch (error) {
      // No answer says nothing of the token: it is neither refused nor remembered [GW-CON-3].
      if (!(error instanceof GatewayError)) this.#options.logger.error({ err: error }, 'token check failed for a reason of our own')
      return refusal('service', 'SERVICE_UNAVAILABLE')
    }
  }

  /** The Auth Service's answer wins over the claims; two different users in one token are a refusal. The earlier end counts. */
  #merge (answer: { userId: string, deviceId: string | undefined, expiresAtMs: number | undefined }, checked: Claims | undefined, peeked: Partial<Claims>): AuthResult {
    const claims = checked ?? peeked
    if (answer.userId !== '' && claims.userId !== undefined && answer.userId !== claims.userId) return refuse('INVALID_TOKEN')
    const userId = answer.userId === '' ? checked?.userId ?? '' : answer.userId
    const deviceId = answer.deviceId ?? claims.deviceId
    const expiresAtMs = Math.min(answer.expiresAtMs ?? Infinity, claims.expiresAtMs ?? Infinity)
    if (!isPartyId(userId) || (deviceId !== undefined && !isClientId(deviceId)) || expiresAtMs === Infinity) return refuse('INVALID_TOKEN')
    if (expiresAtMs <= this.#options.clock.unixMs()) return refuse('TOKEN_EXPIRED')
    return { ok: true, identity: { userId, deviceId, expiresAtMs, issuedAtMs: claims.issuedAtMs } }
  }

  #keep (key: string, result: AuthResult): void {
    if (this.#cacheTtlMs === 0) return
    const answers = result.ok ? this.#valid : this.#refused
    answers.set(key, { result, untilMs: this.#options.clock.monotonicMs() + this.#cacheTtlMs })
  }

  /** A wall clock that is set back does not keep an answer alive; the end of the token is a matter of that clock. */
  #isFresh ({ result, untilMs }: Cached): boolean {
    const { clock } = this.#options
    return untilMs > clock.monotonicMs() && (!result.ok || result.identity.expiresAtMs > clock.unixMs())
  }

  #isRevoked ({ userId, deviceId, issuedAtMs }: Pick<Identity, 'userId' | 'deviceId' | 'issuedAtMs'>): boolean {
    return this.#options.isRevoked(userId, deviceId, issuedAtMs)
  }
}

function refuse (code: AuthErrorCode): AuthResult {
  return { ok: false, code }
}

function refusal (by: Decider, code: AuthErrorCode): Decision {
  return { by, result: refuse(code) }
}
