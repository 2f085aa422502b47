/**
 * Leases of `REGISTRY_TTL`, each shared by up to 500 registrations: one a session would drown etcd in renewals, one a
 * node would make its end a stall. A lease counts as lost by this clock, a TTL after the *sending* of the last renewal
 * that was answered: the store cannot have dropped it earlier, and nobody has to be asked [GW-END-2].
 */
import { GatewayError } from '../errors.ts'
import type { Clock, KvStore, Logger, Meter, Timer } from '../ports.ts'
import { Lease, type LeaseHolder } from './lease.ts'

export type { Lease, LeaseHolder }

/** What the pool tells. */
export interface LeaseListener {
  /** The lease is gone, or has to be taken for gone; the holders have no lease any more. */
  onLeaseLost (holders: readonly LeaseHolder[]): void
}

export interface LeasePoolOptions {
  readonly kv: Pick<KvStore, 'grantLease' | 'renewLease' | 'revokeLease'>
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly ttlMs: number
  readonly renewIntervalMs: number
  /** Holders of one lease. Default `MAX_HOLDERS`. */
  readonly maxHolders?: number
  /** 0 up to 1, for the spread of renewals. */
  readonly random: () => number
}

export const MAX_HOLDERS = 500
/** The least share of the interval after which a lease is renewed. */
export const EARLIEST_RENEWAL = 0.9

export class LeasePool {
  readonly #options: LeasePoolOptions
  readonly #maxHolders: number
  readonly #listener: LeaseListener
  readonly #leases = new Set<Lease>()
  /** The lease that new holders get, while it has room. */
  #open: Lease | undefined
  #timer: Timer | undefined
  #closed = false

  constructor (options: LeasePoolOptions, listener: LeaseListener) {
    this.#options = options
    this.#listener = listener
    this.#maxHolders = options.maxHolders ?? MAX_HOLDERS
    options.meter.source('registry_leases', () => this.#leases.size)
  }

  get size (): number { return this.#leases.size }

  /** Gives the holder a lease that is granted. Rejects with a GatewayError or KvRejectedError where there is none to be had. */
  async acquire (holder: LeaseHolder): Promise<Lease> {
    if (this.#closed) throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'the registry is closed' })
    const lease = holder.lease ?? this.#assign(holder)
    if (lease.id === '') await lease.granted
    return lease
  }

  /** As `acquire` where that needs no answer of the store; undefined where it does. */
  tryAcquire (holder: LeaseHolder): Lease | undefined {
    if (this.#closed) return undefined
    const lease = holder.lease ?? this.#assign(holder)
    return lease.id === '' ? undefined : lease
  }

  /** The holder needs its lease no more. An empty lease is given back when its renewal is due. */
  release (holder: LeaseHolder): void {
    const lease = holder.lease
    if (lease === undefined) return
    lease.holders.delete(holder)
    holder.lease = undefined
    if (this.#open === undefined || this.#open.holders.size >= this.#maxHolders) this.#open = lease
  }

  /** The lease is gone: somebody was told so by the store. */
  lose (lease: Lease, reason: string): void {
    if (lease.lost) return
    this.#drop(lease)
    this.#options.meter.count('registry_leases_lost_total', 1, reason)
    const holders = [...lease.holders]
    lease.holders.clear()
    for (const holder of holders) holder.lease = undefined
    if (holders.length === 0) return
    this.#options.logger.warn({ lease: lease.id, sessions: holders.length, reason }, 'a registry lease is lost')
    this.#listener.onLeaseLost(holders)
  }

  /** Revokes all leases; what hung on them is deleted by the store. Leases that it cannot be told of expire. */
  async close (): Promise<void> {
    this.#closed = true
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    const leases = [...this.#leases]
    this.#leases.clear()
    await Promise.all(leases.map(async (lease) => {
      await lease.granted.catch(() => {})
      if (lease.id !== '') await this.#revoke(lease)
    }))
  }

  #assign (holder: LeaseHolder): Lease {
    let lease = this.#open
    if (lease === undefined || lease.lost || lease.holders.size >= this.#maxHolders) lease = this.#withRoom() ?? this.#grant()
    this.#open = lease
    lease.holders.add(holder)
    holder.lease = lease
    return lease
  }

  #withRoom (): Lease | undefined {
    for (const lease of this.#leases) if (lease.holders.size < this.#maxHolders) return lease
    return undefined
  }

  #grant (): Lease {
    const lease = new Lease()
    this.#leases.add(lease)
    lease.granted = this.#askFor(lease)
    // The holders hear of a failure by `acquire`. By then there may be none left to handle the rejection.
    lease.granted.catch(() => {})
    return lease
  }

  async #askFor (lease: Lease): Promise<void> {
    const { kv, clock, ttlMs, renewIntervalMs, random } = this.#options
    const sentMs = clock.monotonicMs()
    try {
      lease.id = await kv.grantLease(Math.ceil(ttlMs / 1000))
    } catch (error) {
      this.#drop(lease)
      for (const holder of lease.holders) holder.lease = undefined
      lease.holders.clear()
      throw error
    }
    lease.deadlineMs = sentMs + ttlMs
    // The first renewals are spread over the interval, so that leases granted together are not renewed together.
    lease.renewAtMs = sentMs + renewIntervalMs * (0.5 + 0.5 * random())
    this.#timer ??= clock.setTimer(() => this.#sweep(), this.#sweepMs)
  }

  get #sweepMs (): number { return Math.max(20, Math.min(500, this.#options.renewIntervalMs / 20)) }

  #sweep (): void {
    const { clock } = this.#options
    const nowMs = clock.monotonicMs()
    for (const lease of this.#leases) {
      if (nowMs >= lease.deadlineMs) this.lose(lease, 'deadline')
      else if (nowMs >= lease.renewAtMs && !lease.renewing) this.#renew(lease, nowMs)
    }
    this.#timer = this.#leases.size === 0 || this.#closed ? undefined : clock.setTimer(() => this.#sweep(), this.#sweepMs)
  }

  #renew (lease: Lease, sentMs: number): void {
    if (lease.holders.size === 0) {
      this.#drop(lease)
      this.#revoke(lease).catch(() => {})
      return
    }
    lease.renewing = true
    this.#renewal(lease, sentMs).finally(() => { lease.renewing = false }).catch(() => {})
  }

  async #renewal (lease: Lease, sentMs: number): Promise<void> {
    const { kv, clock, meter, renewIntervalMs, random } = this.#options
    try {
      const seconds = await kv.renewLease(lease.id)
      meter.count('registry_operations_total', 1, 'renew', seconds > 0 ? 'ok' : 'gone')
      if (lease.lost) return
      if (seconds <= 0) {
        this.lose(lease, 'gone')
        return
      }
      lease.deadlineMs = sentMs + seconds * 1000
      lease.renewAtMs = sentMs + renewIntervalMs * (EARLIEST_RENEWAL + 0.1 * random())
    } catch {
      meter.count('registry_operations_total', 1, 'renew', 'unavailable')
      lease.renewAtMs = clock.monotonicMs() + Math.min(1_000, renewIntervalMs / 4) * (0.5 + 0.5 * random())
    }
  }

  async #revoke (lease: Lease): Promise<void> {
    try {
      await this.#options.kv.revokeLease(lease.id)
    } catch (error) {
      this.#options.logger.debug({ err: error, lease: lease.id }, 'a lease could not be revoked and will expire')
    }
  }

  #drop (lease: Lease): void {
    lease.lost = true
    this.#leases.delete(lease)
    if (this.#open === lease) this.#open = undefined
  }
}
