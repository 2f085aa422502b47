/** A watch on a `MemoryStore`: what happened since a revision, then what happens, each revision as one call, never inside the call that wrote it. */
import { KvCompactedError } from '../ports.ts'
import type { Clock, KvEvent, KvWatch, Timer, WatchEnd, WatchHandlers } from '../ports.ts'
import type { MemoryStore, StoreObserver } from './memory-store.ts'

/** How often a watch shows that it lives. */
const PROGRESS_INTERVAL_MS = 4_000

/** What a watch needs of the client that it belongs to. */
export interface WatchClient {
  readonly clock: Clock
  readonly store: MemoryStore
  /** Nothing is told. */
  readonly frozen: boolean
  forget (watch: MemoryWatch): void
}

export class MemoryWatch implements KvWatch, StoreObserver {
  readonly #client: WatchClient
  readonly #prefix: string
  readonly #handlers: WatchHandlers
  readonly #waiting: { readonly events: readonly KvEvent[], readonly revision: number }[] = []
  #told = 0
  #flushing = false
  #ended = false
  #timer: Timer | undefined

  constructor (client: WatchClient, prefix: string, handlers: WatchHandlers) {
    this.#client = client
    this.#prefix = prefix
    this.#handlers = handlers
  }

  open (fromRevision: number, refused: boolean): void {
    const { store } = this.#client
    if (refused) {
      queueMicrotask(() => this.end({ error: new Error('no connection') }))
      return
    }
    try {
      this.#waiting.push(...store.changesSince(fromRevision, this.#prefix))
    } catch (error) {
      if (!(error instanceof KvCompactedError)) throw error
      queueMicrotask(() => this.end({ compactedAt: store.compacted }))
      return
    }
    this.#told = fromRevision - 1
    store.observe(this)
    queueMicrotask(() => this.#progress())
    this.#flushLater()
  }

  onRevision (events: readonly KvEvent[], revision: number): void {
    const mine = events.filter((event) => event.key.startsWith(this.#prefix))
    if (mine.length === 0) return
    this.#waiting.push({ events: mine, revision })
    this.#flushLater()
  }

  /** Tells what waits, revision by revision. */
  flush (): void {
    while (!this.#ended && !this.#client.frozen) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#told = next.revision
      this.#handlers.onEvents(next.events, next.revision)
    }
  }

  cancel (): void {
    this.#ended = true
    if (this.#timer !== undefined) this.#client.clock.clearTimer(this.#timer)
    this.#client.store.unobserve(this)
    this.#client.forget(this)
  }

  end (reason: WatchEnd): void {
    if (this.#ended) return
    this.cancel()
    this.#handlers.onEnd(reason)
  }

  #flushLater (): void {
    if (this.#flushing) return
    this.#flushing = true
    queueMicrotask(() => {
      this.#flushing = false
      this.flush()
    })
  }

  #progress (): void {
    if (this.#ended) return
    if (!this.#client.frozen) this.#handlers.onProgress(this.#told)
    this.#timer = this.#client.clock.setTimer(() => this.#progress(), PROGRESS_INTERVAL_MS)
  }
}
