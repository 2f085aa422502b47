/**
 * A Bloom filter of user ids: no false negatives, about one false positive in a thousand at the size it was made for
 * (B. Bloom 1970; two hashes give all others, Kirsch and Mitzenmacher 2006).
 */
const BITS_PER_ENTRY = 14.4 // -ln(0.001) / ln(2)^2
const HASHES = 10 // BITS_PER_ENTRY * ln(2)

/** The two hashes of an id, for whoever asks many filters about it. */
export function firstHash (id: string): number { return hash(id, 0x811c9dc5) }
export function secondHash (id: string): number { return (hash(id, 0x9e3779b9) | 1) >>> 0 }

export class BloomFilter {
  readonly #words: Uint32Array
  readonly #bits: number

  constructor (entries: number) {
    this.#words = new Uint32Array(Math.ceil(Math.max(1, entries) * BITS_PER_ENTRY / 32))
    this.#bits = this.#words.length * 32
  }

  get bytes (): number { return this.#words.byteLength }

  add (id: string): void {
    const step = secondHash(id)
    for (let n = 0, at = firstHash(id); n < HASHES; n++, at = (at + step) >>> 0) {
      const bit = at % this.#bits
      this.#words[bit >>> 5] = (this.#words[bit >>> 5] as number) | (1 << (bit & 31))
    }
  }

  has (id: string): boolean {
    return this.hasHashed(firstHash(id), secondHash(id))
  }

  hasHashed (first: number, second: number): boolean {
    for (let n = 0, at = first; n < HASHES; n++, at = (at + second) >>> 0) {
      const bit = at % this.#bits
      if (((this.#words[bit >>> 5] as number) & (1 << (bit & 31))) === 0) return false
    }
    return true
  }
}

/** FNV-1a over UTF-16 units with a finish that mixes the low bits (MurmurHash3). */
function hash (id: string, seed: number): number {
  let value = seed
  for (let at = 0; at < id.length; at++) value = Math.imul(value ^ id.charCodeAt(at), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
