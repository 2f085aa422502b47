/**
 * What was sent, accepted and received, and who was there meanwhile. An accepted message that did not come is a broken
 * promise only where its recipient was connected all the time: who was away sees the gap in the numbers and fetches the
 * history, which a rehearsal cannot ask.
 */
import type { Verdict } from './checks.ts'

/** The default of ACK_TIMEOUT: as long as a push may be on its way to a device. */
export const PUSH_MS = 5_000
const NEVER = Infinity

export interface Received { readonly msgId: string, readonly sender: string, readonly recipient: string, readonly content: string, readonly sequenceNumber: number }

interface Entry {
  readonly sender: string
  readonly recipient: string
  readonly content: string
  readonly sentAtMs: number
  acceptedAtMs: number
  sequenceNumber: number
  /** The connection on which it came first. */
  connection: object | undefined
  shown: number
}

interface Absence { readonly fromMs: number, untilMs: number }

export class Ledger {
  readonly #entries = new Map<string, Entry>()
  /** By user; whoever is not in here was never away. */
  readonly #absences = new Map<string, Absence[]>()
  /** The last number that came, by connection and sender. */
  readonly #last = new WeakMap<object, Map<string, number>>()
  #verdict: Verdict
  readonly #latenciesMs: number[] = []
  /** Whether a push may come again because the node that asked for it has gone. */
  mayRepeat = false
  repeats = 0
  missedWhileAway = 0

  constructor (verdict: Verdict) {
    this.#verdict = verdict
  }

  get accepted (): number { return [...this.#entries.values()].filter(({ acceptedAtMs }) => acceptedAtMs < NEVER).length }
  /** Accepted, not received, and its recipient was there. */
  get missing (): number { return this.#missing().length }

  sent (msgId: string, sender: string, recipient: string, content: string, atMs: number): void {
    this.#entries.set(msgId, { sender, recipient, content, sentAtMs: atMs, acceptedAtMs: NEVER, sequenceNumber: NaN, connection: undefined, shown: 0 })
  }

  acceptedAs (msgId: string, sequenceNumber: number, atMs: number): void {
    const entry = this.#entries.get(msgId)
    if (entry === undefined) return
    entry.acceptedAtMs = atMs
    this.#compare(msgId, entry, sequenceNumber)
  }

  /** A `message` frame, as it came on a connection of this user. */
  received (user: string, connection: object, message: Received, atMs: number): void {
    const { msgId, sender, recipient, content, sequenceNumber } = message
    const entry = this.#entries.get(msgId)
    // From an earlier run under the same names, or from somebody else.
    if (entry === undefined) return
    const isIntact = entry.sender === sender && entry.recipient === recipient && recipient === user && entry.content === content
    this.#verdict.judge('intact', isIntact, () => `${msgId} came to ${user} as one from ${sender} to ${recipient}`)
    this.#compare(msgId, entry, sequenceNumber)
    if (entry.connection !== undefined) {
      this.repeats++
      this.#verdict.judge('once', entry.connection !== connection || this.mayRepeat, () => `${msgId} came again to ${user}`)
      return
    }
    entry.connection = connection
    this.#latenciesMs.push(atMs - entry.sentAtMs)
    this.#inOrder(user, connection, message, entry)
  }

  /** The client library has given it to the application. */
  shown (msgId: string): void {
    const entry = this.#entries.get(msgId)
    if (entry !== undefined) this.#verdict.judge('once', ++entry.shown === 1, () => `${msgId} was shown ${entry.shown} times`)
  }

  left (user: string, atMs: number): void {
    const absences = this.#absences.get(user)
    if (absences === undefined) this.#absences.set(user, [{ fromMs: atMs, untilMs: NEVER }])
    else if (absences.at(-1)?.untilMs !== NEVER) absences.push({ fromMs: atMs, untilMs: NEVER })
  }

  came (user: string, atMs: number): void {
    const absence = this.#absences.get(user)?.at(-1)
    if (absence?.untilMs === NEVER) absence.untilMs = atMs
  }

  /** Judges all that was sent so far, forgets it, and goes on for another verdict. Returns the 99th percentile of the latencies, in milliseconds; undefined: nothing came. */
  settle (next: Verdict): number | undefined {
    const missing = new Set(this.#missing())
    for (const [msgId, entry] of this.#entries) {
      if (entry.acceptedAtMs === NEVER) continue
      const isThere = entry.connection !== undefined
      if (!isThere && !missing.has(msgId)) this.missedWhileAway++
      else this.#verdict.judge('delivered', isThere, () => `${msgId}, number ${entry.sequenceNumber}, never came to ${entry.recipient}`)
    }
    const sorted = this.#latenciesMs.splice(0).sort((a, b) => a - b)
    this.#entries.clear()
    this.#verdict = next
    return sorted[Math.ceil(sorted.length * 0.99) - 1]
  }

  #missing (): string[] {
    return [...this.#entries].filter(([, entry]) => entry.acceptedAtMs < NEVER && entry.connection === undefined && !this.#wasAway(entry)).map(([msgId]) => msgId)
  }

  /** Whether its recipient was away at some time between the sending and the end of the push. */
  #wasAway ({ recipient, sentAtMs, acceptedAtMs }: Entry): boolean {
    return this.#absences.get(recipient)?.some(({ fromMs, untilMs }) => fromMs <= acceptedAtMs + PUSH_MS && untilMs >= sentAtMs) ?? false
  }

  /** The ack and the message, whichever comes last. */
  #compare (msgId: string, entry: Entry, sequenceNumber: number): void {
    if (Number.isNaN(entry.sequenceNumber)) entry.sequenceNumber = sequenceNumber
    else this.#verdict.judge('intact', entry.sequenceNumber === sequenceNumber, () => `${msgId} has the numbers ${entry.sequenceNumber} and ${sequenceNumber}`)
  }

  /** What a push had to try again, because its recipient was away, may come after later ones. */
  #inOrder (user: string, connection: object, { msgId, sender, sequenceNumber }: Received, entry: Entry): void {
    let last = this.#last.get(connection)
    if (last === undefined) this.#last.set(connection, last = new Map())
    const before = last.get(sender) ?? 0
    if (sequenceNumber > before) last.set(sender, sequenceNumber)
    if (sequenceNumber > before || !this.#wasAway(entry)) {
      this.#verdict.judge('order', sequenceNumber > before, () => `${msgId}, number ${sequenceNumber}, came to ${user} after number ${before}`)
    }
  }
}
