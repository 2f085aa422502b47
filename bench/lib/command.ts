/** What `npm run bench` is asked, by its arguments. */
import { parseArgs } from 'node:util'

export interface Command {
  /** Ids of scenarios, in the order in which they stand on the page. */
  readonly scenarios: readonly string[]
  readonly curves: readonly string[]
  /** undefined: as many as each has by itself. */
  readonly repeats: number | undefined
  readonly seed: number
}

/** All that there is, by id. */
export interface Choice {
  readonly scenarios: readonly string[]
  /** Those that have other servers in them. */
  readonly compared: readonly string[]
  readonly curves: readonly string[]
}

const GROWTH = 'growth'
const OPTIONS = { repeats: { type: 'string' }, seed: { type: 'string', default: '1' }, help: { type: 'boolean', short: 'h' } } as const

export function usageOf ({ scenarios, curves }: Choice): string {
  return `npm run bench -- ${scenarios[0]} ${scenarios[1]} …   those of ${scenarios[0]} to ${scenarios.at(-1)}
                 compare     those with other servers beside this one
                 growth      costs at several sizes; \`growth ${curves[0]} …\`: those of ${curves.join(', ')}
                 all         all of these
                 guard       the hot paths, against bench/guard.json; \`--update\` writes it anew
--repeats 1-99   rounds, in place of those that each has by itself
--seed N         another order of the servers
`
}

/** 'help' where that is asked; undefined where it is none of this. */
export function commandOf (args: readonly string[], choice: Choice): Command | 'help' | undefined {
  let parsed
  try {
    parsed = parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS })
  } catch {
    return undefined
  }
  const { positionals: names, values: { repeats, seed, help } } = parsed
  if (help === true) return 'help'
  const ids = idsOf(names, choice)
  if (ids === undefined || !/^[1-9]\d?$/.test(repeats ?? '1') || !/^\d{1,9}$/.test(seed)) return undefined
  return { ...ids, repeats: repeats === undefined ? undefined : Number(repeats), seed: Number(seed) }
}

function idsOf (names: readonly string[], { scenarios, compared, curves }: Choice): Pick<Command, 'scenarios' | 'curves'> | undefined {
  const [first, ...rest] = names
  if (first === undefined) return undefined
  if (first === GROWTH) return rest.every((id) => curves.includes(id)) ? { scenarios: [], curves: rest.length === 0 ? curves : curves.filter((id) => rest.includes(id)) } : undefined
  if (rest.length === 0 && first === 'all') return { scenarios, curves }
  if (rest.length === 0 && first === 'compare') return { scenarios: compared, curves: [] }
  return names.every((id) => scenarios.includes(id)) ? { scenarios: scenarios.filter((id) => names.includes(id)), curves: [] } : undefined
}
