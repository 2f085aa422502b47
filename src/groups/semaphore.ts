/** At most so many calls at once; the others wait in line, first come, first served. Whoever calls bounds the line. */
export class Semaphore {
  #permits: number
  readonly #line: Array<() => void> = []

  constructor (permits: number) {
    this.#permits = permits
  }

  get waiting (): number { return this.#line.length }

  async run<T> (call: () => Promise<T>): Promise<T> {
    if (this.#permits > 0) this.#permits--
    else await new Promise<void>((resolve) => { this.#line.push(resolve) })
    try {
      return await call()
    } finally {
      const next = this.#line.shift()
      if (next === undefined) this.#permits++
      else next()
    }
  }
}
