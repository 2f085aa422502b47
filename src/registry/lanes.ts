/** Queues by lane: the first item of each lane is ready, the next one once the first has left. First come, first served. */
import { ShortLivedMap } from '../short-lived-map.ts'
import { Fifo } from './fifo.ts'

export interface LaneItem {
  readonly lane: string
  /** Given up: passed over when its turn comes. */
  readonly settled: boolean
}

export class Lanes<Item extends LaneItem> {
  /** Lanes with an item that is ready or taken, and what waits behind it. */
  readonly #waiting = new ShortLivedMap<string, Item[]>()
  readonly #ready = new Fifo<Item>()

  /** How many items could be taken, given-up ones included. */
  get ready (): number { return this.#ready.length }

  enter (item: Item): void {
    const lane = this.#waiting.get(item.lane)
    if (lane !== undefined) {
      lane.push(item)
      return
    }
    this.#waiting.set(item.lane, [])
    this.#ready.push(item)
  }

  /** A taken item is ready once more, its lane stays closed to others. */
  again (item: Item): void {
    this.#ready.push(item)
  }

  /** A taken item is done: the next of its lane is ready. */
  leave (item: Item): void {
    const lane = this.#waiting.get(item.lane)
    if (lane === undefined) return
    let next = lane.shift()
    while (next?.settled === true) next = lane.shift()
    if (next === undefined) this.#waiting.take(item.lane)
    else this.#ready.push(next)
  }

  /** Takes up to `max` items, each of another lane. */
  take (max: number): Item[] {
    const items: Item[] = []
    while (items.length < max) {
      const item = this.#ready.shift()
      if (item === undefined) break
      if (item.settled) this.leave(item)
      else items.push(item)
    }
    return items
  }

  /** Takes all that is not taken yet; nothing is kept. */
  clear (): Item[] {
    const items = [...this.#waiting].flatMap(([, items]) => items)
    for (let item = this.#ready.shift(); item !== undefined; item = this.#ready.shift()) items.push(item)
    this.#waiting.clear()
    return items
  }
}
