/** The turns of a drain: who is told, whose turn has come, who still settles. Idle users go first, those with pushes waiting last. */
import type { Clock } from '../ports.ts'
import { encodeShutdown } from '../protocol/encode.ts'
import type { Connection } from './connection.ts'
import type { Outbox } from './outbox.ts'

/** What the session layer does to a connection whose turn has come. */
export interface DrainTarget {
  /** Takes no new message from it; acks and pongs still count. */
  stopReading (connection: Connection): void
  /** A message of it waits, is queued or upstream, or a push waits for its ack. */
  isBusy (connection: Connection): boolean
  /** A push waits for its ack. */
  hasPushes (connection: Connection): boolean
  /** Closes it with 1012; its registration is deleted with it. */
  close (connection: Connection): void
}

export interface DrainQueueOptions {
  readonly outbox: Pick<Outbox, 'send'>
  readonly target: DrainTarget
  readonly clock: Clock
  /** 0 to 1; spreads the reconnects. */
  readonly random: () => number
}

/** What a busy connection may take to settle at its turn: as long as an ack may take by default. */
export const SETTLE_MS = 5000
/** Clients that are told in one call. */
const TOLD_AT_ONCE = 2000
/** Reconnects are spread over this time, counted from each client's own close. */
const RECONNECT_SPREAD_MS = 1000
/** Different waits: as many frames are built, and shared by all. */
const RECONNECT_STEPS = 50

interface Settling { readonly connection: Connection, readonly untilMs: number }

export class DrainQueue {
  readonly #options: DrainQueueOptions
  #order: Connection[] = []
  #told = 0
  #turn = 0
  #settling: Settling[] = []
  readonly #frames = new Map<number, Buffer>()

  constructor (options: DrainQueueOptions) {
    this.#options = options
  }

  /** Connections whose turn is still to come. */
  get waiting (): number { return this.#order.length - this.#turn }
  /** Connections at their turn that are not closed yet. */
  get settling (): number { return this.#settling.length }
  get isEmpty (): boolean { return this.waiting === 0 && this.settling === 0 }

  /** Takes these in: first those of idle users, so that the others have time to settle; last those of users whose acks are awaited, which are not in our hands. */
  fill (connections: readonly Connection[]): void {
    const { target } = this.#options
    const idle: Connection[] = []
    const busy: Connection[] = []
    const awaiting: Connection[] = []
    for (const connection of connections) {
      const own = connection.user.connections
      if (own.some((each) => target.hasPushes(each))) awaiting.push(connection)
      else if (own.some((each) => target.isBusy(each))) busy.push(connection)
      else idle.push(connection)
    }
    this.#order = idle.concat(busy, awaiting)
    this.#told = this.#turn = 0
    // They carry the time at which they were built.
    this.#frames.clear()
  }

  /** Sends the shutdown frame to some of those who do not have it yet. */
  tell (): void {
    const until = Math.min(this.#order.length, this.#told + TOLD_AT_ONCE)
    for (; this.#told < until; this.#told++) this.#options.outbox.send(this.#order[this.#told] as Connection, this.#frame(), 'shutdown')
  }

  /**
   * Gives connections their turn: at most `turns`, of which `closes` may be closed at once; nobody is closed before it was
   * told. A busy one may settle until then, monotonic milliseconds. Returns how many had their turn, and were closed.
   */
  takeTurns (turns: number, closes: number, settleUntilMs: number): { readonly taken: number, readonly closed: number } {
    const { target } = this.#options
    let [taken, closed] = [0, 0]
    for (; taken < turns && this.#turn < this.#told; this.#turn++) {
      const connection = this.#order[this.#turn] as Connection
      if (connection.isEnding) continue
      const busy = target.isBusy(connection)
      if (!busy && closed >= closes) break
      taken++
      target.stopReading(connection)
      if (busy) {
        this.#settling.push({ connection, untilMs: settleUntilMs })
      } else {
        closed++
        target.close(connection)
      }
    }
    return { taken, closed }
  }

  /** Closes at most so many of those at their turn that have settled, or had their time. Returns how many. */
  closeSettled (closes: number): number {
    const { target, clock } = this.#options
    const now = clock.monotonicMs()
    let closed = 0
    this.#settling = this.#settling.filter(({ connection, untilMs }) => {
      if (connection.isEnding) return false
      if (closed >= closes || (now < untilMs && target.isBusy(connection))) return true
      closed++
      target.close(connection)
      return false
    })
    return closed
  }

  /** Ends: those whose turn had come are closed, the others are left alone. */
  abandon (): void {
    for (const { connection } of this.#settling) if (!connection.isEnding) this.#options.target.close(connection)
    this.#settling = []
    this.#order = []
    this.#told = this.#turn = 0
  }

  /** Each client's wait is random; the bytes are shared by all that have the same. */
  #frame (): Buffer {
    const { clock, random } = this.#options
    const waitMs = Math.floor(random() * RECONNECT_STEPS) * (RECONNECT_SPREAD_MS / RECONNECT_STEPS)
    let frame = this.#frames.get(waitMs)
    if (frame === undefined) {
      frame = encodeShutdown(waitMs, clock.unixMs())
      this.#frames.set(waitMs, frame)
    }
    return frame
  }
}
