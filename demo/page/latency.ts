/** How long messages took, over the last minute. */

/** `accepted`: from the sender's button to the gateway's ack; `received`: to the other's screen. */
export type LatencyKind = 'accepted' | 'received'
export interface Sample { readonly atMs: number, readonly latencyMs: number }

export const WINDOW_MS = 60_000
const MAX_SAMPLES = 2_000

export class Latency {
  readonly #samples: Readonly<Record<LatencyKind, Sample[]>> = { accepted: [], received: [] }

  add (kind: LatencyKind, latencyMs: number, nowMs: number): void {
    const samples = this.#samples[kind]
    samples.push({ atMs: nowMs, latencyMs })
    if (samples.length > MAX_SAMPLES) samples.shift()
  }

  /** Of the last minute, oldest first. */
  recent (kind: LatencyKind, nowMs: number): readonly Sample[] {
    return this.#samples[kind].filter(({ atMs }) => atMs > nowMs - WINDOW_MS)
  }

  /** undefined: there was none in the last minute. */
  median (kind: LatencyKind, nowMs: number): number | undefined {
    const sorted = this.recent(kind, nowMs).map(({ latencyMs }) => latencyMs).sort((a, b) => a - b)
    return sorted[sorted.length >> 1]
  }
}
