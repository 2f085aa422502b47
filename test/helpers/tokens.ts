/** Tokens signed by hand, so that a test can sign what no library would. */
import { createHmac, sign, type KeyObject } from 'node:crypto'

export interface TokenHeader { readonly alg: string, readonly kid?: string, readonly [name: string]: unknown }

/** A JWT over `claims`: HMAC with a string or Buffer, else a signature by the private key, both over SHA-256 (HS512: SHA-512; Ed25519: its own). */
export function signToken (claims: object, key: string | Buffer | KeyObject | undefined, header: TokenHeader = { alg: 'HS256', typ: 'JWT' }): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${signature(input, key, header.alg === 'HS512' ? 'sha512' : 'sha256').toString('base64url')}`
}

function signature (input: string, key: string | Buffer | KeyObject | undefined, hash: string): Buffer {
  if (key === undefined) return Buffer.alloc(0)
  if (typeof key === 'string' || Buffer.isBuffer(key)) return createHmac(hash, key).update(input).digest()
  if (key.asymmetricKeyType === 'ed25519') return sign(null, Buffer.from(input), key)
  return sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })
}

function encode (part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
