/** Numbers of a seed, 0 up to 1: the minimal standard generator (Park and Miller 1988). */
export function seededRandom (seed: number): () => number {
  let state = seed % 2_147_483_646 + 1
  return () => {
    state = state * 48_271 % 2_147_483_647
    return (state - 1) / 2_147_483_646
  }
}
