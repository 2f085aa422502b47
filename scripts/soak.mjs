/**
 * The soak of test/faults/ (row T3) for as long as is asked: traffic at half load, a fault each 30 s, invariants asserted after each.
 *
 *   npm run soak -- 60m                the time as 90s, 2m or 1h
 *   npm run soak -- 60m --seed 7       the same faults in the same order again
 *   npm run soak -- 60m --record       takes its report over into docs/, and writes docs/soak.md with the plot from it
 *
 * The report of the last run is in .cache/faults/soak.json. Fails where an invariant did not hold or, from 30 minutes on, something grew.
 */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { prepare } from './lib/prepare.mjs'
import { fail, root, run } from './lib/project.mjs'
import { recordRow } from './lib/record-row.mjs'

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000 }
/** Start, settling after each fault, end. */
const MARGIN_MS = 1_200_000
/** The services' messages of an hour are kept in memory: each may be asked for again. */
const HEAP_MB = 8_192

const { values, positionals } = parseArgs({ allowPositionals: true, options: { seed: { type: 'string' }, record: { type: 'boolean' } } })
const [, count, unit] = /^(\d+)([smh])$/.exec(positionals[0] ?? '') ?? []
const durationMs = Number(count) * UNITS_MS[unit]
if (positionals.length !== 1 || !(durationMs > 0)) fail('npm run soak -- TIME [--seed N] [--record], TIME as 90s, 60m or 2h', 64)

await prepare()
const env = { FAULT_ROWS: 'T3', FAULT_TIMES: 'long', SOAK_MS: String(durationMs), NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}`, ...(values.seed !== undefined && { FC_SEED: values.seed }) }
const code = await run(process.execPath, ['--import', 'tsx', 'test/faults/soak.test.ts'], { env, timeoutMs: durationMs * 1.5 + MARGIN_MS })
if (code === 0 && values.record) {
  copyFileSync(join(root, '.cache/faults/soak.json'), join(root, 'docs/soak.json'))
  recordRow('T3', { command: `npm run soak -- ${positionals[0]}` })
  if (await run(process.execPath, ['--import', 'tsx', 'scripts/generate-docs.ts']) !== 0) fail('the page was not written')
}
process.exitCode = code
