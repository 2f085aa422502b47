/** What a JWT's payload has to say (RFC 7519 section 4). Signature and algorithm are checked before, by the library. */
import { isClientId, isPartyId } from '../protocol/decode.ts'

export interface ClaimRules {
  /** Compared with `iss`, which is then required. */
  readonly issuer?: string | undefined
  /** Looked for in `aud`, which is then required. */
  readonly audience?: string | undefined
  /** By how much the issuer's clock may be ahead of ours where it says `nbf`. An expiry is never stretched. */
  readonly clockToleranceMs: number
}

export interface Claims {
  readonly userId: string
  readonly deviceId: string | undefined
  /** Unix milliseconds. */
  readonly expiresAtMs: number
  readonly issuedAtMs: number | undefined
}

export type ClaimsResult =
  | { readonly ok: true, readonly claims: Claims }
  | { readonly ok: false, readonly code: 'INVALID_TOKEN' | 'TOKEN_EXPIRED' }

interface Payload {
  readonly user_id?: unknown
  readonly sub?: unknown
  readonly device_id?: unknown
  readonly exp?: unknown
  readonly iat?: unknown
  readonly nbf?: unknown
  readonly iss?: unknown
  readonly aud?: unknown
}

const INVALID: ClaimsResult = { ok: false, code: 'INVALID_TOKEN' }

/** Checks every claim that is used. The library passes over a claim that is absent, and takes a `sub` of any type. */
export function checkClaims (payload: unknown, rules: ClaimRules, nowMs: number): ClaimsResult {
  if (!isPayload(payload)) return INVALID
  const userId = payload.user_id ?? payload.sub
  const { device_id: deviceId, exp, iat, nbf, iss } = payload
  if (typeof userId !== 'string' || !isPartyId(userId)) return INVALID
  if (deviceId !== undefined && (typeof deviceId !== 'string' || !isClientId(deviceId))) return INVALID
  if (!isTime(exp) || (iat !== undefined && !isTime(iat)) || (nbf !== undefined && !isTime(nbf))) return INVALID
  if (rules.issuer !== undefined && iss !== rules.issuer) return INVALID
  if (rules.audience !== undefined && !hasAudience(payload.aud, rules.audience)) return INVALID
  if (exp * 1000 <= nowMs) return { ok: false, code: 'TOKEN_EXPIRED' }
  if (nbf !== undefined && nbf * 1000 > nowMs + rules.clockToleranceMs) return INVALID
  return { ok: true, claims: { userId, deviceId, expiresAtMs: exp * 1000, issuedAtMs: iat === undefined ? undefined : iat * 1000 } }
}

/**
 * The claims of a token whose signature nobody here has checked; each is undefined where it is absent or no good. Only
 * for a token that the Auth Service has found valid.
 */
export function peekClaims (token: string): Partial<Claims> {
  let payload: unknown
  try {
    payload = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  } catch {
    return {}
  }
  if (!isPayload(payload)) return {}
  const userId = payload.user_id ?? payload.sub
  const { device_id: deviceId, exp, iat } = payload
  return {
    ...(typeof userId === 'string' && isPartyId(userId) ? { userId } : {}),
    ...(typeof deviceId === 'string' && isClientId(deviceId) ? { deviceId } : {}),
    ...(isTime(exp) ? { expiresAtMs: exp * 1000 } : {}),
    ...(isTime(iat) ? { issuedAtMs: iat * 1000 } : {})
  }
}

function isPayload (payload: unknown): payload is Payload {
  return typeof payload === 'object' && payload !== null && !Array.isArray(payload)
}

/** A NumericDate that is also a time in milliseconds. */
function isTime (value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value * 1000 <= Number.MAX_SAFE_INTEGER
}

function hasAudience (audience: unknown, wanted: string): boolean {
  return Array.isArray(audience) ? audience.includes(wanted) : audience === wanted
}
