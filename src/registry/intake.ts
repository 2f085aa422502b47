/**
 * How many handshakes a second this node could take now: the spare share of its event loop, divided by what a handshake
 * costs it. It is announced to the other nodes, which size their drains by it [GW-END-1].
 */
import type { Clock, Timer } from '../ports.ts'
import { MIN_CONNECTS_PER_SECOND } from './records.ts'

/** What the event loop has done since the process began; as `performance.eventLoopUtilization()` says it. */
export interface LoopTime { readonly active: number, readonly idle: number }

export interface IntakeOptions {
  readonly clock: Clock
  readonly loop: () => LoopTime
  /** Handshakes that came through since the process began. */
  readonly handshakes: () => number
  /** Tells the other nodes. */
  readonly announce: (connectsPerSecond: number) => void
}

const SAMPLE_MS = 1_000
/** The cluster hears of it at most so often: each time is a write to etcd and an event to every node. */
const ANNOUNCE_SAMPLES = 10
/** The newcomers' messages need room as well, and a loop that is full to the brim answers late. */
const USABLE_SHARE = 0.8
/** Fewer handshakes in a sample say nothing of the cost of one. */
const MIN_HANDSHAKES = 20
/** Share of a new sample in what is believed. */
const WEIGHT = 0.2

export class Intake {
  readonly #options: IntakeOptions
  #timer: Timer | undefined
  #samples = 0
  #last: LoopTime
  #lastHandshakes: number
  #busyShare = 0
  /** Loop seconds a handshake; undefined: never measured. All that the loop did meanwhile is counted in, so it is an upper bound. */
  #cost: number | undefined
  #closed = false

  constructor (options: IntakeOptions) {
    this.#options = options
    this.#last = options.loop()
    this.#lastHandshakes = options.handshakes()
  }

  /** Handshakes a second; 0 while the node takes nobody. */
  get connectsPerSecond (): number {
    if (this.#closed) return 0
    if (this.#cost === undefined) return MIN_CONNECTS_PER_SECOND
    return Math.max(MIN_CONNECTS_PER_SECOND, Math.floor(Math.max(0, USABLE_SHARE - this.#busyShare) / this.#cost))
  }

  start (): void {
    this.#timer = this.#options.clock.setTimer(() => {
      this.#sample()
      if (++this.#samples % ANNOUNCE_SAMPLES === 0) this.#announce()
      this.start()
    }, SAMPLE_MS)
  }

  stop (): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
  }

  /** The node drains, or no longer: said at once. */
  setClosed (closed: boolean): void {
    if (this.#closed === closed) return
    this.#closed = closed
    this.#announce()
  }

  #announce (): void {
    this.#options.announce(this.connectsPerSecond)
  }

  #sample (): void {
    const { loop, handshakes } = this.#options
    const now = loop()
    const activeMs = now.active - this.#last.active
    const totalMs = activeMs + now.idle - this.#last.idle
    const count = handshakes()
    const made = count - this.#lastHandshakes
    this.#last = now
    this.#lastHandshakes = count
    if (totalMs > 0) this.#busyShare += (activeMs / totalMs - this.#busyShare) * WEIGHT
    if (made < MIN_HANDSHAKES) return
    const cost = activeMs / 1000 / made
    this.#cost = this.#cost === undefined ? cost : this.#cost + (cost - this.#cost) * WEIGHT
  }
}
