/**
 * Follows `/registry/`. One watch at a time, opened at the last revision seen + 1; at any doubt (it ended, it fell
 * silent) it is dropped and opened again. Where that revision has been compacted away, or too much has happened since,
 * everything is read in pages at one revision and the watch goes on from there. No event is passed over, whatever breaks, and however often.
 */
import type { Clock, KvEntry, KvEvent, KvStore, KvWatch, Logger, Meter, Timer } from '../ports.ts'

/** What the watcher tells; synchronously, in the order of revisions. */
export interface WatchSink {
  onEvents (events: readonly KvEvent[]): void
  /** Whether what is known is kept up to date from here on. */
  onLive (live: boolean): void
  /** Which prefixes a snapshot has to hold. */
  snapshotPrefixes (): readonly string[]
  onSnapshotStart (revision: number): void
  onSnapshotEntries (entries: readonly KvEntry[]): void
  /** All was read: what was not among it did not exist at this revision. */
  onSnapshotEnd (revision: number): void
}

export interface WatcherOptions {
  readonly kv: Pick<KvStore, 'range' | 'watch'>
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly prefix: string
  readonly random: () => number
}

/** Silence after which a watch is doubted: three signs of life of an adapter. */
const MAX_SILENCE_MS = 12_000
/** Longest wait before the next attempt. */
const MAX_BACKOFF_MS = 1_000
/** Entries read at a time. */
const PAGE_SIZE = 1_000

export class Watcher {
  readonly #options: WatcherOptions
  readonly #sink: WatchSink
  #watch: KvWatch | undefined
  /** Counts attempts: what an earlier one still says is not listened to. */
  #epoch = 0
  /** All up to this revision was told; 0: a snapshot is needed. */
  #revision = 0
  #live = false
  #heardMs = 0
  #liveSinceMs = 0
  #failures = 0
  #timer: Timer | undefined
  #stopped = false

  constructor (options: WatcherOptions, sink: WatchSink) {
    this.#options = options
    this.#sink = sink
    options.meter.source('registry_watch_live', () => this.#live ? 1 : 0)
  }

  /** Whether changes are heard of as they happen. */
  get live (): boolean { return this.#live }
  get revision (): number { return this.#revision }

  start (): void {
    this.#attempt()
  }

  stop (): void {
    this.#stopped = true
    this.#abandon()
  }

  #attempt (): void {
    if (this.#stopped) return
    const epoch = ++this.#epoch
    if (this.#revision > 0) {
      this.#open(epoch)
      return
    }
    this.#snapshot(epoch).then((revision) => {
      if (epoch !== this.#epoch) return
      this.#revision = revision
      this.#open(epoch)
    }, (error: unknown) => {
      if (epoch !== this.#epoch) return
      this.#options.logger.debug({ err: error }, 'the registry could not be read')
      this.#later()
    })
  }

  #open (epoch: number): void {
    const { kv, clock, prefix } = this.#options
    this.#heardMs = clock.monotonicMs()
    this.#timer = clock.setTimer(() => this.#checkSilence(), MAX_SILENCE_MS)
    this.#watch = kv.watch(prefix, this.#revision + 1, {
      onEvents: (events, revision) => {
        if (epoch !== this.#epoch) return
        this.#heard()
        this.#sink.onEvents(events)
        this.#revision = Math.max(this.#revision, revision)
      },
      onProgress: (revision) => {
        if (epoch !== this.#epoch) return
        this.#heard()
        this.#revision = Math.max(this.#revision, revision)
      },
      onEnd: ({ compactedAt, tooLong = false, error }) => {
        if (epoch !== this.#epoch) return
        if (compactedAt !== undefined || tooLong) this.#resync(tooLong ? 'too much has happened' : 'compacted')
        else this.#broken('ended', error)
      }
    })
  }

  #heard (): void {
    this.#heardMs = this.#options.clock.monotonicMs()
    if (this.#live) return
    this.#live = true
    this.#liveSinceMs = this.#heardMs
    this.#sink.onLive(true)
  }

  #checkSilence (): void {
    const { clock } = this.#options
    const silentMs = clock.monotonicMs() - this.#heardMs
    if (silentMs >= MAX_SILENCE_MS) this.#broken('silent', undefined)
    else this.#timer = clock.setTimer(() => this.#checkSilence(), MAX_SILENCE_MS - silentMs)
  }

  #broken (reason: 'ended' | 'silent', error: Error | undefined): void {
    this.#options.meter.count('watch_breaks_total', 1, reason)
    this.#options.logger.debug({ err: error, reason, revision: this.#revision }, 'the registry watch is opened again')
    this.#later()
  }

  #resync (reason: string): void {
    this.#options.meter.count('watch_resync_total')
    this.#options.logger.warn({ revision: this.#revision, reason }, 'the registry watch cannot go on from where it was, everything is read again')
    this.#revision = 0
    this.#later()
  }

  /** Tries again, at first at once, then slower. */
  #later (): void {
    const { clock, random } = this.#options
    if (this.#live && clock.monotonicMs() - this.#liveSinceMs > MAX_BACKOFF_MS) this.#failures = 0
    this.#abandon()
    const ceilingMs = Math.min(MAX_BACKOFF_MS, 50 * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 20)
    this.#timer = clock.setTimer(() => this.#attempt(), ceilingMs * (0.5 + 0.5 * random()))
  }

  /** Lets go of the watch that is there, heard or not. */
  #abandon (): void {
    this.#epoch++
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    this.#timer = undefined
    this.#watch?.cancel()
    this.#watch = undefined
    if (!this.#live) return
    this.#live = false
    this.#sink.onLive(false)
  }

  /** Reads everything as it stood at one revision, and gives that revision. Rejects where that is compacted meanwhile. */
  async #snapshot (epoch: number): Promise<number> {
    const { kv } = this.#options
    let revision = 0
    for (const prefix of this.#sink.snapshotPrefixes()) {
      let startAfter: string | undefined
      for (let more = true; more;) {
        const page = await kv.range(prefix, {
          prefix: true,
          limit: PAGE_SIZE,
          ...(revision > 0 && { atRevision: revision }),
          ...(startAfter !== undefined && { startAfter })
        })
        if (epoch !== this.#epoch) return 0
        if (revision === 0) {
          revision = page.revision
          this.#sink.onSnapshotStart(revision)
        }
        this.#sink.onSnapshotEntries(page.entries)
        startAfter = page.entries.at(-1)?.key
        more = page.more && startAfter !== undefined
      }
    }
    this.#sink.onSnapshotEnd(revision)
    return revision
  }
}
