/** `npm run bench -- S3 … | all | compare | growth [S1 …] [--repeats N] [--seed N]`, `-- guard [--update]`: compiles bench/ as the build compiles the gateway, and runs it on the core that the servers which are measured do not use. */
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { prepare } from './lib/prepare.mjs'
import { fail, root, run } from './lib/project.mjs'

/** As LOAD_CORE in bench/lib/machine.ts. */
const LOAD_CORE = '1'
const TIMEOUT_MS = 6 * 3_600_000

const [name, ...rest] = process.argv.slice(2)
if (name === 'guard' && rest.some((arg) => arg !== '--update')) fail('npm run bench -- guard [--update]', 64)
await prepare()
// What tsx makes of a function in a function costs at each call; the gateway that is measured is the one that is deployed.
if (await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'bench/tsconfig.json']) !== 0) fail('bench/ does not compile')
const command = name === 'guard'
  ? [process.execPath, '.cache/bench/js/bench/guard.js', ...rest]
  : [process.execPath, '.cache/bench/js/bench/run.js', ...process.argv.slice(2)]
const [program, ...args] = process.platform === 'linux' && availableParallelism() > 1 ? ['taskset', '-c', LOAD_CORE, ...command] : command
process.exitCode = await run(program, args, { timeoutMs: TIMEOUT_MS })
