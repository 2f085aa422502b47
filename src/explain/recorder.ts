/**
 * What became of the latest messages, for whoever asks why one did not arrive: a ring of rows whose columns are made at
 * the start. A row holds references to the ids that the message had anyway, and numbers; words are made of it when
 * somebody asks. The oldest rows go when either the rows or the bytes of their ids are too many. [GW-OBS-6]
 */
import type { Clock } from '../ports.ts'

/**
 * `send`: a client's message, `repeat`: one that joined it. `push`, `receipt`: a call. `device`: a device that is here,
 * `again`: one that waited for the message already, `late`: its ack after the time-out. `elsewhere`: what was reported of one that is not. `group`: a record
 * with all members that are here. `opened`, `closed`: a connection, without a message.
 */
export type RowKind = 'send' | 'repeat' | 'push' | 'receipt' | 'device' | 'again' | 'late' | 'elsewhere' | 'group' | 'opened' | 'closed'

/** A row as it stands; times are those of the monotonic clock. */
export interface Row {
  readonly kind: RowKind
  readonly msgId: string
  readonly userId: string
  readonly deviceId: string
  /** The other side: recipient, sender or node; of a connection its id. */
  readonly otherId: string
  readonly atMs: number
  /** Handed on: upstream, or to the socket. NaN: not yet, or never. */
  readonly passedAtMs: number
  /** NaN: under way. */
  readonly endedAtMs: number
  /** A constant; empty while it is under way. */
  readonly outcome: string
  readonly counts: readonly [number, number, number]
}

export interface RecorderOptions {
  readonly clock: Clock
  /** Rows at most. */
  readonly entries: number
  /** Bytes of the columns and of the ids at most. */
  readonly bytes: number
  /** Rows after which their numbers begin again; less than a small integer holds. */
  readonly numbers?: number
}

/** Three times, three counts, and references to four ids, a kind and an outcome. */
const COLUMN_BYTES = 3 * 8 + 3 * 4 + 6 * 8
/** Of four strings beside their characters. */
const HEADER_BYTES = 4 * 24
const NUMBERS = 2 ** 30
export const NO_ROW = -1

export class Recorder {
  readonly #clock: Clock
  readonly #bytesLimit: number
  readonly #capacity: number
  /** A multiple of the capacity, so that a row keeps its place when the numbers begin again. */
  readonly #numbers: number
  readonly #kind: RowKind[]
  readonly #msgId: string[]
  readonly #userId: string[]
  readonly #deviceId: string[]
  readonly #otherId: string[]
  readonly #outcome: string[]
  readonly #at: Float64Array
  readonly #passedAt: Float64Array
  readonly #endedAt: Float64Array
  readonly #counts: Int32Array
  /** Number of the row that comes next. */
  #next = 0
  #size = 0
  #bytes: number

  constructor ({ clock, entries, bytes, numbers = NUMBERS }: RecorderOptions) {
    const capacity = Math.min(entries, Math.floor(bytes / (COLUMN_BYTES + HEADER_BYTES)))
    if (capacity < 1) throw new RangeError('the bytes have to hold at least one entry')
    const texts = (): string[] => new Array<string>(capacity).fill('')
    this.#clock = clock
    this.#bytesLimit = bytes
    this.#capacity = capacity
    this.#numbers = Math.floor(numbers / capacity) * capacity
    this.#kind = new Array<RowKind>(capacity).fill('send')
    this.#msgId = texts()
    this.#userId = texts()
    this.#deviceId = texts()
    this.#otherId = texts()
    this.#outcome = texts()
    this.#at = new Float64Array(capacity)
    this.#passedAt = new Float64Array(capacity)
    this.#endedAt = new Float64Array(capacity)
    this.#counts = new Int32Array(3 * capacity)
    this.#bytes = capacity * COLUMN_BYTES
  }

  /** Rows that are remembered. */
  get size (): number { return this.#size }
  /** Bytes that columns and ids take, at most. */
  get bytes (): number { return this.#bytes }
  /** When the oldest row began, on the monotonic clock; undefined: there is none. */
  get oldestAtMs (): number | undefined { return this.#size === 0 ? undefined : this.#at[this.#place(this.#size)] }

  /** Begins a row; its number, for `passed` and `ended`. */
  begin (kind: RowKind, msgId: string, userId: string, deviceId: string, otherId: string, atMs = this.#clock.monotonicMs()): number {
    const row = this.#next
    const at = row % this.#capacity
    // Full, the oldest stands where this one goes.
    if (this.#size === this.#capacity) this.#forget(at)
    this.#kind[at] = kind
    this.#msgId[at] = msgId
    this.#userId[at] = userId
    this.#deviceId[at] = deviceId
    this.#otherId[at] = otherId
    this.#outcome[at] = ''
    this.#at[at] = atMs
    this.#passedAt[at] = NaN
    this.#endedAt[at] = NaN
    this.#counts[3 * at] = this.#counts[3 * at + 1] = this.#counts[3 * at + 2] = 0
    this.#next = row + 1 === this.#numbers ? 0 : row + 1
    this.#size++
    this.#bytes += idBytes(msgId, userId, deviceId, otherId)
    while (this.#bytes > this.#bytesLimit && this.#size > 1) this.#forgetOldest()
    return row
  }

  /** A row that ends where it begins, with what was counted. */
  noted (kind: RowKind, msgId: string, userId: string, deviceId: string, otherId: string, outcome: string, first = 0, second = 0): void {
    this.ended(this.begin(kind, msgId, userId, deviceId, otherId), outcome, first, second)
  }

  /** Handed on, with what waits before it where that is known. Nothing where the row is forgotten. */
  passed (row: number, waiting = 0, atMs = this.#clock.monotonicMs()): void {
    if (!this.#has(row)) return
    const at = row % this.#capacity
    this.#passedAt[at] = atMs
    this.#counts[3 * at + 2] = waiting
  }

  /** The end, with what was counted. Nothing where the row is forgotten. */
  ended (row: number, outcome: string, first = 0, second = 0): void {
    if (!this.#has(row)) return
    const at = row % this.#capacity
    this.#endedAt[at] = this.#clock.monotonicMs()
    this.#outcome[at] = outcome
    this.#counts[3 * at] = first
    this.#counts[3 * at + 1] = second
  }

  /** The latest `limit` rows, oldest first, of a message, or of whoever has the id as user or as the other side; and how many more there are. Looks at all rows. */
  find (by: 'message' | 'user', id: string, limit: number): { readonly rows: Row[], readonly leftOff: number } {
    const rows: Row[] = []
    let leftOff = 0
    for (let back = 1; back <= this.#size; back++) {
      const at = this.#place(back)
      const fits = by === 'message' ? this.#msgId[at] === id : this.#userId[at] === id || this.#otherId[at] === id
      if (!fits) continue
      if (rows.length < limit) rows.push(this.#row(at))
      else leftOff++
    }
    return { rows: rows.reverse(), leftOff }
  }

  #forget (at: number): void {
    this.#size--
    this.#bytes -= idBytes(this.#msgId[at] as string, this.#userId[at] as string, this.#deviceId[at] as string, this.#otherId[at] as string)
  }

  #forgetOldest (): void {
    const at = this.#place(this.#size)
    this.#forget(at)
    // So that nothing is kept alive for a row that nobody can ask for.
    this.#msgId[at] = this.#userId[at] = this.#deviceId[at] = this.#otherId[at] = ''
  }

  /** Where the row stands that was begun so many rows ago. */
  #place (back: number): number {
    return (this.#next - back + this.#numbers) % this.#capacity
  }

  #has (row: number): boolean {
    if (row === NO_ROW) return false
    const back = this.#next > row ? this.#next - row : this.#next - row + this.#numbers
    return back <= this.#size
  }

  #row (at: number): Row {
    const text = (column: readonly string[]): string => column[at] as string
    const time = (column: Float64Array): number => column[at] as number
    const [first = 0, second = 0, third = 0] = this.#counts.subarray(3 * at, 3 * at + 3)
    const ids = { msgId: text(this.#msgId), userId: text(this.#userId), deviceId: text(this.#deviceId), otherId: text(this.#otherId) }
    const times = { atMs: time(this.#at), passedAtMs: time(this.#passedAt), endedAtMs: time(this.#endedAt) }
    return { kind: this.#kind[at] as RowKind, ...ids, ...times, outcome: text(this.#outcome), counts: [first, second, third] }
  }
}

/** Two for a character: an upper bound, also where rows share a string. */
function idBytes (msgId: string, userId: string, deviceId: string, otherId: string): number {
  return HEADER_BYTES + 2 * (msgId.length + userId.length + deviceId.length + otherId.length)
}
