/** What happened, in order, and the wait for what is to come. */
export class Journal<T> {
  readonly #entries: T[] = []
  readonly #waiting = new Set<() => void>()
  #isOver = false

  get all (): readonly T[] { return this.#entries }
  get length (): number { return this.#entries.length }

  add (entry: T): void {
    this.#entries.push(entry)
    for (const look of this.#waiting) look()
  }

  /** Nothing more will come: who waits is rejected. */
  end (): void {
    this.#isOver = true
    for (const look of this.#waiting) look()
  }

  /** The first that matches, of those from the index `from` on; rejects where none comes in time. `what` is for the one who reads that. */
  async next (what: string, matches: (entry: T) => boolean = () => true, { timeoutMs = 10_000, from = 0 } = {}): Promise<T> {
    const found = await this.#find(matches, timeoutMs, from)
    if (found === undefined) throw new Error(`no ${what} within ${timeoutMs} ms`)
    return found
  }

  /** Resolves to undefined once the time is over, or at once to an entry that should not be. */
  none (matches: (entry: T) => boolean, forMs: number, from = 0): Promise<T | undefined> {
    return this.#find(matches, forMs, from)
  }

  async #find (matches: (entry: T) => boolean, timeoutMs: number, from: number): Promise<T | undefined> {
    let timer: NodeJS.Timeout | undefined
    let seen = from
    let look = (): void => {}
    const found = new Promise<T | undefined>((resolve, reject) => {
      timer = setTimeout(() => { resolve(undefined) }, timeoutMs)
      look = () => {
        while (seen < this.#entries.length) {
          const entry = this.#entries[seen++] as T
          if (matches(entry)) {
            resolve(entry)
            return
          }
        }
        if (this.#isOver) reject(new Error('nothing more will come'))
      }
    })
    this.#waiting.add(look)
    look()
    try {
      return await found
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(look)
    }
  }
}
