/** Records of one group that wait for its member list, or for the fan-out before them, in their order. */
import type { BusRecord } from '../ports.ts'

export class GroupLine {
  readonly groupId: string
  readonly records: BusRecord[] = []
  working = false

  constructor (groupId: string) {
    this.groupId = groupId
  }
}

/** What all lines may hold. */
export interface LineLimits {
  /** Records of one group. */
  readonly maxWaitingRecords: number
  /** Bytes of all groups. */
  readonly maxWaitingBytes: number
}

interface Waiting { readonly line: GroupLine, readonly record: BusRecord, readonly taken: () => void }

/** Keeps the lines inside their limits: what does not fit waits outside, its partition with it [GW-GRP-4]. */
export class LineBudget {
  readonly #limits: LineLimits
  readonly #outside: Waiting[] = []
  #bytes = 0
  #records = 0

  constructor (limits: LineLimits) {
    this.#limits = limits
  }

  /** Records in all lines. */
  get records (): number { return this.#records }

  /** Puts a record into its line. A promise: it waits outside until there is room. */
  add (line: GroupLine, record: BusRecord): Promise<void> | undefined {
    // A line that is empty always takes one, however large, so that nothing waits for ever.
    if (line.records.length === 0 || this.#hasRoom(line, record)) {
      this.#take(line, record)
      return undefined
    }
    return new Promise((resolve) => { this.#outside.push({ line, record, taken: resolve }) })
  }

  /** The records have left their line. */
  release (records: readonly BusRecord[]): void {
    for (const record of records) this.#bytes -= sizeOf(record)
    this.#records -= records.length
    for (let at = 0; at < this.#outside.length;) {
      const { line, record, taken } = this.#outside[at] as Waiting
      if (line.records.length > 0 && !this.#hasRoom(line, record)) {
        at++
        continue
      }
      this.#outside.splice(at, 1)
      this.#take(line, record)
      taken()
    }
  }

  #hasRoom (line: GroupLine, record: BusRecord): boolean {
    return line.records.length < this.#limits.maxWaitingRecords && this.#bytes + sizeOf(record) <= this.#limits.maxWaitingBytes
  }

  #take (line: GroupLine, record: BusRecord): void {
    line.records.push(record)
    this.#bytes += sizeOf(record)
    this.#records++
  }
}

function sizeOf (record: BusRecord): number {
  return record.value?.length ?? 0
}
