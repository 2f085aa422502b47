/** The local check of a token's signature, expiry and algorithm by @fastify/jwt, one instance of it for each key. */
import { createPublicKey } from 'node:crypto'
import jwt, { type FastifyJWTOptions, type JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import type { VerifyLocal } from '../../src/auth/authenticator.ts'
import type { Clock } from '../../src/ports.ts'
import { algorithmOf } from './key-algorithm.ts'
import { KeySet, KeySetUnavailable } from './key-set.ts'

/** At most one of secret, publicKey and jwksUrl; none: there is no local check. */
export interface KeyOptions {
  /** HS256. */
  readonly secret?: string | undefined
  /** The secret before, still accepted. */
  readonly previousSecret?: string | undefined
  /** PEM. */
  readonly publicKey?: string | undefined
  readonly jwksUrl?: string | undefined
  readonly jwksTimeoutMs: number
}

type Verify = (token: string) => unknown
type Algorithms = NonNullable<NonNullable<FastifyJWTOptions['verify']>['algorithms']>

export const MIN_SECRET_BYTES = 32

/** The check for the keys that are configured, undefined where none is. Throws a RangeError for a key that is too weak or of no known kind. */
export async function localCheck (fastify: FastifyInstance, options: KeyOptions, clock: Clock): Promise<VerifyLocal | undefined> {
  const { secret, previousSecret, publicKey, jwksUrl, jwksTimeoutMs } = options
  if ([secret, publicKey, jwksUrl].filter((key) => key !== undefined).length > 1) throw new RangeError('more than one kind of token key')
  if (secret !== undefined) {
    const verifiers: Verify[] = []
    for (const [namespace, value] of Object.entries({ current: secret, previous: previousSecret })) {
      if (value === undefined) continue
      if (Buffer.byteLength(value) < MIN_SECRET_BYTES) throw new RangeError(`a token secret has at least ${MIN_SECRET_BYTES} bytes`)
      verifiers.push(await verifier(fastify, namespace, value, ['HS256']))
    }
    return (token) => check(verifiers, token)
  }
  if (publicKey !== undefined) {
    const verify = await verifier(fastify, 'current', publicKey, [algorithmOf(createPublicKey(publicKey))])
    return (token) => check([verify], token)
  }
  if (jwksUrl !== undefined) {
    const keys = new KeySet({ url: jwksUrl, timeoutMs: jwksTimeoutMs, clock })
    // The key set pins the algorithm key by key; this list only keeps the others out.
    const verify = await verifier(fastify, 'current', ({ header }) => keys.keyFor(header.kid, header.alg), ['RS256', 'ES256', 'EdDSA'])
    return (token) => check([verify], token)
  }
  return undefined
}

type KeyFetcher = (decoded: { header: { kid?: unknown, alg?: unknown } }) => Promise<string>

/** `public` alone: this instance can check, it can sign nothing. Without `cache` a verdict is never kept. */
async function verifier (fastify: FastifyInstance, namespace: string, key: string | KeyFetcher, algorithms: Algorithms): Promise<Verify> {
  const options = { namespace, secret: { public: key }, verify: { algorithms, requiredClaims: ['exp'] } } as FastifyJWTOptions
  await fastify.register(jwt, options)
  const instance = (fastify.jwt as unknown as Readonly<Record<string, JWT>>)[namespace] as JWT
  return (token) => instance.verify(token)
}

/** With two secrets the second is tried where the first one's signature does not fit. */
async function check (verifiers: readonly Verify[], token: string): ReturnType<VerifyLocal> {
  let last: unknown
  for (const verify of verifiers) {
    try {
      return { ok: true, payload: await verify(token) }
    } catch (error) {
      last = error
      if (codeOf(error) !== 'FAST_JWT_INVALID_SIGNATURE') break
    }
  }
  if (isUnavailable(last)) return { ok: false, code: 'SERVICE_UNAVAILABLE' }
  return { ok: false, code: codeOf(last) === 'FAST_JWT_EXPIRED' ? 'TOKEN_EXPIRED' : 'INVALID_TOKEN' }
}

function codeOf (error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** The library wraps what the key fetcher throws. */
function isUnavailable (error: unknown): boolean {
  if (error instanceof KeySetUnavailable) return true
  return error instanceof Error && 'originalError' in error && error.originalError instanceof KeySetUnavailable
}
