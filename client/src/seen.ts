/** Ids that were seen, the latest so many of them. */
export class Seen {
  readonly #max: number
  readonly #ids = new Set<string>()

  constructor (max: number) {
    this.#max = max
  }

  has (id: string): boolean { return this.#ids.has(id) }

  /** False where it was seen before. */
  add (id: string): boolean {
    if (this.#ids.has(id)) return false
    this.#ids.add(id)
    const [oldest] = this.#ids
    if (this.#ids.size > this.#max && oldest !== undefined) this.#ids.delete(oldest)
    return true
  }
}
