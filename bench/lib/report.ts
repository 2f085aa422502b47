/** What a run of a scenario leaves behind: a table, and bench/results/ID.json. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, type Machine } from './machine.ts'
import { FLOOR, GATEWAY } from './peers.ts'
import type { Results, Scenario, Spread, Verdict } from './scenario.ts'
import type { Versions } from './versions.ts'

export const RESULTS = join(ROOT, 'bench/results')

/** How it was measured. */
export interface Run {
  readonly repeats: number
  /** Which peer comes first in which round. */
  readonly seed: number
  readonly nodeFlags: readonly string[]
  readonly machine: Machine
  readonly versions: Versions
  readonly date: string
}

/** A figure has two digits behind the point; a ratio to one that reads 0.00 says nothing. */
const LEAST_BASE = 0.01

type Ratios = Readonly<Record<string, number>>

export interface Report extends Run {
  readonly id: string
  readonly title: string
  readonly units: Readonly<Record<string, string>>
  readonly verdicts: readonly Verdict[]
  readonly without: Readonly<Record<string, string>>
  readonly rows: Readonly<Record<string, Readonly<Record<string, Spread>>>>
  /** By peer: what it takes for each one that the gateway takes, of the first figure. */
  readonly ratios: Ratios
  /** By row: what it takes for each one that the floor takes. Empty where that was not measured, or takes less than is shown of it. */
  readonly toFloor: Ratios
}

export function reportOf (scenario: Scenario, results: Results, run: Run): Report {
  const { id, title, units, without = {} } = scenario
  const [figure = ''] = Object.keys(units)
  const { [GATEWAY]: _, ...ratios } = ratiosTo(GATEWAY, figure, results)
  return { id, title, units, verdicts: scenario.judge(results), without, rows: Object.fromEntries(results), ratios, toFloor: ratiosTo(FLOOR, figure, results), ...run }
}

/** The table of a scenario, for a terminal. */
export function tableText ({ rows, units, ratios, toFloor, without, verdicts }: Report): string {
  const lines = Object.entries(rows).map(([name, row]) => {
    const figures = Object.entries(row).map(([figure, spread]) => `${figure} ${spreadText(spread)} ${units[figure] ?? ''}`)
    const floor = toFloor[name] === undefined ? '' : `  ${toFloor[name]} × C`
    return `  ${name.padEnd(20)} ${figures.join('  ')}${name === GATEWAY ? '' : `  ${ratios[name]} × ours`}${floor}`
  })
  const others = Object.entries(without).map(([name, why]) => `  ${name}: not measured, ${why}`)
  const targets = verdicts.map(({ target, met, seen }) => `  ${met ? 'met' : 'MISSED'}: ${target}: ${seen}`)
  return `\n${[...lines, ...others, ...targets].join('\n')}\n`
}

export function writeReport (report: Report): void {
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(join(RESULTS, `${report.id}.json`), `${JSON.stringify(report, undefined, 2)}\n`)
}

/** One line for each scenario: what this gateway takes, and what the others take for each one of it. */
export function comparison (reports: readonly Report[]): { readonly head: readonly string[], readonly lines: readonly string[][] } {
  const compared = reports.filter(({ ratios }) => Object.keys(ratios).length > 0)
  const peers = [...new Set(compared.flatMap(({ ratios }) => Object.keys(ratios)))]
  const lines = compared.map(({ id, units, rows, ratios }) => {
    const [[figure, unit] = ['', '']] = Object.entries(units)
    const own = rows[GATEWAY]?.[figure]?.median ?? NaN
    return [id, `${figure}, ${unit}`, own.toFixed(2), ...peers.map((name) => ratios[name]?.toFixed(2) ?? '')]
  })
  return { head: ['', '', GATEWAY, ...peers.map((name) => `${name}, ×`)], lines }
}

export function comparisonText (reports: readonly Report[]): string {
  const { head, lines } = comparison(reports)
  const widths = head.map((name, column) => Math.max(name.length, ...lines.map((line) => line[column]?.length ?? 0)))
  return `\nWhat the others take for each one that this gateway takes\n\n${[head, ...lines].map((line) => line.map((cell, column) => column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)).join('  ')).join('\n')}\n`
}

export function spreadText ({ median, min, max }: Spread): string {
  return min === max ? median.toFixed(2) : `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`
}

/** The last line of a section: when, on what, with what. */
export function runText ({ date, repeats, seed, machine, nodeFlags, versions }: Run): string {
  const all = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', ')
  const flags = nodeFlags.length === 0 ? 'no flags of V8' : `\`${nodeFlags.join(' ')}\``
  return `${date}, ${repeats} rounds, seed ${seed}, ${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, ${flags}; ${all}.`
}

function ratiosTo (peer: string, figure: string, results: Results): Ratios {
  const base = results.get(peer)?.[figure]?.median ?? NaN
  if (!(base >= LEAST_BASE)) return {}
  return Object.fromEntries([...results].map(([name, row]) => [name, Number(((row[figure]?.median ?? NaN) / base).toFixed(2))]))
}
