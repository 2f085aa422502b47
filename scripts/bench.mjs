/** `npm run bench -- S3 | all | compare [--repeats N]`: runs bench/run.ts, on the core that the servers which are measured do not use. */
import { availableParallelism } from 'node:os'
import { prepare } from './lib/prepare.mjs'
import { run } from './lib/project.mjs'

/** As LOAD_CORE in bench/lib/machine.ts. */
const LOAD_CORE = '1'
const TIMEOUT_MS = 6 * 3_600_000

await prepare()
const command = [process.execPath, '--import', 'tsx', 'bench/run.ts', ...process.argv.slice(2)]
const [program, ...args] = process.platform === 'linux' && availableParallelism() > 1 ? ['taskset', '-c', LOAD_CORE, ...command] : command
process.exitCode = await run(program, args, { timeoutMs: TIMEOUT_MS })
