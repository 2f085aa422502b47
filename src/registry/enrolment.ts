/**
 * The first put of a session, before its welcome [GW-CON-5]: under the guard that nobody changed the user's devices since
 * they were read for the admission. Where somebody did, the guard's own answer is the next read, and decides again; so a
 * race for the last place is won by the first put in etcd's order and nobody who is in is put out [GW-CON-7].
 */
import { KvRejectedError } from '../ports.ts'
import type { Clock, KvOperation, Logger, Meter, Registry } from '../ports.ts'
import { within } from '../wait.ts'
import type { Answer, Batcher } from './batcher.ts'
import type { Lease, LeasePool } from './lease-pool.ts'
import { parseRoute, userPrefix } from './records.ts'
import type { Session, SessionTable } from './session.ts'
import type { SessionInput } from './session-state.ts'

export type Outcome = Awaited<ReturnType<Registry['register']>>

export interface EnrolmentOptions {
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly batcher: Batcher
  readonly leases: LeasePool
  readonly table: SessionTable
  readonly nodeId: string
  readonly maxDevicesPerUser: number
  /** For the whole of it, in milliseconds. */
  readonly registrationTimeoutMs: number
  readonly apply: (session: Session, input: SessionInput) => void
}

/** Leases that may turn out to be gone before a session is given up. */
const MAX_LEASES = 3

export class Enrolment {
  readonly #options: EnrolmentOptions

  constructor (options: EnrolmentOptions) {
    this.#options = options
  }

  /** `revision`: of the admission's read. Never rejects. */
  async enrol (session: Session, revision: number): Promise<Outcome> {
    const outcome = await this.#enrol(session, revision)
    this.#options.meter.count('registry_operations_total', 1, 'register', outcome)
    return outcome
  }

  async #enrol (session: Session, revision: number): Promise<Outcome> {
    const { clock, leases, registrationTimeoutMs, apply, logger } = this.#options
    const endMs = clock.monotonicMs() + registrationTimeoutMs
    for (let attempt = 0; attempt < MAX_LEASES; attempt++) {
      // Nearly always there is one with room.
      const lease = leases.tryAcquire(session) ?? await within(leases.acquire(session), endMs - clock.monotonicMs(), clock).catch(() => undefined)
      // Closed meanwhile: whatever is left to do is done.
      if (session.state.phase !== 'joining') return 'unavailable'
      // Nothing was put so far.
      if (lease === undefined) break
      try {
        return await this.#put(session, lease, revision, endMs - clock.monotonicMs())
      } catch (error) {
        if (error instanceof KvRejectedError && error.reason === 'lease') {
          leases.lose(lease, 'gone')
          continue
        }
        logger.debug({ err: error, key: session.key }, 'a session cannot be registered')
        apply(session, { type: error instanceof KvRejectedError ? 'put-refused' : 'put-unknown' })
        return 'unavailable'
      }
    }
    apply(session, { type: 'put-refused' })
    return 'unavailable'
  }

  /** Rejects as `Batcher.submit`. */
  async #put (session: Session, lease: Lease, revision: number, timeoutMs: number): Promise<Outcome> {
    const { batcher, nodeId, apply } = this.#options
    const prefix = userPrefix(session.userId)
    const value = session.value(nodeId)
    const put = (unchangedSince: number): KvOperation => ({
      when: [{ kind: 'prefix-unchanged', prefix, revision: unchangedSince }],
      then: { put: session.key, value, leaseId: lease.id },
      otherwise: { read: prefix, prefix: true }
    })
    let refusal: Outcome = 'device_limit'
    const answer = await batcher.submit({
      lane: prefix,
      operation: put(revision),
      timeoutMs,
      again: (changed) => {
        const decision = this.#decide(session, changed)
        if (decision === 'admitted') return put(changed.revision)
        refusal = decision
        return undefined
      }
    })
    if (!answer.succeeded) {
      apply(session, { type: 'put-refused' })
      return refusal
    }
    apply(session, { type: 'put-done', revision: answer.revision, leased: session.lease === lease })
    return session.state.phase === 'ended' ? 'replaced' : 'registered'
  }

  #decide (session: Session, { entries }: Answer): 'admitted' | 'device_limit' | 'replaced' | 'unavailable' {
    const { table, nodeId, maxDevicesPerUser } = this.#options
    if (session.state.phase !== 'joining') return 'unavailable'
    const known = entries.find((entry) => entry.key === session.key)
    if (known === undefined) return entries.length < maxDevicesPerUser ? 'admitted' : 'device_limit'
    const holder = parseRoute(known.value)
    // A younger connection of the device on this node was faster: it keeps the device [GW-CON-6].
    return holder?.node === nodeId && table.isYounger(session, holder.conn) ? 'replaced' : 'admitted'
  }
}
