/** `npm run bench -- S3`, `all`, `compare`: measures, prints a table and writes bench/results/. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeMachine } from './lib/machine.ts'
import { GATEWAY, NODE_FLAGS, PEERS, type Peer } from './lib/peers.ts'
import { spreadOf, type Figures, type Results, type Scenario, type Spread } from './lib/scenario.ts'
import { World } from './lib/world.ts'
import { S1 } from './scenarios/S1.ts'
import { S3 } from './scenarios/S3.ts'
import { S4 } from './scenarios/S4.ts'

const SCENARIOS: readonly Scenario[] = [S1, S3, S4]
const RESULTS = join(import.meta.dirname, 'results')

const [asked = ''] = process.argv.slice(2)
const chosen = asked === 'all' || asked === 'compare' ? SCENARIOS : SCENARIOS.filter(({ id }) => id === asked)
if (chosen.length === 0) {
  process.stderr.write(`npm run bench -- ${SCENARIOS.map(({ id }) => id).join(' | ')} | all | compare\n`)
  process.exit(64)
}
const world = await new World().start()
let missed = 0
for (const scenario of chosen) missed += await run(scenario)
world.stop()
process.exit(missed === 0 ? 0 : 1)

/** Resolves to the number of targets that were missed. */
async function run (scenario: Scenario): Promise<number> {
  const { id, title, units, repeats, without = {} } = scenario
  process.stdout.write(`\n${id}  ${title}\n`)
  const peers = scenario.peers.map((name) => PEERS.find((peer) => peer.name === name) as Peer)
  const measured = new Map<string, Figures[]>(peers.map(({ name }) => [name, []]))
  for (let round = 1; round <= repeats; round++) {
    for (const peer of peers) {
      const figures = await world.with(peer, scenario.acks ?? false, (stage) => scenario.measure(stage))
      measured.get(peer.name)?.push(figures)
      process.stdout.write(`  ${round}/${repeats} ${peer.name}: ${Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(2)} ${units[name] ?? ''}`).join(', ')}\n`)
    }
  }
  const results: Results = new Map([...measured].map(([name, all]) => [name, spreads(all)]))
  const verdicts = scenario.judge(results)
  process.stdout.write(table(scenario, results))
  for (const [name, why] of Object.entries(without)) process.stdout.write(`  ${name}: not measured, ${why}\n`)
  for (const { target, met, seen } of verdicts) process.stdout.write(`  ${met ? 'met' : 'MISSED'}: ${target}: ${seen}\n`)
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(join(RESULTS, `${id}.json`), `${JSON.stringify({
    id, title, units, repeats, verdicts, without, rows: Object.fromEntries(results), ratios: ratiosOf(scenario, results), nodeFlags: NODE_FLAGS, machine: describeMachine(), date: new Date().toISOString().slice(0, 10)
  }, undefined, 2)}\n`)
  return verdicts.filter(({ met }) => !met).length
}

function spreads (all: readonly Figures[]): Record<string, Spread> {
  return Object.fromEntries(Object.keys(all[0] ?? {}).map((name) => [name, spreadOf(all.map((figures) => figures[name] as number))]))
}

/** By peer: what it takes for each one that the gateway takes. */
function ratiosOf ({ units }: Scenario, results: Results): Record<string, number> {
  const [figure = ''] = Object.keys(units)
  const own = results.get(GATEWAY)?.[figure]?.median ?? NaN
  return Object.fromEntries([...results].filter(([name]) => name !== GATEWAY).map(([name, row]) => [name, Number(((row[figure]?.median ?? NaN) / own).toFixed(3))]))
}

function table (scenario: Scenario, results: Results): string {
  const ratios = ratiosOf(scenario, results)
  const lines = [...results].map(([name, row]) => {
    const figures = Object.entries(row).map(([figure, { median, min, max }]) => `${figure} ${median.toFixed(2)} ${scenario.units[figure] ?? ''} (${min.toFixed(2)}-${max.toFixed(2)})`)
    return `  ${name.padEnd(20)} ${figures.join('  ')}${name === GATEWAY ? '' : `  ${ratios[name]} × ours`}\n`
  })
  return `\n${lines.join('')}`
}
