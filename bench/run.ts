/** `npm run bench -- S3 | all | compare [--repeats N]`: measures, prints a table, writes bench/results/ and bench/README.md. Exit code 1: a target was missed. */
import { parseArgs } from 'node:util'
import { describeMachine } from './lib/machine.ts'
import { NODE_FLAGS, PEERS, type Peer } from './lib/peers.ts'
import { reportOf, tableText, writeReadme, writeReport } from './lib/report.ts'
import { spreadOf, type Figures, type Scenario, type Spread } from './lib/scenario.ts'
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
import { S11 } from './scenarios/S11.ts'
import { S12 } from './scenarios/S12.ts'

const SCENARIOS: readonly Scenario[] = [S1, S2, S3, S4, S5, S6, S7, S8, S9, S11, S12]

const { positionals: [asked = ''], values: { repeats: given } } = parseArgs({ allowPositionals: true, options: { repeats: { type: 'string' } } })
const chosen = asked === 'all' || asked === 'compare' ? SCENARIOS : SCENARIOS.filter(({ id }) => id === asked)
if (chosen.length === 0 || (given !== undefined && !/^[1-9]\d?$/.test(given))) {
  process.stderr.write(`npm run bench -- ${SCENARIOS.map(({ id }) => id).join(' | ')} | all | compare [--repeats 1-99]\n`)
  process.exit(64)
}
const world = await new World().start()
let missed = 0
for (const scenario of chosen) missed += await run(scenario, given === undefined ? scenario.repeats : Number(given))
writeReadme()
world.stop()
process.exit(missed === 0 ? 0 : 1)

/** Resolves to the number of targets that were missed. */
async function run (scenario: Scenario, repeats: number): Promise<number> {
  process.stdout.write(`\n${scenario.id}  ${scenario.title}\n`)
  const peers = scenario.peers.map((name) => PEERS.find((peer) => peer.name === name) as Peer)
  const measured = new Map<string, Figures[]>(peers.map(({ name }) => [name, []]))
  for (let round = 1; round <= repeats; round++) {
    for (const peer of peers) {
      const figures = await world.with(peer, scenario, (stage) => scenario.measure(stage))
      measured.get(peer.name)?.push(figures)
      process.stdout.write(`  ${round}/${repeats} ${peer.name}: ${Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(2)} ${scenario.units[name] ?? ''}`).join(', ')}\n`)
    }
  }
  const report = reportOf(scenario, repeats, new Map([...measured].map(([name, all]) => [name, spreads(all)])), { nodeFlags: NODE_FLAGS, machine: describeMachine() })
  writeReport(report)
  process.stdout.write(tableText(report))
  return report.verdicts.filter(({ met }) => !met).length
}

function spreads (all: readonly Figures[]): Record<string, Spread> {
  return Object.fromEntries(Object.keys(all[0] ?? {}).map((name) => [name, spreadOf(all.map((figures) => figures[name] as number))]))
}
