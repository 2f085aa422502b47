/** So many calls at once and no more; the others wait in line, first come, first served. Whoever calls bounds the line. */
export class Gate {
  readonly #width: number
  #inside = 0
  readonly #line: Array<() => void> = []

  constructor (width: number) {
    this.#width = width
  }

  get waiting (): number { return this.#line.length }

  async run<T> (call: () => Promise<T>): Promise<T> {
    if (this.#inside < this.#width) this.#inside++
    else await new Promise<void>((resolve) => { this.#line.push(resolve) })
    try {
      return await call()
    } finally {
      const next = this.#line.shift()
      if (next === undefined) this.#inside--
      else next()
    }
  }
}
