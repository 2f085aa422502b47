/**
 * Users in the order in which they came online, numbered. A group that has looked at all up to a number looks only at
 * those after it at its next record. Bounded: whoever is too far behind looks at everybody who is here.
 */
import type { UserEntry } from '../connections/hub.ts'

export class Arrivals {
  readonly #capacity: number
  #users: UserEntry[] = []
  /** Number of the first that is kept. */
  #first = 0

  constructor (capacity = 65_536) {
    this.#capacity = capacity
  }

  /** The number that the next arrival gets. */
  get end (): number { return this.#first + this.#users.length }

  add (user: UserEntry): void {
    this.#users.push(user)
    if (this.#users.length < 2 * this.#capacity) return
    this.#first += this.#users.length - this.#capacity
    this.#users = this.#users.slice(-this.#capacity)
  }

  /** Who came at `number` or later, as far as it is known. */
  * since (number: number): Generator<UserEntry> {
    for (let at = number - this.#first; at < this.#users.length; at++) yield this.#users[at] as UserEntry
  }

  /** Whether nobody who came at `number` or later has been forgotten. */
  knows (number: number): boolean {
    return number >= this.#first
  }
}
