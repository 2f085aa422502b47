/**
 * Many coarse deadlines behind one native timer: a hashed timing wheel (Varghese and Lauck, 1987, scheme 6). Adding and
 * removing cost the same however many entries there are, and an entry needs no closure. What it is bad at: short waits
 * (an entry fires up to one tick late) and waits of many rounds (each round looks at the entry once).
 */
import type { Clock, Timer } from '../ports.ts'

/** What an object needs to stand in a wheel. The fields belong to the wheel; begin with those of `IDLE_ENTRY`. */
export interface WheelEntry {
  wheelNext: WheelEntry | null
  wheelPrevious: WheelEntry | null
  /** Which list holds the entry; -1: none. */
  wheelSlot: number
  /** The tick at which the entry fires. */
  wheelTick: number
}

/** The fields of an entry that stands in no wheel. */
export const IDLE_ENTRY = { wheelNext: null, wheelPrevious: null, wheelSlot: -1, wheelTick: 0 } as const satisfies Readonly<WheelEntry>

export interface TimerWheelOptions<E extends WheelEntry> {
  readonly clock: Clock
  /** How late an entry may fire, milliseconds. */
  readonly tickMs: number
  /** Lists of the wheel, a power of two; `slots` x `tickMs` is one round. */
  readonly slots?: number
  /** Called once for each entry that falls due, after it has left the wheel. It may add and remove entries. */
  readonly onDue: (entry: E) => void
}

const SLOTS = 256

export class TimerWheel<E extends WheelEntry> {
  readonly #options: TimerWheelOptions<E>
  readonly #slots: number
  /** One list for each slot, and a last one for entries that are about to fire. */
  readonly #heads: Array<WheelEntry | null>
  readonly #originMs: number
  /** The last tick whose entries have fired. */
  #tick = 0
  #size = 0
  #timer: Timer | undefined
  #isAfterStall = false

  /** Throws a RangeError where `slots` is not a power of two. */
  constructor (options: TimerWheelOptions<E>) {
    const slots = options.slots ?? SLOTS
    if (slots < 1 || (slots & (slots - 1)) !== 0) throw new RangeError('slots must be a power of two')
    this.#options = options
    this.#slots = slots
    this.#heads = new Array<WheelEntry | null>(slots + 1).fill(null)
    this.#originMs = options.clock.monotonicMs()
  }

  /** Entries that have not fired. */
  get size (): number { return this.#size }

  /** Lets the entry fire after `delayMs`, never earlier and at most one tick later. An entry that is in the wheel is moved. */
  add (entry: E, delayMs: number): void {
    if (entry.wheelSlot !== -1) this.remove(entry)
    const { clock, tickMs } = this.#options
    const elapsedMs = clock.monotonicMs() - this.#originMs
    // Nothing to catch up with: ticks that passed while the wheel was empty need not be walked.
    if (this.#size === 0) this.#tick = Math.max(this.#tick, Math.floor(elapsedMs / tickMs))
    entry.wheelTick = Math.max(this.#tick + 1, Math.ceil((elapsedMs + delayMs) / tickMs))
    this.#link(entry, entry.wheelTick & (this.#slots - 1))
    this.#size++
    this.#arm()
  }

  /** False where the entry was in no wheel: it has fired, or never was added. */
  remove (entry: E): boolean {
    if (entry.wheelSlot === -1) return false
    this.#unlink(entry)
    this.#size--
    if (this.#size === 0) this.#disarm()
    return true
  }

  /** Forgets all entries; none of them fires. */
  clear (): void {
    for (let slot = 0; slot <= this.#slots; slot++) {
      for (let head = this.#heads[slot]; head != null; head = this.#heads[slot]) this.#unlink(head)
    }
    this.#size = 0
    this.#disarm()
  }

  #arm (): void {
    if (this.#timer !== undefined || this.#size === 0) return
    const { clock, tickMs } = this.#options
    const nextMs = this.#originMs + (this.#tick + 1) * tickMs
    this.#timer = clock.setTimer(() => { this.#turn() }, Math.max(0, nextMs - clock.monotonicMs()))
  }

  #disarm (): void {
    if (this.#timer === undefined) return
    this.#options.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  #turn (): void {
    const { clock, tickMs } = this.#options
    this.#timer = undefined
    const now = Math.floor((clock.monotonicMs() - this.#originMs) / tickMs)
    // The loop stood still, and what came in time waits in the sockets: they are read once before anything counts as late.
    this.#isAfterStall = !this.#isAfterStall && now > this.#tick + 2
    if (this.#isAfterStall) {
      this.#timer = clock.setTimer(() => { this.#turn() }, 0)
      return
    }
    try {
      // After a stall of more than one round every slot is looked at once, for all that fell due.
      for (let tick = Math.max(this.#tick + 1, now - this.#slots + 1); tick <= now; tick++) {
        this.#tick = tick
        this.#fire(tick & (this.#slots - 1), now)
      }
    } finally {
      this.#arm()
    }
  }

  /** Takes what is due out of the slot first: an entry that fires may remove any other, its neighbour in the list too. */
  #fire (slot: number, now: number): void {
    let entry = this.#heads[slot] ?? null
    while (entry !== null) {
      const next: WheelEntry | null = entry.wheelNext
      if (entry.wheelTick <= now) {
        this.#unlink(entry)
        this.#link(entry, this.#slots)
      }
      entry = next
    }
    for (let due = this.#heads[this.#slots]; due != null; due = this.#heads[this.#slots]) {
      this.#unlink(due)
      this.#size--
      this.#options.onDue(due as E)
    }
  }

  #link (entry: WheelEntry, slot: number): void {
    const head = this.#heads[slot] ?? null
    entry.wheelSlot = slot
    entry.wheelPrevious = null
    entry.wheelNext = head
    if (head !== null) head.wheelPrevious = entry
    this.#heads[slot] = entry
  }

  #unlink (entry: WheelEntry): void {
    const { wheelNext: next, wheelPrevious: previous } = entry
    if (previous === null) this.#heads[entry.wheelSlot] = next
    else previous.wheelNext = next
    if (next !== null) next.wheelPrevious = previous
    entry.wheelNext = null
    entry.wheelPrevious = null
    entry.wheelSlot = -1
  }
}
