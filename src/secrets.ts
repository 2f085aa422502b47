/** Comparison of secrets in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto'

/** A secret that others have to show; only its hash is kept. */
export class SharedSecret {
  readonly #digest: Buffer

  constructor (secret: string) {
    this.#digest = digest(secret)
  }

  /** Takes the same time wherever the two differ, and whatever their lengths. */
  matches (shown: string | undefined): boolean {
    return timingSafeEqual(this.#digest, digest(shown ?? '')) && shown !== undefined
  }

  /** An `Authorization` header with the secret as bearer token (RFC 6750 section 2.1). */
  matchesBearer (header: string | undefined): boolean {
    const [, token] = /^Bearer (\S+)$/i.exec(header ?? '') ?? []
    return this.matches(token)
  }
}

function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
