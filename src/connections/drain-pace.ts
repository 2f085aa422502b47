/**
 * How fast a drain closes [GW-END-1]: as many clients a second as the other nodes have said that they can take, and more
 * only where the deadline leaves no choice. What passes is closes, not turns: those that settled at the same moment are
 * spread as well.
 */
import type { Room } from '../ports.ts'

export interface Load {
  /** Whose turn is still to come. */
  readonly waiting: number
  /** At their turn, and not closed yet. */
  readonly settling: number
  /** Until when the last turn has to come, and the last close, in milliseconds from now. */
  readonly turnsLeftMs: number
  readonly closesLeftMs: number
}

export const TICK_MS = 50
/** Where nobody says what he can take: slower than this helps nobody, a node with few clients is done in a moment. */
export const MIN_CLOSES_PER_SECOND = 100

export class DrainPace {
  readonly #room: () => Room
  #tickedAtMs = 0
  #perSecond = 0
  /** Fractions that are saved up for the next tick. */
  #turns = 0
  #closes = 0
  #pressed = false

  constructor (room: () => Room) {
    this.#room = room
  }

  /** Closes a second as of the last tick. */
  get perSecond (): number { return Math.round(this.#perSecond) }
  /** Turns that may be given now. */
  get turns (): number { return Math.floor(this.#turns) }
  /** Connections that may be closed now. */
  get closes (): number { return Math.floor(this.#closes) }

  /** What this node may send to the others, a second; undefined: nobody else is there. */
  get offered (): number | undefined {
    const { connectsPerSecond, draining } = this.#room()
    return connectsPerSecond === 0 ? undefined : connectsPerSecond / (draining + 1)
  }

  begin (nowMs: number): void {
    this.#tickedAtMs = nowMs
    this.#turns = this.#closes = 0
    this.#pressed = false
  }

  /** Saves up for the time since the last tick. A stall of the loop is not made up for in one go. True, once: the deadline asks for more than was offered. */
  tick (nowMs: number, { waiting, settling, turnsLeftMs, closesLeftMs }: Load): boolean {
    const needed = Math.max(waiting / Math.max(turnsLeftMs, TICK_MS), (waiting + settling) / Math.max(closesLeftMs, TICK_MS)) * 1000
    const offered = this.offered
    this.#perSecond = Math.max(offered ?? MIN_CLOSES_PER_SECOND, needed)
    const earned = this.#perSecond / 1000 * Math.min(nowMs - this.#tickedAtMs, 2 * TICK_MS)
    this.#tickedAtMs = nowMs
    // What nobody waits for is not saved up for those who come later.
    this.#turns = waiting === 0 ? 0 : this.#turns + earned
    this.#closes = waiting + settling === 0 ? 0 : Math.min(this.#closes, earned + 1) + earned
    const isNews = !this.#pressed && offered !== undefined && needed > offered
    this.#pressed ||= isNews
    return isNews
  }

  spend (turns: number, closes: number): void {
    this.#turns -= turns
    this.#closes -= closes
  }
}
