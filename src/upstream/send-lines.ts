/**
 * The order of one connection's messages [GW-SND-3]: a line for each conversation, the first of each line is upstream.
 * Exists only while something is under way; at most 64 entries, so searching a list is cheaper than a Map.
 */

/** What stands in a line. */
export interface InLine { readonly recipient: string }

export class SendLines<T extends InLine> {
  readonly #lines: T[][] = []
  #size = 0

  /** Messages in all lines. */
  get size (): number { return this.#size }

  /** Puts a message at the end of its conversation's line. True: it is the first, it may leave. */
  add (message: T): boolean {
    this.#size++
    const line = this.#lines.find((candidate) => candidate[0]?.recipient === message.recipient)
    if (line === undefined) {
      this.#lines.push([message])
      return true
    }
    line.push(message)
    return false
  }

  /** Takes a message out, wherever it stands. Returns the one that may leave now, if that was the first of more. */
  remove (message: T): T | undefined {
    const at = this.#lines.findIndex((candidate) => candidate[0]?.recipient === message.recipient)
    const line = this.#lines[at]
    const place = line?.indexOf(message) ?? -1
    if (line === undefined || place === -1) return undefined
    this.#size--
    line.splice(place, 1)
    if (line.length === 0) this.#lines.splice(at, 1)
    return place === 0 ? line[0] : undefined
  }
}
