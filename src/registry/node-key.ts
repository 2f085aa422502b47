/**
 * The node's own key: created only where it is absent or a restart's, so that two nodes never share an id; put again when
 * it was lost, deleted at the end where it is still ours.
 */
import { KvRejectedError } from '../ports.ts'
import type { Clock, KvOperation, Logger, Timer } from '../ports.ts'
import { pause } from '../wait.ts'
import type { Batcher } from './batcher.ts'
import type { Lease, LeaseHolder, LeasePool } from './lease-pool.ts'
import { encodeNode, MIN_CONNECTS_PER_SECOND, nodeKey, parseNode } from './records.ts'

export interface NodeKeyOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly batcher: Batcher
  readonly leases: LeasePool
  readonly nodeId: string
  readonly startId: string
  readonly version: string
  readonly ttlMs: number
  readonly timeoutMs: number
}

const RETRY_MS = 1_000
/** How long the start waits for an etcd that does not answer. */
const START_TIMEOUT_MS = 10_000
/** Smaller changes of what a node can take are not worth a write. */
const NEWS_SHARE = 0.25
/** etcd looks for expired leases twice a second. */
const EXPIRY_DELAY_MS = 1_000

/** Another node has this one's id. */
export class NodeIdTakenError extends Error {
  constructor (nodeId: string, holder: string) {
    super(`the node id ${nodeId} is taken by ${holder}`)
    this.name = 'NodeIdTakenError'
  }
}

export class NodeKey implements LeaseHolder {
  lease: Lease | undefined
  readonly #options: NodeKeyOptions
  readonly #key: string
  #address = ''
  #value = ''
  #connectsPerSecond = MIN_CONNECTS_PER_SECOND
  /** What our latest put says. */
  #announced = 0
  #held = false
  #everHeld = false
  /** Of our latest put; news of earlier revisions is old. */
  #revision = 0
  /** Why the latest attempt to put it came to nothing. */
  #lastError: unknown
  /** The latest at which the key was gone, or another's: an answer of an earlier put may come after that. */
  #lostRevision = 0
  #closed = false
  #timer: Timer | undefined

  constructor (options: NodeKeyOptions) {
    this.#options = options
    this.#key = nodeKey(options.nodeId)
  }

  /** Whether the id was ever this node's: until then nobody may be let in. */
  get everHeld (): boolean { return this.#everHeld }

  /**
   * Resolves once the key is ours, or when etcd did not answer for a while: then it goes on in the background. Rejects
   * with a NodeIdTakenError when another node has held the id for longer than a dead one could.
   */
  async start (address: string): Promise<void> {
    const { clock, logger, ttlMs, nodeId } = this.#options
    this.#address = address
    const startedMs = clock.monotonicMs()
    let refusedMs: number | undefined
    while (!this.#closed) {
      const outcome = await this.#claim()
      if (outcome === 'held') return
      const nowMs = clock.monotonicMs()
      if (outcome === 'unknown') {
        if (refusedMs === undefined && nowMs - startedMs >= START_TIMEOUT_MS) {
          logger.warn({ node: nodeId, err: this.#lastError }, 'the node key cannot be put: the node starts without it and lets nobody in until it is there')
          this.#repairLater()
          return
        }
      } else {
        if (refusedMs === undefined) logger.warn({ node: nodeId, holder: outcome.holder }, 'the node id is taken, waiting for its holder to expire')
        refusedMs ??= nowMs
        if (nowMs - refusedMs > ttlMs + EXPIRY_DELAY_MS) throw new NodeIdTakenError(nodeId, outcome.holder)
      }
      await pause(clock, Math.min(RETRY_MS, ttlMs / 2))
    }
  }

  /** Handshakes a second that this node can take, 0 for none: put where that is news to the others. */
  announce (connectsPerSecond: number): void {
    this.#connectsPerSecond = connectsPerSecond
    const isNews = Math.abs(connectsPerSecond - this.#announced) > this.#announced * NEWS_SHARE
    if (this.#held && isNews) this.#repair()
  }

  /** The watch has seen the key put. */
  onPut (value: string, revision: number): void {
    if (value === this.#value || parseNode(value)?.start === this.#options.startId) return
    this.#lostRevision = Math.max(this.#lostRevision, revision)
    if (!this.#held || revision <= this.#revision) return
    this.#held = false
    this.#options.logger.error({ node: this.#options.nodeId, holder: holderOf(value) }, 'another node has taken this node id')
    this.#repairLater()
  }

  /** The key is gone. */
  onDelete (revision: number): void {
    this.#lostRevision = Math.max(this.#lostRevision, revision)
    if (this.#held && revision > this.#revision) this.onLeaseLost()
  }

  /** The key is gone with it. */
  onLeaseLost (): void {
    this.#held = false
    this.#repair()
  }

  /** Deletes the key where it is ours. Never rejects. */
  async close (): Promise<void> {
    const { batcher, clock, leases, timeoutMs } = this.#options
    this.#closed = true
    if (this.#timer !== undefined) clock.clearTimer(this.#timer)
    leases.release(this)
    if (this.#value === '') return
    await batcher.submit({
      lane: this.#key,
      operation: { when: [{ kind: 'value', key: this.#key, equals: this.#value }], then: { remove: this.#key } },
      timeoutMs
    }).catch(() => {})
  }

  #repair (): void {
    if (this.#closed || this.#address === '') return
    this.#claim().then((outcome) => {
      if (outcome === 'held') return
      if (outcome !== 'unknown') this.#options.logger.error({ node: this.#options.nodeId, holder: outcome.holder }, 'another node has taken this node id')
      this.#repairLater()
    }, () => {})
  }

  #repairLater (): void {
    if (this.#closed) return
    this.#timer ??= this.#options.clock.setTimer(() => {
      this.#timer = undefined
      this.#repair()
    }, RETRY_MS)
  }

  /** One attempt. Never rejects. */
  async #claim (): Promise<'held' | 'unknown' | { readonly holder: string }> {
    const { batcher, clock, leases, startId, timeoutMs, version } = this.#options
    const mayTakeOver = !this.#everHeld
    try {
      const lease = await leases.acquire(this)
      this.#announced = this.#connectsPerSecond
      this.#value = encodeNode({ grpc: this.#address, version, at: clock.unixMs(), start: startId, connects_per_s: this.#announced })
      const put = (condition: KvOperation['when'][number]): KvOperation => ({
        when: [condition], then: { put: this.#key, value: this.#value, leaseId: lease.id }, otherwise: { read: this.#key }
      })
      const absent = put({ kind: 'absent', key: this.#key })
      const answer = await batcher.submit({
        lane: this.#key,
        operation: absent,
        timeoutMs,
        again: ({ entries: [entry] }) => {
          if (entry === undefined) return absent
          return this.#isOurs(entry.value, mayTakeOver) ? put({ kind: 'value', key: this.#key, equals: entry.value }) : undefined
        }
      })
      if (!answer.succeeded) return { holder: holderOf(answer.entries[0]?.value ?? '') }
      this.#held = this.lease === lease && this.#lostRevision < answer.revision
      this.#everHeld = true
      this.#revision = answer.revision
      return this.#held ? 'held' : 'unknown'
    } catch (error) {
      this.#lastError = error
      if (error instanceof KvRejectedError && error.reason === 'lease' && this.lease !== undefined) leases.lose(this.lease, 'gone')
      return 'unknown'
    }
  }

  /** Ours from an earlier attempt, or, at the start, left behind by the process that had the same address. */
  #isOurs (value: string, mayTakeOver: boolean): boolean {
    const holder = parseNode(value)
    return holder !== undefined && (holder.start === this.#options.startId || (mayTakeOver && holder.grpc === this.#address))
  }
}

function holderOf (value: string): string {
  const holder = parseNode(value)
  return holder === undefined ? 'a key that no gateway wrote' : `${holder.grpc} (start ${holder.start}, version ${holder.version}, since ${new Date(holder.at).toISOString()})`
}
