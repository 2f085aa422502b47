/** A run is repeated with the seed that it printed. */

/** Numbers of a seed, 0 up to 1: the minimal standard generator (Park and Miller 1988). */
export function seeded (seed: number): () => number {
  let state = seed % 2_147_483_646 + 1
  return () => {
    state = state * 48_271 % 2_147_483_647
    return (state - 1) / 2_147_483_646
  }
}

/** FC_SEED of the environment, else one of this moment. */
export function seedOfRun (): number {
  return Number(process.env['FC_SEED'] ?? Date.now() % 1_000_000)
}
