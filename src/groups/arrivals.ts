/**
 * Users in the order in which they came online, numbered. A group that has looked at all up to a number looks only at
 * those after it at its next record. Bounded: whoever is too far behind has to be read anew.
 */
import type { UserEntry } from '../connections/hub.ts'
import { firstHash, secondHash, type BloomFilter } from './bloom.ts'

export class Arrivals {
  readonly #capacity: number
  /** null: has gone again. */
  #users: Array<UserEntry | null> = []
  /** Of each arrival the hashes of its id, which every group's filter is asked about. */
  #hashes: number[] = []
  /** Number of the first that is kept. */
  #first = 0
  /** Nobody who came at this number or later was forgotten while here. */
  #knownFrom = 0
  #present = 0

  constructor (capacity = 32_768) {
    this.#capacity = capacity
  }

  /** The number that the next arrival gets. */
  get end (): number { return this.#first + this.#users.length }
  /** Slots that are held, of users who have gone as well. */
  get length (): number { return this.#users.length }

  add (user: UserEntry): void {
    user.arrival = this.end
    this.#users.push(user)
    this.#hashes.push(firstHash(user.userId), secondHash(user.userId))
    this.#present++
    // In halves, so that forgetting costs the same per arrival however many there are.
    if (this.#users.length < 2 * this.#capacity) return
    for (let at = 0; at < this.#capacity; at++) if (this.#users[at] !== null) this.#present--
    this.#dropFirst(this.#capacity)
    this.#knownFrom = this.#first
  }

  remove (user: UserEntry): void {
    const at = user.arrival - this.#first
    if (this.#users[at] !== user) return
    this.#users[at] = null
    if (--this.#present === 0) this.#dropFirst(this.#users.length)
  }

  /** Who came at `number` or later, is still here and passes the filter, if there is one. */
  since (number: number, filter: BloomFilter | null = null): UserEntry[] {
    const found: UserEntry[] = []
    for (let at = Math.max(0, number - this.#first); at < this.#users.length; at++) {
      if (filter?.hasHashed(this.#hashes[2 * at] as number, this.#hashes[2 * at + 1] as number) === false) continue
      const user = this.#users[at]
      if (user !== null && user !== undefined) found.push(user)
    }
    return found
  }

  /** Whether nobody who came at `number` or later and is here has been forgotten. */
  knows (number: number): boolean {
    return number >= this.#knownFrom
  }

  #dropFirst (count: number): void {
    this.#first += count
    this.#users = this.#users.slice(count)
    this.#hashes = this.#hashes.slice(2 * count)
  }
}
