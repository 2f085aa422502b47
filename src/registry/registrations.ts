/**
 * This node's sessions in etcd: put before the welcome, put again when they were lost, removed when they close, told to
 * close when another has the device. `session-state.ts` decides what is to be done; here it is done.
 */
import { KvRejectedError } from '../ports.ts'
import type { Clock, Logger, Meter, SessionRef } from '../ports.ts'
import type { Batcher } from './batcher.ts'
import type { LeasePool } from './lease-pool.ts'
import { Enrolment, type Outcome } from './enrolment.ts'
import { deviceKey, parseKey, parseRoute, userPrefix } from './records.ts'
import { Repairs } from './repairs.ts'
import { Session, SessionTable } from './session.ts'
import { step, type SessionInput } from './session-state.ts'

export interface RegistrationsOptions {
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
  readonly batcher: Batcher
  readonly leases: LeasePool
  readonly nodeId: string
  /** Begins the connection ids of this process. */
  readonly startId: string
  readonly maxDevicesPerUser: number
  /** How long a new session waits for its put. */
  readonly registrationTimeoutMs: number
  /** How long a repair waits for etcd. */
  readonly repairTimeoutMs: number
  readonly random: () => number
  /** A later session has taken the key. */
  readonly onReplaced: (session: Session) => void
}

/** Puts and removals that may wait; past it new sessions are refused, so that an outage cannot pile up more. */
const MAX_REPAIRS = 200_000

export class Registrations {
  readonly #options: RegistrationsOptions
  readonly #table = new SessionTable()
  readonly #repairs: Repairs<Session>
  readonly #enrolment: Enrolment
  #registered = 0
  #used = false
  #stopped = false

  constructor (options: RegistrationsOptions) {
    this.#options = options
    const { clock, meter, random } = options
    this.#repairs = new Repairs({ clock, meter, random, work: (session) => this.#work(session) })
    this.#enrolment = new Enrolment({ ...options, table: this.#table, apply: (session, input) => this.apply(session, input) })
    meter.source('registry_sessions', () => this.#registered)
  }

  /** Sessions that are in etcd, as far as is known. */
  get registered (): number { return this.#registered }
  /** Puts and removals that wait. */
  get repairs (): number { return this.#repairs.size }
  /** Whether there was ever a session: a late put of one that has gone may be in etcd. */
  get used (): boolean { return this.#used }

  /** As `Registry.register`. */
  async register (ref: SessionRef, revision: number): Promise<Outcome> {
    if (this.#stopped || this.#repairs.size >= MAX_REPAIRS) return 'unavailable'
    this.#used = true
    const session = new Session(ref)
    this.#table.add(session)
    return await this.#enrolment.enrol(session, revision)
  }

  /** Resolves when the session's key is gone or another's. */
  async unregister (ref: SessionRef): Promise<void> {
    const session = this.#table.find(deviceKey(ref.userId, ref.deviceId), ref.connectionId)
    if (session === undefined || this.#stopped) return
    const ended = new Promise<void>((resolve) => { (session.onEnded ??= []).push(resolve) })
    this.apply(session, { type: 'close' })
    await ended
  }

  /** The key was put, as the watch or a snapshot says. `snapshotRevision`: of the snapshot; 0: an event. */
  onPut (key: string, value: string, revision: number, snapshotRevision = 0): void {
    let isKnown = false
    for (const session of this.#table.of(key)) {
      const own = session.value(this.#options.nodeId) === value
      if (own) session.snapshotRevision = snapshotRevision
      isKnown ||= own
      this.apply(session, { type: own ? 'seen-own' : 'seen-rival', revision })
    }
    if (!isKnown && value.includes(this.#options.startId)) this.#stray(key, value, revision)
  }

  onDelete (key: string, revision: number): void {
    for (const session of this.#table.of(key)) this.apply(session, { type: 'seen-gone', revision })
  }

  /** A snapshot was given by `onPut`: what was not in it is gone. */
  onSnapshotEnd (revision: number): void {
    for (const session of this.#table.all()) {
      if (session.state.phase === 'registered' && session.snapshotRevision !== revision) this.apply(session, { type: 'seen-gone', revision })
    }
  }

  onLeaseLost (session: Session): void {
    this.apply(session, { type: 'lease-lost' })
  }

  /** No more puts and removals: the leases are about to be revoked. */
  stop (): void {
    this.#stopped = true
    this.#repairs.stop()
    for (const session of this.#table.all()) session.tellEnd()
  }

  apply (session: Session, input: SessionInput): void {
    const before = session.state.phase
    const { state, work, replaced } = step(session.state, input)
    session.state = state
    this.#registered += Number(state.phase === 'registered') - Number(before === 'registered')
    if (work) this.#repairs.add(session)
    if (state.phase === 'ended' && before !== 'ended') this.#end(session)
    if (replaced) {
      this.#options.meter.count('registry_verdicts_total', 1, 'replaced')
      this.#options.onReplaced(session)
    }
  }

  #end (session: Session): void {
    this.#table.remove(session)
    this.#options.leases.release(session)
    session.tellEnd()
  }

  async #work (session: Session): Promise<boolean> {
    const { phase } = session.state
    try {
      if (phase === 'lost') await this.#putAgain(session)
      else if (phase === 'leaving') await this.#remove(session)
      return true
    } catch (error) {
      if (!(error instanceof KvRejectedError)) {
        this.apply(session, { type: phase === 'lost' ? 'put-unknown' : 'remove-unknown' })
        return false
      }
      this.#options.logger.debug({ err: error, key: session.key }, 'etcd refused a repair')
      if (error.reason === 'request') return false
      if (session.lease !== undefined) this.#options.leases.lose(session.lease, 'gone')
      this.#repairs.add(session)
      return true
    }
  }

  /** Where the key is absent or ours; another's is left and closes this session. */
  async #putAgain (session: Session): Promise<void> {
    const { batcher, leases, nodeId, repairTimeoutMs, meter } = this.#options
    const lease = await leases.acquire(session)
    // Closed, or lost once more, while the lease was awaited.
    if (session.state.phase !== 'lost' || session.lease !== lease) {
      this.#repairs.add(session)
      return
    }
    const value = session.value(nodeId)
    const answer = await batcher.submit({
      lane: userPrefix(session.userId),
      operation: { when: [{ kind: 'absent-or-value', key: session.key, equals: value }], then: { put: session.key, value, leaseId: lease.id } },
      timeoutMs: repairTimeoutMs
    })
    meter.count('registry_operations_total', 1, 'put_again', answer.succeeded ? 'ok' : 'refused')
    this.apply(session, answer.succeeded ? { type: 'put-done', revision: answer.revision, leased: session.lease === lease } : { type: 'put-refused' })
  }

  async #remove (session: Session): Promise<void> {
    const { batcher, nodeId, repairTimeoutMs, meter } = this.#options
    const { succeeded, revision } = await batcher.submit({
      lane: userPrefix(session.userId),
      operation: { when: [{ kind: 'value', key: session.key, equals: session.value(nodeId) }], then: { remove: session.key } },
      timeoutMs: repairTimeoutMs
    })
    meter.count('registry_operations_total', 1, 'remove', succeeded ? 'ok' : 'overtaken')
    this.apply(session, { type: 'remove-done', revision })
  }

  /** A key of this process that no session has: a put that etcd did late, after its removal. It has to go. */
  #stray (key: string, value: string, revision: number): void {
    const { nodeId, startId, logger } = this.#options
    const record = parseRoute(value)
    const owner = parseKey(key)
    if (owner?.kind !== 'user' || record?.node !== nodeId || !record.conn.startsWith(`${startId}.`)) return
    const session = new Session({ ...owner, connectionId: record.conn, openedAtUnixMs: record.at })
    if (session.value(nodeId) !== value) return
    logger.debug({ key, revision }, 'a registration without a session is removed')
    session.state = { ...session.state, phase: 'leaving', revision }
    this.#table.addOldest(session)
    this.#repairs.add(session)
  }
}
