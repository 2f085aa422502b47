/**
 * How the latest waits ended, to tell a late ack from a repeated one: fingerprints in two tables of fixed size, each
 * place taken by whoever came last. What was overwritten, or two ids of one fingerprint, blur a counter and nothing else.
 */

const PLACES = 32_768

export class RecentAcks {
  readonly #acked = new Int32Array(PLACES)
  readonly #timedOut = new Int32Array(PLACES)
  /** Of the ids looked at last: place and fingerprint. */
  #place = 0
  #print = 0

  acked (connectionSerial: number, msgId: string): void {
    this.#hash(connectionSerial, msgId)
    this.#acked[this.#place] = this.#print
  }

  timedOut (connectionSerial: number, msgId: string): void {
    this.#hash(connectionSerial, msgId)
    this.#timedOut[this.#place] = this.#print
  }

  /** What an ack is that nobody waits for on this connection; undefined: nothing is remembered. */
  kindOf (connectionSerial: number, msgId: string): 'repeated' | 'late' | undefined {
    this.#hash(connectionSerial, msgId)
    if (this.#acked[this.#place] === this.#print) return 'repeated'
    if (this.#timedOut[this.#place] === this.#print) return 'late'
    return undefined
  }

  /** Two FNV-1a sums of different multipliers in one pass. */
  #hash (connectionSerial: number, msgId: string): void {
    let place = 0x811c9dc5 ^ connectionSerial
    let print = ~connectionSerial
    for (let at = 0; at < msgId.length; at++) {
      const code = msgId.charCodeAt(at)
      place = Math.imul(place ^ code, 0x01000193)
      print = Math.imul(print ^ code, 0x85ebca6b)
    }
    this.#place = (place ^ place >>> 15) & (PLACES - 1)
    // 0 is an empty place.
    this.#print = print | 1
  }
}
