/** Records of one group on their way to its members, in their order; and what all such lines may hold together. */
import type { BusRecord, Span } from '../ports.ts'
import type { MembershipChange } from '../protocol/encode.ts'

/** A record that waits for its group's members, or for the fan-out before it. */
export interface Waiting {
  readonly record: BusRecord
  /** Monotonic milliseconds. */
  readonly receivedAtMs: number
  readonly span?: Span | undefined
  /** Of a membership change, which was read when it came. */
  readonly change?: MembershipChange
}

export class GroupLine {
  readonly groupId: string
  readonly waiting: Waiting[] = []
  /** Records that wait for room behind these. */
  outside = 0
  /** Somebody works it off. */
  working = false

  constructor (groupId: string) {
    this.groupId = groupId
  }

  /** Takes the head: messages up to the next membership change and at most `max`, or one change. */
  take (max: number): Waiting[] {
    let end = 0
    while (end < this.waiting.length && end < max && this.waiting[end]?.change === undefined) end++
    return this.waiting.splice(0, Math.max(1, end))
  }
}

export interface LineLimits {
  /** Records of one group. */
  readonly maxWaitingRecords: number
  /** Bytes of all groups. */
  readonly maxWaitingBytes: number
}

interface Outside { readonly line: GroupLine, readonly waiting: Waiting, readonly resolve: () => void }

/** Rough cost of a record beside its value. */
const RECORD_BYTES = 256

/** Keeps the lines inside their limits: what does not fit waits outside, and its partition with it [GW-GRP-4]. */
export class LineBudget {
  readonly #limits: LineLimits
  readonly #onTaken: (line: GroupLine) => void
  #outside: Outside[] = []
  #bytes = 0
  #records = 0

  /** `onTaken`: a record that waited outside is in its line now. */
  constructor (limits: LineLimits, onTaken: (line: GroupLine) => void) {
    this.#limits = limits
    this.#onTaken = onTaken
  }

  /** Records in all lines and outside. */
  get records (): number { return this.#records + this.#outside.length }

  /** Puts a record into its line where it fits. */
  tryAdd (line: GroupLine, waiting: Waiting): boolean {
    // Nothing overtakes what waits outside for the same line.
    return line.outside === 0 && this.#put(line, waiting)
  }

  /** Lets a record wait until it fits; it is in its line then. There are no more of them than partitions. */
  waitOutside (line: GroupLine, waiting: Waiting): Promise<void> {
    line.outside++
    return new Promise((resolve) => { this.#outside.push({ line, waiting, resolve }) })
  }

  /** The records have left their line: others may come in, in the order in which they came. */
  release (left: readonly Waiting[]): void {
    for (const waiting of left) this.#bytes -= sizeOf(waiting)
    this.#records -= left.length
    if (this.#outside.length > 0) this.#outside = this.#outside.filter((outside) => !this.#takeIn(outside))
  }

  /** Nobody waits any longer; nothing is put in. */
  end (): void {
    for (const { resolve } of this.#outside) resolve()
    this.#outside = []
  }

  #takeIn ({ line, waiting, resolve }: Outside): boolean {
    if (!this.#put(line, waiting)) return false
    line.outside--
    this.#onTaken(line)
    resolve()
    return true
  }

  #put (line: GroupLine, waiting: Waiting): boolean {
    if (!this.#fits(line, waiting)) return false
    line.waiting.push(waiting)
    this.#bytes += sizeOf(waiting)
    this.#records++
    return true
  }

  // A record that is larger than all the room there is gets in alone, so that nothing waits for ever.
  #fits (line: GroupLine, waiting: Waiting): boolean {
    return this.#records === 0 || (line.waiting.length < this.#limits.maxWaitingRecords && this.#bytes + sizeOf(waiting) <= this.#limits.maxWaitingBytes)
  }
}

function sizeOf ({ record }: Waiting): number {
  return RECORD_BYTES + (record.value?.length ?? 0)
}
