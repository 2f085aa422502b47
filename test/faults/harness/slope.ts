/** What a process holds over time, freed of what its connections explain: what is left is a leak, or none. */

export interface Held { readonly hour: number, readonly connections: number, readonly amount: number }

/** By least squares: y = a + b × x. Where all x are the same, b is 0. */
function line (points: ReadonlyArray<readonly [x: number, y: number]>): { readonly a: number, readonly b: number } {
  const [sumX, sumY] = points.reduce(([x, y], point) => [x + point[0], y + point[1]] as const, [0, 0] as const)
  const [meanX, meanY] = [sumX / points.length, sumY / points.length]
  const [xx, xy] = points.reduce(([xx, xy], [x, y]) => [xx + (x - meanX) ** 2, xy + (x - meanX) * (y - meanY)] as const, [0, 0] as const)
  const b = xx === 0 ? 0 : xy / xx
  return { a: meanY - b * meanX, b }
}

/** What `of` does not explain of the numbers: their distance from the line. */
function rest (of: readonly number[], numbers: readonly number[]): number[] {
  const { a, b } = line(of.map((x, i) => [x, numbers[i] as number]))
  return numbers.map((y, i) => y - (a + b * (of[i] as number)))
}

/**
 * How much more is held each hour, by least squares over both the time and the number of connections (Frisch and Waugh
 * 1933: the same as over what the connections leave of the amount and of the time). Needs three samples.
 */
export function growthPerHour (samples: readonly Held[]): number {
  const connections = samples.map((sample) => sample.connections)
  const hours = rest(connections, samples.map(({ hour }) => hour))
  const amounts = rest(connections, samples.map(({ amount }) => amount))
  return line(hours.map((hour, i) => [hour, amounts[i] as number])).b
}
