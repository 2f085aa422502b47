/** What a run leaves behind: bench/results/ID.json, and bench/README.md made of all of them. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, type Machine } from './machine.ts'
import { GATEWAY } from './peers.ts'
import type { Results, Scenario, Spread, Verdict } from './scenario.ts'

const BENCH = join(ROOT, 'bench')
const RESULTS = join(BENCH, 'results')

export interface Report {
  readonly id: string
  readonly title: string
  readonly units: Readonly<Record<string, string>>
  readonly repeats: number
  readonly verdicts: readonly Verdict[]
  readonly without: Readonly<Record<string, string>>
  readonly rows: Readonly<Record<string, Readonly<Record<string, Spread>>>>
  /** By peer: what it takes for each one that the gateway takes, of the first figure. */
  readonly ratios: Readonly<Record<string, number>>
  readonly nodeFlags: readonly string[]
  readonly machine: Machine
  readonly date: string
}

export function reportOf (scenario: Scenario, repeats: number, results: Results, rest: Pick<Report, 'nodeFlags' | 'machine'>): Report {
  const { id, title, units, without = {} } = scenario
  return { id, title, units, repeats, verdicts: scenario.judge(results), without, rows: Object.fromEntries(results), ratios: ratiosOf(scenario, results), ...rest, date: new Date().toISOString().slice(0, 10) }
}

/** The table of a run, for a terminal. */
export function tableText ({ rows, units, ratios, without, verdicts }: Report): string {
  const lines = Object.entries(rows).map(([name, row]) => {
    const figures = Object.entries(row).map(([figure, spread]) => `${figure} ${spreadText(spread)} ${units[figure] ?? ''}`)
    return `  ${name.padEnd(20)} ${figures.join('  ')}${name === GATEWAY ? '' : `  ${ratios[name]} × ours`}`
  })
  const others = Object.entries(without).map(([name, why]) => `  ${name}: not measured, ${why}`)
  const targets = verdicts.map(({ target, met, seen }) => `  ${met ? 'met' : 'MISSED'}: ${target}: ${seen}`)
  return `\n${[...lines, ...others, ...targets].join('\n')}\n`
}

export function writeReport (report: Report): void {
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(join(RESULTS, `${report.id}.json`), `${JSON.stringify(report, undefined, 2)}\n`)
}

/** Writes bench/README.md anew. */
export function writeReadme (): void {
  const reports = readdirSync(RESULTS).filter((name) => name.endsWith('.json')).map((name) => JSON.parse(readFileSync(join(RESULTS, name), 'utf8')) as Report)
  reports.sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
  writeFileSync(join(BENCH, 'README.md'), `${[INTRODUCTION, ...reports.map(section)].join('\n\n')}\n`)
}

const INTRODUCTION = `# Benchmarks

<!-- Written by bench/lib/report.ts from bench/results; do not edit. -->

\`npm run bench -- S3\` runs one scenario, \`npm run bench -- all\` all of them, \`--repeats N\` fewer or more rounds. In each round every server is started anew, measured and
ended, one after the other; a figure is the median of the rounds, with least and most beside it. What is counted is CPU time and memory of the server's process, not the
clock on the wall; server and clients have a core each. The clients are a program in C (\`bench/load/load.c\`, compiled at the first run), which costs less than any of the servers and checks what it gets: a run
that lost, doubled or reordered a message fails. Where a target is missed it says so. The rows in Go need Go 1.26. None of this is a test, but \`npm run bench -- guard\` is: it compares bytes
allocated, writes and CPU of the hot paths with \`bench/guard.json\`, and CI runs it.

The rows: this gateway; bare \`ws\` and \`@fastify/websocket\` as their users write it, with the same token check and the same unary call to the IM Service; Socket.IO 4; Centrifugo 6; a server on \`coder/websocket\` in Go; \`socket.write\`, a bare loop that
writes one shared frame; and C, a server that does the system calls and nothing else. A ratio above 1 means: it takes more than this gateway.`

function section (report: Report): string {
  const { id, title, units, rows, ratios, repeats, verdicts, without, machine, nodeFlags, date } = report
  const figures = Object.keys(units)
  const lines = [
    `## ${id}: ${title}`, '',
    `| | ${figures.map((figure) => `${figure}, ${units[figure]}`).join(' | ')} | to ours |`,
    `|---|${figures.map(() => '---|').join('')}---|`,
    ...Object.entries(rows).map(([name, row]) => `| ${name === GATEWAY ? `**${name}**` : name} | ${figures.map((figure) => row[figure] === undefined ? '' : spreadText(row[figure])).join(' | ')} | ${name === GATEWAY ? '' : ratios[name]} |`),
    '',
    ...verdicts.map(({ target, met, seen }) => `- ${met ? 'Met' : '**Missed**'}: ${target}: ${seen}.`),
    ...Object.entries(without).map(([name, why]) => `- ${name}: not measured, ${why}.`),
    '',
    `${date}, ${repeats} rounds, ${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node} \`${nodeFlags.join(' ')}\`.`
  ]
  return lines.join('\n')
}

function spreadText ({ median, min, max }: Spread): string {
  return min === max ? median.toFixed(2) : `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`
}

function ratiosOf ({ units }: Scenario, results: Results): Record<string, number> {
  const [figure = ''] = Object.keys(units)
  const own = results.get(GATEWAY)?.[figure]?.median ?? NaN
  return Object.fromEntries([...results].filter(([name]) => name !== GATEWAY).map(([name, row]) => [name, Number(((row[figure]?.median ?? NaN) / own).toFixed(2))]))
}
