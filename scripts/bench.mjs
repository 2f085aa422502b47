/** `npm run bench -- NAME`: runs bench/NAME.ts. */
import { join } from 'node:path'
import { prepare } from './lib/prepare.mjs'
import { fail, files, root, run } from './lib/project.mjs'

const [name = ''] = process.argv.slice(2)
const path = join(root, 'bench', `${name}.ts`)
const names = files('bench', (file) => file.endsWith('.ts')).map((file) => file.slice('bench/'.length, -'.ts'.length)).filter((file) => file !== 'node' && file !== 'world')
if (!names.includes(name)) fail(`npm run bench -- ${names.join(' | ')}`, 64)
await prepare()
process.exitCode = await run(process.execPath, ['--import', 'tsx', path])
