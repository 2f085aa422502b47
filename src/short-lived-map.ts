/**
 * A Map of entries that come and go by the thousands a second. V8 links the table that a Map has outgrown to the next one:
 * once one has reached the old generation, it holds all that follow, with what they held, until the next full collection,
 * and every small collection copies that, 5 ms each. So the Map is made anew after some entries have gone.
 */

/** So many entries have gone before the Map is made anew: fewer would not be worth it. */
const RENEW_AFTER = 1_024
/** Nor is it made anew while more entries than this would have to be copied. */
const RENEW_SIZE = 4_096

export class ShortLivedMap<K, V> {
  #map = new Map<K, V>()
  #gone = 0

  get size (): number { return this.#map.size }

  get (key: K): V | undefined {
    return this.#map.get(key)
  }

  has (key: K): boolean {
    return this.#map.has(key)
  }

  set (key: K, value: V): void {
    this.#map.set(key, value)
  }

  /** Takes an entry out. Returns its value. */
  take (key: K): V | undefined {
    const value = this.#map.get(key)
    if (this.#map.delete(key) && ++this.#gone >= RENEW_AFTER && this.#map.size <= RENEW_SIZE) {
      this.#map = new Map(this.#map)
      this.#gone = 0
    }
    return value
  }

  /** In the order in which they were set; entries may be taken out meanwhile. */
  [Symbol.iterator] (): IterableIterator<[K, V]> {
    return this.#map.entries()
  }

  clear (): void {
    this.#map.clear()
  }
}
