/** What a scenario is, and what comes out of it. */
import type { Peer } from './peers.ts'
import type { ServiceName } from './real-services.ts'
import type { Stage } from './world.ts'

/** Figures of one measurement by name; the first is the one that is compared. */
export type Figures = Readonly<Record<string, number>>

export interface Spread { readonly median: number, readonly min: number, readonly max: number }

/** By peer, then by figure. */
export type Results = ReadonlyMap<string, Readonly<Record<string, Spread>>>

export interface Verdict { readonly target: string, readonly met: boolean, readonly seen: string }

export interface Scenario {
  readonly id: string
  readonly title: string
  /** Figures with their units, the first one first. */
  readonly units: Readonly<Record<string, string>>
  /** Peers by name; each is measured once in every round, in turn. */
  readonly peers: readonly string[]
  /** Peers that it does not apply to, and why. */
  readonly without?: Readonly<Record<string, string>>
  readonly repeats: number
  /** Real services that the gateway uses: with etcd, for one, the keys of its registry are not in its own memory. */
  readonly real?: readonly ServiceName[]
  /** Of all rows that run on Node. Default: `NODE_FLAGS`. */
  readonly nodeFlags?: readonly string[]
  /** Instead of how its peers are started otherwise. */
  readonly start?: Peer['start']
  /** Whether clients acknowledge what they get. */
  readonly acks?: boolean
  /** Throws where something was lost, doubled or refused. */
  measure (stage: Stage): Promise<Figures>
  judge (results: Results): readonly Verdict[]
}

export function spreadOf (values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const median = sorted.length % 2 === 1 ? sorted[middle] as number : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
  return { median, min: sorted[0] as number, max: sorted.at(-1) as number }
}

/** The median of a peer's figure; NaN where it was not measured. */
export function medianOf (results: Results, peer: string, figure: string): number {
  return results.get(peer)?.[figure]?.median ?? NaN
}

/** The extremes of a peer's figure, for what may not happen in any round; NaN where it was not measured. */
export function extremesOf (results: Results, peer: string, figure: string): { readonly least: number, readonly most: number } {
  const { min = NaN, max = NaN } = results.get(peer)?.[figure] ?? {}
  return { least: min, most: max }
}
