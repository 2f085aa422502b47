/** What was sent and written, counted in plain numbers and told to the metrics once a flush. */
import type { Meter } from '../ports.ts'
import type { ServerFrameType } from '../protocol/frames.ts'

export class FrameTally {
  readonly #meter: Meter
  readonly #sent = new Map<ServerFrameType, number>()
  #bytes = 0

  constructor (meter: Meter) {
    this.#meter = meter
  }

  sent (type: ServerFrameType): void {
    this.#sent.set(type, (this.#sent.get(type) ?? 0) + 1)
  }

  written (bytes: number): void {
    this.#bytes += bytes
  }

  report (): void {
    for (const [type, count] of this.#sent) this.#meter.count('frames_out_total', count, type)
    this.#sent.clear()
    if (this.#bytes > 0) this.#meter.count('bytes_written_total', this.#bytes)
    this.#bytes = 0
  }
}
