/** `node scripts/lts.mjs`: runs the unit tests on a current LTS Node. `--path` installs it where it is missing and prints where it is. */
import { join } from 'node:path'
import { ltsNode } from './lib/lts.mjs'
import { root, run } from './lib/project.mjs'

const binary = await ltsNode()
process.stdout.write(`${binary}\n`)
if (!process.argv.includes('--path')) process.exitCode = await run(binary, [join(root, 'scripts/test.mjs'), 'unit', '--no-coverage'])
