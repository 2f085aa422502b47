/**
 * `npm run bench -- S3 … | all | compare | growth [S1 …] [--repeats N] [--seed N]`: measures, prints tables, writes bench/results/
 * and bench/README.md. Exit code 1: a target was missed; 2: something could not be measured, or lost or doubled a message.
 */
import { growth } from './growth.ts'
import { commandOf, usageOf, type Choice, type Command } from './lib/command.ts'
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
const GROWTH_REPEATS = 5
const EXIT_FAILED = 2
const EXIT_USAGE = 64
const CHOICE: Choice = { scenarios: SCENARIOS.map(({ id }) => id), compared: SCENARIOS.filter(({ peers }) => peers.length > 1).map(({ id }) => id), curves: CURVES.map(({ id }) => id) }

const command = commandOf(process.argv.slice(2), CHOICE)
if (command === undefined || command === 'help') {
  (command === 'help' ? process.stdout : process.stderr).write(usageOf(CHOICE))
  process.exit(command === 'help' ? 0 : EXIT_USAGE)
}
// What ends with this process does so on its exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })
process.exit(await runAll(command).then((missed) => missed === 0 ? 0 : 1, (error: unknown) => {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`)
  return EXIT_FAILED
}))

/** Resolves to the number of targets that were missed. */
async function runAll ({ scenarios, curves: curveIds, repeats, seed }: Command): Promise<number> {
  const chosen = SCENARIOS.filter(({ id }) => scenarios.includes(id))
  const curves = CURVES.filter(({ id }) => curveIds.includes(id))
  // What a row needs and this machine lacks is better said now than in an hour.
  for (const { name, prepare } of PEERS) if (chosen.some(({ peers }) => peers.includes(name))) prepare?.()
  const common = { seed, nodeFlags: NODE_FLAGS, machine: describeMachine(), versions: versions(), date: new Date().toISOString().slice(0, 10) }
  const world = await new World().start()
  const reports: Report[] = []
  for (const scenario of chosen) reports.push(await measure(world, scenario, { ...common, repeats: repeats ?? scenario.repeats }))
  let missed = reports.flatMap(({ verdicts }) => verdicts).filter(({ met }) => !met).length
  if (curves.length > 0) missed += await growth(world, curves, { ...common, repeats: repeats ?? GROWTH_REPEATS })
  if (reports.length > 1) process.stdout.write(comparisonText(reports))
  writeReadme()
  world.stop()
  return missed
}

async function measure (world: World, scenario: Scenario, run: Run): Promise<Report> {
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
