/**
 * The table of faults on real services, one row after the other.
 *
 *   npm run test:faults                 all rows; goes on after the last one that passed where the run before was broken off
 *   npm run test:faults ROW...          only those, e.g. `npm run test:faults E1 K5`
 *   npm run test:faults -- --long       real times (a TTL of 90 s) instead of those that CI has the patience for
 *   npm run test:faults -- --restart    forgets what passed before
 *   npm run test:faults -- --record     takes what rows saw over into docs/reliability.json and writes docs/reliability.md from it
 *
 * Each row prints its seed; FC_SEED=… repeats it. In .cache/faults/ are the ledgers of the last run, and of each row that
 * passed what was seen, as ROW.json. A row of the table without a test has failed. The last line has the totals.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { COMPILED, compileAll } from './lib/bundle.mjs'
import { prepare } from './lib/prepare.mjs'
import { fail, files, root, run } from './lib/project.mjs'
import { recordRow } from './lib/record-row.mjs'

const ROW = /^row(?:WithoutWorld)?\('(\w+)',/gm
const TABLE = 'test/faults/harness/table.ts'
const TABLE_ROW = /^ {2}(\w+): \{/gm
const FIGURES = /^\s*# FIGURES (.+)$/
const SEED = /^\s*# (FC_SEED=\d+)/
const FAILED = /^\s*not ok \d+/
const PASSED = /^ok \d+ - \w/
/** Above what a row gives itself; of the long ones a soak takes an hour and more. */
const ROW_TIMEOUT_MS = { short: 300_000, long: 5_400_000 }

const args = process.argv.slice(2)
const options = args.filter((arg) => arg.startsWith('-'))
const unknownOption = options.find((option) => !['--long', '--restart', '--record'].includes(option))
if (unknownOption !== undefined) fail(`unknown option: ${unknownOption}`, 64)
const times = options.includes('--long') ? 'long' : 'short'
const rows = files('test/faults', (path) => path.endsWith('.test.ts') && !path.includes('/harness/'))
  .flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(ROW)].map(([, id]) => ({ id, path })))
const named = args.filter((arg) => !arg.startsWith('-'))
const absent = named.filter((id) => !rows.some((row) => row.id === id))
if (absent.length > 0) fail(`no such row: ${absent.join(' ')}; there are ${rows.map(({ id }) => id).join(' ')}`, 64)

const folder = join(root, '.cache', 'faults')
const stateFile = join(folder, `state-${times}.json`)
if (options.includes('--restart')) rmSync(stateFile, { force: true })
mkdirSync(folder, { recursive: true })
await prepare()
await compileAll()

const passedBefore = named.length > 0 ? [] : readState()
const results = []
const startedMs = performance.now()
for (const { id, path } of rows) {
  if (named.length > 0 && !named.includes(id)) continue
  if (passedBefore.includes(id)) {
    process.stdout.write(`ok ${id} passed before\n`)
    results.push({ id, ok: true })
    continue
  }
  const result = await runRow(id, path)
  results.push(result)
  process.stdout.write(`${result.ok ? 'ok' : 'NOT OK'} ${id} ${result.seconds} s ${result.seed} ${result.figures}\n`)
  if (result.ok && options.includes('--record')) recordRow(id)
  if (named.length === 0) writeFileSync(stateFile, JSON.stringify(results.filter(({ ok }) => ok).map((row) => row.id)))
}
if (named.length === 0) {
  for (const [, id] of readFileSync(join(root, TABLE), 'utf8').matchAll(TABLE_ROW)) {
    if (rows.some((row) => row.id === id)) continue
    results.push({ id, ok: false })
    process.stdout.write(`NOT OK ${id} has no test\n`)
  }
}
const failed = results.filter(({ ok }) => !ok).length
// The next run begins anew only where this one saw all rows pass.
if (named.length === 0 && failed === 0) rmSync(stateFile, { force: true })
if (options.includes('--record')) await run(process.execPath, ['--import', 'tsx', 'scripts/generate-docs.ts'])
process.stdout.write(`${results.length} rows, ${Math.round((performance.now() - startedMs) / 1000)} s\n${results.length - failed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && results.length > 0 ? 0 : 1

function readState () {
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8'))
  } catch {
    return []
  }
}

async function runRow (id, path) {
  const started = performance.now()
  const words = []
  const found = { figures: '', seed: '', passed: false, failed: false }
  const onLine = (line) => {
    words.push(line)
    found.figures = FIGURES.exec(line)?.[1] ?? found.figures
    found.seed = SEED.exec(line)?.[1] ?? found.seed
    found.passed ||= PASSED.test(line)
    found.failed ||= FAILED.test(line)
  }
  const code = await run(process.execPath, ['--enable-source-maps', join(COMPILED, path.replace(/\.ts$/, '.js'))], { env: { COMPILED_DIR: COMPILED, FAULT_ROWS: id, FAULT_TIMES: times }, timeoutMs: ROW_TIMEOUT_MS[times], onLine })
  const ok = code === 0 && found.passed && !found.failed
  if (!ok) process.stdout.write(`${words.join('\n')}\n`)
  return { id, ok, seconds: Math.round((performance.now() - started) / 1000), seed: found.seed, figures: found.figures }
}
