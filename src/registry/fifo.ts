/**
 * First in, first out, each in constant time. A Set or a Map from which the first is taken again and again is none: V8 walks
 * over the places of all that have gone since it last made its table anew.
 */
export class Fifo<T> {
  #entering: T[] = []
  /** In reverse: the first of the queue is the last of this array. */
  #leaving: T[] = []

  get length (): number { return this.#entering.length + this.#leaving.length }

  push (item: T): void {
    this.#entering.push(item)
  }

  /** Takes the first out; undefined where there is none. */
  shift (): T | undefined {
    if (this.#leaving.length === 0) {
      this.#leaving = this.#entering.reverse()
      this.#entering = []
    }
    return this.#leaving.pop()
  }
}
