/**
 * `npm run bench -- S3 | all | compare | growth [S1 …] [--repeats N] [--seed N]`: measures, prints tables, writes bench/results/
 * and bench/README.md. Exit code 1: a target was missed.
 */
import { parseArgs } from 'node:util'
import { growth } from './growth.ts'
import { CURVES } from './lib/curves.ts'
import { describeMachine } from './lib/machine.ts'
import { NODE_FLAGS, PEERS, type Peer } from './lib/peers.ts'
import { writeReadme } from './lib/readme.ts'
import { comparisonText, reportOf, tableText, writeReport, type Report, type Run } from './lib/report.ts'
import { spreadOf, type Figures, type Scenario, type Spread } from './lib/scenario.ts'
import { versions } from './lib/versions.ts'
import { World } from './lib/world.ts'
import { S1 } from './scenarios/S1.ts'
import { S2 } from './scenarios/S2.ts'
import { S3 } from './scenarios/S3.ts'
import { S4 } from './scenarios/S4.ts'
import { S5 } from './scenarios/S5.ts'
import { S6 } from './scenarios/S6.ts'
import { S7 } from './scenarios/S7.ts'
import { S8 } from './scenarios/S8.ts'
import { S9 } from './scenarios/S9.ts'
import { S10 } from './scenarios/S10.ts'
import { S11 } from './scenarios/S11.ts'
import { S12 } from './scenarios/S12.ts'

const SCENARIOS: readonly Scenario[] = [S1, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11, S12]
const GROWTH = 'growth'
const GROWTH_REPEATS = 5
const EXIT_USAGE = 64

const { positionals: [asked = '', ...ids], values: { repeats, seed } } = parseArgs({ allowPositionals: true, options: { repeats: { type: 'string' }, seed: { type: 'string', default: '1' } } })
const chosen = scenariosOf(asked)
const curves = asked === 'all' ? CURVES : asked === GROWTH ? CURVES.filter(({ id }) => ids.length === 0 || ids.includes(id)) : []
if (chosen.length + curves.length === 0 || !/^[1-9]\d?$/.test(repeats ?? '1') || !/^\d{1,9}$/.test(seed)) {
  process.stderr.write(`npm run bench -- ${SCENARIOS.map(({ id }) => id).join(' | ')} | all | compare | growth [${CURVES.map(({ id }) => id).join(' | ')}] [--repeats 1-99] [--seed N]\n`)
  process.exit(EXIT_USAGE)
}
const common = { seed: Number(seed), nodeFlags: NODE_FLAGS, machine: describeMachine(), versions: versions(), date: new Date().toISOString().slice(0, 10) }
// What ends with this process does so on its exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })
const world = await new World().start()
const reports: Report[] = []
for (const scenario of chosen) reports.push(await measure(scenario, { ...common, repeats: repeats === undefined ? scenario.repeats : Number(repeats) }))
let missed = reports.flatMap(({ verdicts }) => verdicts).filter(({ met }) => !met).length
if (curves.length > 0) missed += await growth(world, curves, { ...common, repeats: Number(repeats ?? GROWTH_REPEATS) })
if (reports.length > 1) process.stdout.write(comparisonText(reports))
writeReadme()
world.stop()
process.exit(missed === 0 ? 0 : 1)

function scenariosOf (name: string): readonly Scenario[] {
  if (name === 'all') return SCENARIOS
  return SCENARIOS.filter(({ id, peers }) => name === 'compare' ? peers.length > 1 : id === name)
}

async function measure (scenario: Scenario, run: Run): Promise<Report> {
  process.stdout.write(`\n${scenario.id}  ${scenario.title}\n`)
  const peers = scenario.peers.map((name) => PEERS.find((peer) => peer.name === name) as Peer)
  const measured = new Map<string, Figures[]>(peers.map(({ name }) => [name, []]))
  for (let round = 1; round <= run.repeats; round++) {
    // Each is the first one in its turn: what comes later meets a warmer machine.
    const first = (run.seed + round) % peers.length
    for (const peer of [...peers.slice(first), ...peers.slice(0, first)]) {
      process.stdout.write(`  ${round}/${run.repeats} ${peer.name}: `)
      const figures = await world.with(peer, scenario, (stage) => scenario.measure(stage))
      measured.get(peer.name)?.push(figures)
      process.stdout.write(`${Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(2)} ${scenario.units[name] ?? ''}`).join(', ')}\n`)
    }
  }
  const report = reportOf(scenario, new Map([...measured].map(([name, all]) => [name, spreads(all)])), { ...run, nodeFlags: scenario.nodeFlags ?? run.nodeFlags })
  writeReport(report)
  process.stdout.write(tableText(report))
  return report
}

function spreads (all: readonly Figures[]): Record<string, Spread> {
  return Object.fromEntries(Object.keys(all[0] ?? {}).map((name) => [name, spreadOf(all.map((figures) => figures[name] as number))]))
}
