/**
 * One client of a `MemoryStore`: the KvStore of the demo and of the tests. It can be cut off, frozen, and made to lose
 * answers, each client by itself, so that every fault of a real etcd has its test without one.
 */
import { GatewayError } from '../errors.ts'
import type { Clock, KvBatchResult, KvOperation, KvStore, KvWatch, RangeOptions, RangeResult, WatchEnd, WatchHandlers } from '../ports.ts'
import { MemoryStore } from './memory-store.ts'
import { MemoryWatch, type WatchClient } from './memory-watch.ts'

export interface MemoryKvOptions {
  readonly clock: Clock
  /** The world that this client sees; by default one of its own. */
  readonly store?: MemoryStore
}

/** How long a call waits for a frozen store. */
const CALL_TIMEOUT_MS = 3_000

interface HeldCall { run (): void }

export class MemoryKv implements KvStore, WatchClient {
  readonly store: MemoryStore
  readonly clock: Clock
  readonly #watches = new Set<MemoryWatch>()
  readonly #held: HeldCall[] = []
  #state: 'up' | 'down' | 'frozen' | 'closed' = 'up'
  #answersToLose = 0
  /** Calls made, faults included. */
  calls = 0

  constructor (options: MemoryKvOptions) {
    this.clock = options.clock
    this.store = options.store ?? new MemoryStore({ clock: options.clock })
  }

  get frozen (): boolean { return this.#state === 'frozen' }

  range (key: string, options: RangeOptions = {}): Promise<RangeResult> { return this.#call(() => this.store.range(key, options)) }
  batch (operations: readonly KvOperation[]): Promise<KvBatchResult> { return this.#call(() => this.store.batch(operations)) }
  grantLease (ttlSeconds: number): Promise<string> { return this.#call(() => this.store.grantLease(ttlSeconds)) }
  renewLease (leaseId: string): Promise<number> { return this.#call(() => this.store.renewLease(leaseId)) }
  revokeLease (leaseId: string): Promise<void> { return this.#call(() => this.store.revokeLease(leaseId)) }

  watch (prefix: string, fromRevision: number, handlers: WatchHandlers): KvWatch {
    const watch = new MemoryWatch(this, prefix, handlers)
    this.#watches.add(watch)
    watch.open(fromRevision, this.#state === 'down' || this.#state === 'closed')
    return watch
  }

  forget (watch: MemoryWatch): void { this.#watches.delete(watch) }

  close (): Promise<void> {
    this.#state = 'closed'
    for (const watch of [...this.#watches]) watch.cancel()
    return Promise.resolve()
  }

  /** Every call fails at once and the watches end, until `heal`. */
  cut (): void {
    this.#state = 'down'
    this.endWatches()
  }

  /** Nothing is answered, until `heal`: calls run into their deadline, watches fall silent. */
  freeze (): void {
    this.#state = 'frozen'
  }

  /** Ends a fault. Calls held by a freeze are run now, those too whose caller has given up: etcd read them from its sockets. */
  heal (): void {
    this.#state = 'up'
    for (const call of this.#held.splice(0)) call.run()
    for (const watch of this.#watches) watch.flush()
  }

  /** The next `count` calls do their work and then fail: the outcome is unknown to the caller. */
  loseAnswers (count: number): void {
    this.#answersToLose = count
  }

  /** Breaks the watches; calls go on. */
  endWatches (reason: WatchEnd = { error: new Error('the connection was cut') }): void {
    for (const watch of [...this.#watches]) watch.end(reason)
  }

  async #call<T> (work: () => T): Promise<T> {
    this.calls++
    if (this.#state === 'frozen') return await this.#hold(work)
    // As over a network: nothing has happened when the caller goes on.
    await null
    if (this.#state !== 'up') throw unavailable()
    const answer = work()
    if (this.#answersToLose === 0) return answer
    this.#answersToLose--
    throw unavailable()
  }

  #hold<T> (work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.clock.setTimer(() => reject(unavailable()), CALL_TIMEOUT_MS)
      this.#held.push({
        run: () => {
          this.clock.clearTimer(timer)
          try {
            resolve(work())
          } catch (error) {
            reject(error instanceof Error ? error : unavailable())
          }
        }
      })
    })
  }
}

function unavailable (): GatewayError {
  return new GatewayError('SERVICE_UNAVAILABLE', { detail: 'etcd does not answer' })
}
