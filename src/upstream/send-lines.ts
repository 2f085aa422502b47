/**
 * The order of one connection's messages [GW-SND-3]: of each conversation the first is upstream, the others stand in line.
 * Exists only while something is under way: one list through the messages themselves, as they came. At most 64 of them,
 * so walking it is cheaper than a Map, and a message costs nothing of its own.
 */

/** What stands in a line. */
export interface InLine<T> {
  readonly recipient: string
  /** The next message of the connection, whatever its conversation. */
  following: T | null
}

export class SendLines<T extends InLine<T>> {
  #first: T | null = null
  #size = 0

  /** Messages in all lines. */
  get size (): number { return this.#size }

  /** Puts a message at the end of its conversation's line. True: it is the first, it may leave. */
  add (message: T): boolean {
    this.#size++
    let isFirst = true
    let last: T | null = null
    for (let at = this.#first; at !== null; at = at.following) {
      if (at.recipient === message.recipient) isFirst = false
      last = at
    }
    if (last === null) this.#first = message
    else last.following = message
    return isFirst
  }

  /** Takes a message out, wherever it stands. Returns the one that may leave now, if that was the first of more. */
  remove (message: T): T | undefined {
    let isFirst = true
    let before: T | null = null
    let at = this.#first
    while (at !== null && at !== message) {
      if (at.recipient === message.recipient) isFirst = false
      before = at
      at = at.following
    }
    if (at === null) return undefined
    this.#size--
    let next = message.following
    if (before === null) this.#first = next
    else before.following = next
    message.following = null
    if (!isFirst) return undefined
    while (next !== null && next.recipient !== message.recipient) next = next.following
    return next ?? undefined
  }
}
