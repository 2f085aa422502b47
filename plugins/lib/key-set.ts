/**
 * A JSON Web Key Set (RFC 7517), fetched as a whole. Ready-made clients fetch it again for each key id they do not know, so
 * that invented ids would drive requests at the issuer; here an unknown id causes one fetch in ten seconds at most, or one in
 * a second where the last one failed.
 */
import { createPublicKey, type JsonWebKey } from 'node:crypto'
import type { Clock } from '../../src/ports.ts'
import { algorithmOf, type KeyAlgorithm } from './key-algorithm.ts'

export interface KeySetOptions {
  readonly url: string
  /** For one fetch. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly fetch?: typeof fetch
}

/** The key set could not be fetched, so nothing is known of the token. */
export class KeySetUnavailable extends Error {
  constructor (cause: unknown) {
    super('the key set could not be fetched', { cause })
    this.name = 'KeySetUnavailable'
  }
}

/** A key that was taken out of the set is refused at the latest after this long. */
const MAX_AGE_MS = 300_000
/** An issuer that is away does not lock everybody out at once. */
const MAX_STALE_MS = 3_600_000
const UNKNOWN_PAUSE_MS = 10_000
const FAILED_PAUSE_MS = 1_000

interface Key { readonly pem: string, readonly algorithm: KeyAlgorithm }
interface Jwk extends JsonWebKey { readonly kid?: unknown, readonly use?: unknown, readonly alg?: unknown }

export class KeySet {
  readonly #options: KeySetOptions
  #keys = new Map<string, Key>()
  #fetchedAtMs = -Infinity
  #triedAtMs = -Infinity
  /** Why the last fetch failed; undefined: it did not. */
  #lastError: unknown
  #fetching: Promise<void> | undefined

  constructor (options: KeySetOptions) {
    this.#options = options
  }

  /**
   * The key (SPKI PEM) for a token's header; the algorithm is the key's own and the header has to name it. Rejects with
   * KeySetUnavailable, or with an Error where the set has no such key.
   */
  async keyFor (kid: unknown, algorithm: unknown): Promise<string> {
    const age = this.#options.clock.monotonicMs() - this.#fetchedAtMs
    if (age >= MAX_AGE_MS && this.#mayTry(FAILED_PAUSE_MS)) await this.#refresh()
    else if (this.#find(kid) === undefined && this.#mayTry(this.#lastError === undefined ? UNKNOWN_PAUSE_MS : FAILED_PAUSE_MS)) await this.#refresh()
    if (this.#options.clock.monotonicMs() - this.#fetchedAtMs >= MAX_STALE_MS) throw new KeySetUnavailable(this.#lastError)
    const key = this.#find(kid)
    // It may be in the set that could not be fetched.
    if (key === undefined) throw this.#lastError === undefined ? new Error('the key set has no such key') : new KeySetUnavailable(this.#lastError)
    if (key.algorithm !== algorithm) throw new Error('the token does not name the algorithm of its key')
    return key.pem
  }

  /** Without a key id the choice has to be no choice. */
  #find (kid: unknown): Key | undefined {
    if (typeof kid === 'string') return this.#keys.get(kid)
    return kid === undefined && this.#keys.size === 1 ? this.#keys.values().next().value : undefined
  }

  #mayTry (pauseMs: number): boolean {
    return this.#fetching !== undefined || this.#options.clock.monotonicMs() - this.#triedAtMs >= pauseMs
  }

  #refresh (): Promise<void> {
    this.#fetching ??= this.#load().finally(() => { this.#fetching = undefined })
    return this.#fetching
  }

  async #load (): Promise<void> {
    const { url, timeoutMs, clock, fetch: get = fetch } = this.#options
    this.#triedAtMs = clock.monotonicMs()
    try {
      const response = await get(url, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error', headers: { accept: 'application/json' } })
      if (!response.ok) throw new Error(`status ${response.status}`)
      const { keys } = await response.json() as { keys?: unknown }
      if (!Array.isArray(keys)) throw new Error('no list of keys')
      this.#keys = readKeys(keys as readonly unknown[])
      this.#fetchedAtMs = clock.monotonicMs()
      this.#lastError = undefined
    } catch (error) {
      this.#lastError = error
    }
  }
}

/** Keys of kinds that we do not take are passed over: a set may serve others as well. */
function readKeys (jwks: readonly unknown[]): Map<string, Key> {
  const keys = new Map<string, Key>()
  for (const jwk of jwks) {
    if (typeof jwk !== 'object' || jwk === null) continue
    const { kid = '', use, alg } = jwk as Jwk
    if (typeof kid !== 'string' || (use !== undefined && use !== 'sig')) continue
    try {
      const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
      const algorithm = algorithmOf(key)
      if (alg !== undefined && alg !== algorithm) continue
      keys.set(kid, { pem: key.export({ type: 'spki', format: 'pem' }).toString(), algorithm })
    } catch {
      continue
    }
  }
  return keys
}
