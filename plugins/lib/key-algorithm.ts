/** The one algorithm that a public key is used with. It follows from the key, never from a token's header. */
import type { KeyObject } from 'node:crypto'

export type KeyAlgorithm = 'RS256' | 'ES256' | 'EdDSA'

const MIN_RSA_BITS = 2048

/** RS256 for RSA from 2,048 bits on, ES256 for P-256, EdDSA for Ed25519. Throws a RangeError for any other key. */
export function algorithmOf (key: KeyObject): KeyAlgorithm {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= MIN_RSA_BITS) return 'RS256'
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256'
  if (type === 'ed25519') return 'EdDSA'
  throw new RangeError('a token key is RSA with at least 2,048 bits, P-256 or Ed25519')
}
