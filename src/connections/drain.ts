/**
 * Empties the node without a storm [GW-END-1]: readiness fails, then upgrades are refused, every client is told, and the
 * connections are closed one after the other over the time there is. At its turn a connection is no longer read, what it
 * sent and what waits for it settles, then it closes. Whoever is told that a close comes is served until it does.
 */
import type { Logger, Meter, Room, Timer } from '../ports.ts'
import { DrainPace, TICK_MS } from './drain-pace.ts'
import { DrainQueue, SETTLE_MS, type DrainQueueOptions } from './drain-queue.ts'
import type { Hub } from './hub.ts'

export type { DrainTarget } from './drain-queue.ts'

export interface DrainOptions extends DrainQueueOptions {
  readonly hub: Hub
  readonly logger: Logger
  readonly meter: Pick<Meter, 'source'>
  readonly room: () => Room
  readonly health: { draining (): void, serving (): void }
}

export interface DrainTimes {
  /** Between failing readiness and refusing upgrades. */
  readonly delayMs: number
  /** For all of it: the delay, and what the owner does after the last close, included. */
  readonly timeoutMs: number
  /** The process ends after it: it cannot be called off. */
  readonly final?: boolean
}

/** `held`: empty, and upgrades stay refused until the drain is cancelled or the process ends. */
export type DrainPhase = 'off' | 'delay' | 'closing' | 'held'

export interface DrainProgress {
  readonly phase: DrainPhase
  /** Connections that were told. */
  readonly total: number
  readonly closed: number
  readonly remaining: number
  /** Connections closed a second, now. */
  readonly closesPerSecond?: number
  /** What the other nodes offer this one, a second; absent where there is nobody else. */
  readonly offeredPerSecond?: number
  /** Unix milliseconds; absent while there is no drain. */
  readonly startedAt?: number
  readonly deadlineAt?: number
}

/** Of a long drain this much is left for the last acks, the close time-outs and the owner; of a short one a third. */
const RESERVE_MS = 20_000
const RESERVE_SHARE = 1 / 3

export class Drain {
  readonly #options: DrainOptions
  readonly #queue: DrainQueue
  readonly #pace: DrainPace
  #phase: DrainPhase = 'off'
  #timer: Timer | undefined
  #startedAtMs = 0
  #startedAtUnixMs = 0
  #closingAtMs = 0
  #deadlineMs = 0
  #total = 0
  #final = false
  #whenEmpty: Array<() => void> = []

  constructor (options: DrainOptions) {
    this.#options = options
    this.#queue = new DrainQueue(options)
    this.#pace = new DrainPace(options.room)
    options.meter.source('drain_remaining', () => this.#phase === 'off' ? 0 : options.hub.connectionCount)
    options.meter.source('drain_closes_per_second', () => this.#phase === 'closing' ? this.#pace.perSecond : 0)
  }

  /** Upgrades are to be refused with SERVER_SHUTDOWN. */
  get refusesUpgrades (): boolean { return this.#phase === 'closing' || this.#phase === 'held' }

  get progress (): DrainProgress {
    const remaining = this.#options.hub.connectionCount
    if (this.#phase === 'off') return { phase: 'off', total: 0, closed: 0, remaining }
    const offered = this.#pace.offered
    return {
      phase: this.#phase,
      total: this.#total,
      closed: Math.max(0, this.#total - remaining),
      remaining,
      closesPerSecond: this.#phase === 'closing' ? this.#pace.perSecond : 0,
      ...(offered !== undefined && { offeredPerSecond: Math.round(offered) }),
      startedAt: this.#startedAtUnixMs,
      deadlineAt: Math.round(this.#startedAtUnixMs + this.#deadlineMs - this.#startedAtMs)
    }
  }

  /** Starts, or joins a drain under way, whose deadline then is the earlier one. Resolves when the node is empty or the drain is cancelled. */
  start (times: DrainTimes): Promise<void> {
    const { clock, hub, health, logger } = this.#options
    const now = clock.monotonicMs()
    if (times.final === true) this.#final = true
    if (this.#phase === 'held') return Promise.resolve()
    if (this.#phase === 'off') {
      this.#phase = 'delay'
      this.#startedAtMs = now
      this.#startedAtUnixMs = clock.unixMs()
      this.#deadlineMs = now + times.timeoutMs
      this.#total = hub.connectionCount
      health.draining()
      logger.info({ connections: hub.connectionCount, ...times }, 'drain started')
      this.#closeIn(times.delayMs)
    } else {
      this.#hasten(now, times)
    }
    return new Promise((resolve) => { this.#whenEmpty.push(resolve) })
  }

  /** Takes clients again. Those whose turn had come already are still closed. False: the drain is final. */
  cancel (): boolean {
    if (this.#final) return false
    if (this.#phase === 'off') return true
    const { clock, health, logger } = this.#options
    if (this.#timer !== undefined) clock.clearTimer(this.#timer)
    this.#queue.abandon()
    this.#phase = 'off'
    health.serving()
    logger.info({}, 'drain cancelled')
    this.#settle()
    return true
  }

  #hasten (now: number, times: DrainTimes): void {
    const { clock } = this.#options
    this.#deadlineMs = Math.min(this.#deadlineMs, now + times.timeoutMs)
    if (this.#phase !== 'delay' || this.#timer === undefined || now + times.delayMs >= this.#closingAtMs) return
    clock.clearTimer(this.#timer)
    this.#closeIn(times.delayMs)
  }

  #closeIn (delayMs: number): void {
    const { clock } = this.#options
    this.#closingAtMs = clock.monotonicMs() + delayMs
    this.#timer = clock.setTimer(() => { this.#beginClosing() }, delayMs)
  }

  #beginClosing (): void {
    this.#phase = 'closing'
    this.#total = 0
    this.#pace.begin(this.#options.clock.monotonicMs())
    this.#tick()
  }

  #tick (): void {
    const { clock, hub } = this.#options
    const now = clock.monotonicMs()
    // Nobody is left of those who had a turn: whoever is here had passed the door before it closed.
    if (this.#queue.isEmpty && hub.connectionCount > 0) {
      this.#total += hub.connectionCount
      this.#queue.fill(hub.all)
    }
    this.#queue.tell()
    this.#close(now)
    if (hub.connectionCount === 0) {
      this.#end()
      return
    }
    this.#timer = clock.setTimer(() => { this.#tick() }, TICK_MS)
  }

  /** As many as the pace allows: first those that have settled, then those whose turn comes. */
  #close (now: number): void {
    const queue = this.#queue
    const pace = this.#pace
    const settledByMs = this.#deadlineMs - this.#reserveMs / 2
    const isPressed = pace.tick(now, {
      waiting: queue.waiting, settling: queue.settling, turnsLeftMs: this.#deadlineMs - this.#reserveMs - now, closesLeftMs: settledByMs - now
    })
    if (isPressed) {
      this.#options.logger.warn({ closesPerSecond: pace.perSecond, offered: pace.offered, waiting: queue.waiting }, 'the deadline asks for more closes than the other nodes can take: give the drain more time, or add nodes')
    }
    pace.spend(0, queue.closeSettled(pace.closes))
    const { taken, closed } = queue.takeTurns(pace.turns, pace.closes, Math.min(now + SETTLE_MS, settledByMs))
    pace.spend(taken, closed)
  }

  get #reserveMs (): number {
    return Math.min(RESERVE_MS, (this.#deadlineMs - this.#startedAtMs) * RESERVE_SHARE)
  }

  #end (): void {
    const { clock, logger } = this.#options
    this.#phase = 'held'
    this.#timer = undefined
    this.#queue.abandon()
    logger.info({ connections: this.#total, tookMs: Math.round(clock.monotonicMs() - this.#startedAtMs) }, 'drained')
    this.#settle()
  }

  #settle (): void {
    const waiting = this.#whenEmpty
    this.#whenEmpty = []
    for (const resolve of waiting) resolve()
  }
}
