/**
 * Joins the frames of one connection into few writes: whole frames up to a size, a larger frame alone [GW-OUT-2].
 * Receivers of a fan-out have the same frames in the same order; the joined bytes of the last queue are kept for the
 * rest of the flush, so that a burst to a group is copied once and not once a member.
 */
export class FrameJoiner {
  readonly #limitBytes: number
  #lastQueue: readonly Buffer[] = []
  #lastParts: readonly Buffer[] = []

  constructor (limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** The same bytes as the queue, in as few buffers as the limit allows. */
  join (queue: readonly Buffer[]): readonly Buffer[] {
    if (sameFrames(queue, this.#lastQueue)) return this.#lastParts
    const parts: Buffer[] = []
    let from = 0
    let bytes = 0
    for (let at = 0; at < queue.length; at++) {
      const { length } = queue[at] as Buffer
      if (at > from && bytes + length > this.#limitBytes) {
        parts.push(joined(queue, from, at))
        from = at
        bytes = 0
      }
      bytes += length
    }
    parts.push(joined(queue, from, queue.length))
    this.#lastQueue = queue
    this.#lastParts = parts
    return parts
  }

  /** Lets the kept bytes go. */
  reset (): void {
    this.#lastQueue = []
    this.#lastParts = []
  }
}

function joined (queue: readonly Buffer[], from: number, to: number): Buffer {
  return to - from === 1 ? queue[from] as Buffer : Buffer.concat(queue.slice(from, to))
}

function sameFrames (a: readonly Buffer[], b: readonly Buffer[]): boolean {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}
