/** Ids that a client remembers, of each kind. */
const MAX_SEEN = 10_000

/** Ids that were seen, the latest so many of them. */
export class Seen {
  readonly #ids = new Set<string>()

  /** False where it was seen before. */
  add (id: string): boolean {
    if (this.#ids.has(id)) return false
    this.#ids.add(id)
    const [oldest] = this.#ids
    if (this.#ids.size > MAX_SEEN) this.#ids.delete(oldest as string)
    return true
  }
}
