/**
 * Work on registrations that has to be done eventually: puts after a lost lease, removals after a close. Only so many
 * items are under way at once that a hundred thousand of them swamp neither etcd nor the upgrades that come meanwhile.
 * After a failure it is one, with growing pauses while etcd does not answer, and one more with each item that is done.
 */
import type { Clock, Meter, Timer } from '../ports.ts'
import { Fifo } from './fifo.ts'

export interface RepairsOptions<Item> {
  readonly clock: Clock
  readonly meter: Meter
  /** Does the work. False: etcd did not answer, the item comes again. Never rejects. */
  readonly work: (item: Item) => Promise<boolean>
  /** Longest pause while etcd does not answer. Default 2,000 ms. */
  readonly maxPauseMs?: number
  readonly random: () => number
}

/** Items under way at once: sixteen full transactions, as many as the batcher lets go. */
const MAX_ACTIVE = 1_600
const ACTIVE_AT_FIRST = 400

export class Repairs<Item> {
  readonly #options: RepairsOptions<Item>
  /** Items with work to do; one that is active as well is worked on again after that. */
  readonly #waiting = new Set<Item>()
  /** Items under way. */
  readonly #active = new Set<Item>()
  /** The waiting items that are not active, in their order. */
  readonly #queue = new Fifo<Item>()
  #limit = ACTIVE_AT_FIRST
  #failures = 0
  #timer: Timer | undefined
  #stopped = false

  constructor (options: RepairsOptions<Item>) {
    this.#options = options
    options.meter.source('registry_repairs', () => this.size)
  }

  /** Items that wait or are under way. */
  get size (): number { return this.#waiting.size + this.#active.size }

  /** An item that waits already is not taken twice; one that is under way comes again after it. */
  add (item: Item): void {
    if (this.#waiting.has(item)) return
    this.#waiting.add(item)
    if (!this.#active.has(item)) this.#queue.push(item)
    this.#pump()
  }

  stop (): void {
    this.#stopped = true
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
  }

  #pump (): void {
    if (this.#stopped || this.#timer !== undefined) return
    while (this.#active.size < this.#limit) {
      const item = this.#queue.shift()
      if (item === undefined) return
      this.#waiting.delete(item)
      this.#active.add(item)
      this.#options.work(item).then((done) => this.#finished(item, done), () => this.#finished(item, false))
    }
  }

  #finished (item: Item, done: boolean): void {
    this.#active.delete(item)
    if (done) {
      this.#failures = 0
      this.#limit = Math.min(MAX_ACTIVE, this.#limit + 1)
    } else {
      this.#limit = 1
      this.#waiting.add(item)
      this.#rest()
    }
    if (this.#waiting.has(item)) this.#queue.push(item)
    this.#pump()
  }

  #rest (): void {
    if (this.#timer !== undefined || this.#stopped) return
    const { clock, random, maxPauseMs = 2_000 } = this.#options
    const pauseMs = Math.min(maxPauseMs, 100 * 2 ** this.#failures) * (0.5 + 0.5 * random())
    this.#failures = Math.min(this.#failures + 1, 10)
    this.#timer = clock.setTimer(() => {
      this.#timer = undefined
      this.#pump()
    }, pauseMs)
  }
}
