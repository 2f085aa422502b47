/** HS256 tokens (RFC 7519), signed and checked: just what an Auth Service needs, no more. */
import { createHmac, timingSafeEqual } from 'node:crypto'

export interface Claims {
  readonly user_id: string
  readonly device_id?: string
  /** Seconds, with a fraction: a token that is issued right after a revocation must not look older than it. */
  readonly iat: number
  /** Seconds. */
  readonly exp: number
  readonly jti: string
}

export type TokenCheck =
  | { readonly ok: true, readonly claims: Claims }
  | { readonly ok: false, readonly fault: 'malformed' | 'signature' | 'claims' | 'expired' }

const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url')

export function signToken (claims: Claims, secret: string): string {
  const body = `${HEADER}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
  return `${body}.${mac(body, secret).toString('base64url')}`
}

/** The algorithm is ours, whatever the token's header says. */
export function checkToken (token: string, secret: string, nowMs: number): TokenCheck {
  const [header, payload, signature, ...rest] = token.split('.')
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0) return { ok: false, fault: 'malformed' }
  const expected = mac(`${header}.${payload}`, secret)
  const given = Buffer.from(signature, 'base64url')
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { ok: false, fault: 'signature' }
  const claims = parseClaims(payload)
  if (claims === undefined) return { ok: false, fault: 'claims' }
  return claims.exp * 1000 <= nowMs ? { ok: false, fault: 'expired' } : { ok: true, claims }
}

function mac (body: string, secret: string): Buffer {
  return createHmac('sha256', secret).update(body).digest()
}

function parseClaims (payload: string): Claims | undefined {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(payload, 'base64url').toString())
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { user_id: user, device_id: device, iat, exp } = value as Record<string, unknown>
  const isComplete = typeof user === 'string' && user !== '' && typeof iat === 'number' && typeof exp === 'number'
  return isComplete && (device === undefined || typeof device === 'string') ? value as Claims : undefined
}
