/**
 * One watch on etcd's own stream: the library's watcher reconnects by itself and loses events when it is broken twice, may
 * die unheard after a compaction, and throws where nobody catches. This one ends once, at any doubt, and never comes back.
 */
import { status, type ServiceError } from '@grpc/grpc-js'
import type { Etcd3, IDuplexStream, IWatchRequest, IWatchResponse } from 'etcd3'
import type { Clock, KvWatch, Timer, WatchEnd, WatchHandlers } from '../../src/ports.ts'
import { endOf, eventOf } from './etcd-codec.ts'

export interface EtcdWatchOptions {
  readonly client: Etcd3
  readonly clock: Clock
  readonly prefix: string
  readonly fromRevision: number
  readonly handlers: WatchHandlers
  /** How long the watch may take to open, in milliseconds. */
  readonly timeoutMs: number
  readonly onAnswer: () => void
  readonly onFailure: (error: Error) => void
}

type Stream = IDuplexStream<IWatchRequest, IWatchResponse>

const PROGRESS_INTERVAL_MS = 4_000

export class EtcdWatch implements KvWatch {
  readonly #options: EtcdWatchOptions
  #stream: Stream | undefined
  #timer: Timer | undefined
  #told: number
  #ended = false

  constructor (options: EtcdWatchOptions) {
    this.#options = options
    this.#told = options.fromRevision - 1
    const { client, clock, timeoutMs } = options
    this.#timer = clock.setTimer(() => this.#fail(new Error('the watch did not open in time')), timeoutMs)
    client.watchClient.watch().then((stream) => this.#open(stream), (error: unknown) => this.#fail(error))
  }

  cancel (): void {
    this.#ended = true
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    this.#stream?.cancel()
  }

  #open (stream: Stream): void {
    // Stays when the watch is cancelled: that ends in an error as well.
    stream.on('error', (error) => this.#fail(error))
    if (this.#ended) {
      stream.cancel()
      return
    }
    this.#stream = stream
    stream.on('data', (response) => this.#receive(response))
    stream.on('end', () => this.#fail(new Error('etcd ended the watch')))
    const { prefix, fromRevision } = this.#options
    // Not in fragments: etcd measures all of a fragment again for each event that it adds, a minute for some hundred thousand
    // (sendFragments in server/etcdserver/api/v3rpc/watch.go). A message that is too long for us is told as such.
    stream.write({ create_request: { key: Buffer.from(prefix), range_end: endOf(prefix), start_revision: fromRevision, progress_notify: true } })
  }

  #receive (response: IWatchResponse): void {
    if (this.#ended) return
    const { handlers, onAnswer } = this.#options
    if (response.canceled) {
      const compactedAt = Number(response.compact_revision)
      if (compactedAt > 0) this.#end({ compactedAt })
      else this.#fail(new Error(`etcd cancelled the watch: ${response.cancel_reason}`))
      return
    }
    onAnswer()
    if (response.events.length > 0) {
      const events = response.events.map(eventOf)
      this.#told = Math.max(this.#told, events.at(-1)?.revision ?? 0)
      handlers.onEvents(events, this.#told)
      return
    }
    if (response.created) {
      this.#askLater()
    } else if (Number(response.watch_id) >= 0) {
      // Sent for this watch, behind its events. Answers to our own questions (id -1) may overtake events before etcd 3.4.25
      // and 3.5.8: they are a sign of life and no more.
      this.#told = Math.max(this.#told, Number(response.header.revision))
    }
    handlers.onProgress(this.#told)
  }

  #askLater (): void {
    const { clock } = this.#options
    if (this.#timer !== undefined) clock.clearTimer(this.#timer)
    this.#timer = clock.setTimer(() => {
      this.#stream?.write({ progress_request: {} })
      this.#askLater()
    }, PROGRESS_INTERVAL_MS)
  }

  #fail (reason: unknown): void {
    if (this.#ended) return
    const error = reason instanceof Error ? reason : new Error(String(reason))
    if ((error as Partial<ServiceError>).code === status.RESOURCE_EXHAUSTED) {
      this.#end({ tooLong: true, error })
      return
    }
    this.#end({ error })
    this.#options.onFailure(error)
  }

  #end (reason: WatchEnd): void {
    this.cancel()
    this.#options.handlers.onEnd(reason)
  }
}
