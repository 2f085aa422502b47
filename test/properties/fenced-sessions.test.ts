/**
 * The rules of `session-state.ts` alone, on three nodes that share one key of a store: whatever order puts, answers, watch
 * events, closes, lost leases and time-outs come in, in the end the last put has the device and nobody else thinks so.
 */
import fc from 'fast-check'
import t from 'tap'
import { JOINING, step, type SessionInput, type SessionState } from '../../src/registry/session-state.ts'

const seed = process.env['FC_SEED']
const runs = { numRuns: 10_000, ...(seed !== undefined && { seed: Number(seed) }) }
const NODES = 3
/** Rounds until all has come to rest; each answers everything that is under way. */
const MAX_ROUNDS = 50

type Kind = 'first' | 'again' | 'remove'

/** A transaction: sent, done by the store, answered; given up by the session at any time between. `answer`: what the store said; 'changed': the guard failed, 'leaseless': the lease is gone. */
interface Operation { readonly session: Session, readonly kind: Kind, readonly lease: number, since: number, readAt: number, isGivenUp: boolean, answer: SessionInput | 'changed' | 'leaseless' | undefined }
interface Session { readonly id: string, readonly node: number, state: SessionState, isOpen: boolean, wasWelcomed: boolean, lease: number, hasWork: boolean, operation: Operation | undefined }
interface Event { readonly revision: number, readonly value: string | undefined }

class World {
  revision = 1
  value: string | undefined
  modRevision = 0
  keyLease = 0
  readonly log: Event[] = []
  readonly heard = Array<number>(NODES).fill(0)
  readonly sessions: Session[] = []
  readonly underWay: Operation[] = []
  readonly deadLeases = new Set<number>()
  #lastLease = 0

  connect (node: number): void {
    const session: Session = { id: `${node}.${this.sessions.length}`, node, state: JOINING, isOpen: true, wasWelcomed: false, lease: ++this.#lastLease, hasWork: false, operation: undefined }
    this.sessions.push(session)
    this.#send(session, 'first', this.revision)
  }

  /** The store does the transaction. */
  perform (operation: Operation): void {
    if (operation.answer !== undefined) return
    operation.readAt = this.revision
    operation.answer = this.#perform(operation)
  }

  /** The answer arrives, unless the session has given it up. */
  answer (operation: Operation): void {
    const { session, kind, answer, lease } = operation
    if (answer === undefined) return
    if (answer === 'changed') {
      // The guard's own answer is the next read, and decides again.
      if (!operation.isGivenUp && session.state.phase === 'joining' && !this.#isYoungerHere(session)) {
        operation.since = operation.readAt
        operation.answer = undefined
        return
      }
      this.#drop(operation)
      this.#tell(operation, { type: 'put-refused' })
      return
    }
    this.#drop(operation)
    // The pool gives another lease.
    if (answer === 'leaseless') {
      if (operation.isGivenUp) return
      session.operation = undefined
      if (kind === 'first' && session.state.phase === 'joining') this.#send(session, 'first', operation.since)
      else session.hasWork = true
    } else this.#tell(operation, answer.type === 'put-done' ? { ...answer, leased: session.lease === lease } : answer)
  }

  #perform ({ session, kind, lease, since }: Operation): Operation['answer'] {
    const isOurs = this.value === session.id
    if (kind === 'remove') {
      if (isOurs) this.#write(undefined, 0)
      return { type: 'remove-done', revision: this.revision }
    }
    if (kind === 'first' && this.modRevision > since) return 'changed'
    if (kind === 'again' && this.value !== undefined && !isOurs) return { type: 'put-refused' }
    if (this.deadLeases.has(lease)) return 'leaseless'
    this.#write(session.id, lease)
    return { type: 'put-done', revision: this.revision, leased: true }
  }

  /** No answer in time; the store may do it all the same, later. */
  giveUp (operation: Operation): void {
    if (operation.isGivenUp) return
    this.#tell(operation, { type: operation.kind === 'remove' ? 'remove-unknown' : 'put-unknown' })
    operation.isGivenUp = true
  }

  /** A node hears of one more change. */
  hear (node: number): boolean {
    const event = this.log[this.heard[node] ?? 0]
    if (event === undefined) return false
    this.heard[node] = (this.heard[node] ?? 0) + 1
    let isKnown = false
    for (const session of this.sessions) {
      if (session.node !== node || session.state.phase === 'ended') continue
      isKnown ||= session.id === event.value
      this.#apply(session, { type: event.value === undefined ? 'seen-gone' : event.value === session.id ? 'seen-own' : 'seen-rival', revision: event.revision })
    }
    if (event.value?.startsWith(`${node}.`) === true && !isKnown) this.#stray(event.value, node, event.revision)
    return true
  }

  close (session: Session): void {
    session.isOpen = false
    this.#apply(session, { type: 'close' })
  }

  loseLease (session: Session): void {
    this.deadLeases.add(session.lease)
    session.lease = ++this.#lastLease
    this.#apply(session, { type: 'lease-lost' })
  }

  /** The store drops what hung on a dead lease. */
  expire (): void {
    if (this.value !== undefined && this.deadLeases.has(this.keyLease)) this.#write(undefined, 0)
  }

  /** Somebody deletes the key by hand. */
  remove (): void {
    if (this.value !== undefined) this.#write(undefined, 0)
  }

  /** Work that is due goes out, one operation of a session at a time. */
  work (): void {
    for (const session of this.sessions) {
      if (!session.hasWork || session.operation !== undefined) continue
      session.hasWork = false
      if (session.state.phase === 'lost') this.#send(session, 'again', 0)
      else if (session.state.phase === 'leaving') this.#send(session, 'remove', 0)
    }
  }

  /** Everything that can still happen happens. */
  rest (): boolean {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.expire()
      for (let node = 0; node < NODES; node++) while (this.hear(node));
      this.work()
      const [operation] = this.underWay
      if (operation !== undefined) {
        this.perform(operation)
        this.answer(operation)
        round--
      } else if (!this.sessions.some(({ hasWork }) => hasWork) && this.heard.every((heard) => heard === this.log.length)) return true
    }
    return false
  }

  #send (session: Session, kind: Kind, since: number): void {
    const operation: Operation = { session, kind, lease: session.lease, since, readAt: since, isGivenUp: false, answer: undefined }
    session.operation = operation
    this.underWay.push(operation)
  }

  #drop (operation: Operation): void {
    this.underWay.splice(this.underWay.indexOf(operation), 1)
  }

  #tell (operation: Operation, input: SessionInput): void {
    if (operation.isGivenUp) return
    operation.session.operation = undefined
    this.#apply(operation.session, input)
  }

  #apply (session: Session, input: SessionInput): void {
    const wasJoining = session.state.phase === 'joining'
    const { state, work, replaced } = step(session.state, input)
    session.state = state
    session.hasWork ||= work
    if (wasJoining && (state.phase === 'registered' || state.phase === 'lost')) session.wasWelcomed = true
    // A socket whose session could not be registered, or was taken over, is closed.
    const isRefused = wasJoining && (input.type === 'put-refused' || input.type === 'put-unknown')
    if ((replaced || isRefused) && session.isOpen) this.close(session)
  }

  #isYoungerHere (session: Session): boolean {
    return this.sessions.some((other) => other.id === this.value && other.node === session.node && this.sessions.indexOf(other) > this.sessions.indexOf(session))
  }

  #stray (id: string, node: number, revision: number): void {
    this.sessions.push({ id, node, state: { ...JOINING, phase: 'leaving', revision }, isOpen: false, wasWelcomed: false, lease: ++this.#lastLease, hasWork: true, operation: undefined })
  }

  #write (value: string | undefined, lease: number): void {
    this.revision++
    this.value = value
    this.modRevision = value === undefined ? 0 : this.revision
    this.keyLease = lease
    this.log.push({ revision: this.revision, value })
  }
}

const pick = fc.nat(1_000)
const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('connect' as const), pick: fc.nat(NODES - 1) }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constantFrom('perform' as const, 'answer' as const), pick }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('hear' as const), pick: fc.nat(NODES - 1) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('work' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('close' as const, 'lease' as const, 'give up' as const, 'expire' as const, 'delete' as const), pick }) }
)

t.test('[GW-CON-6] of three nodes the last put has the device in the end, in whatever order puts, answers, events and losses come', async (t) => {
  fc.assert(fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
    const world = new World()
    const one = <Item>(items: readonly Item[], index: number): Item | undefined => items[index % Math.max(1, items.length)]
    for (const { type, pick: index } of actions) {
      const session = one(world.sessions, index)
      const operation = one(world.underWay, index)
      switch (type) {
        case 'connect': world.connect(index); break
        case 'hear': world.hear(index); break
        case 'work': world.work(); break
        case 'expire': world.expire(); break
        case 'delete': world.remove(); break
        case 'perform': if (operation !== undefined) world.perform(operation); break
        case 'answer': if (operation !== undefined) world.answer(operation); break
        case 'give up': if (operation !== undefined) world.giveUp(operation); break
        case 'close': if (session?.isOpen === true) world.close(session); break
        case 'lease': if (session !== undefined) world.loseLease(session); break
      }
    }
    if (!world.rest()) return false
    const open = world.sessions.filter(({ isOpen }) => isOpen)
    return open.length <= 1 && world.value === open[0]?.id && open.every(({ state, wasWelcomed }) => state.phase === 'registered' && wasWelcomed) &&
      world.sessions.every(({ isOpen, state }) => isOpen || state.phase === 'ended')
  }), runs)
  t.pass()
})
