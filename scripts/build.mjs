/** `npm run build`: compiles what runs in production into dist/, and the client into client/dist/. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { prepare } from './lib/prepare.mjs'
import { root, run } from './lib/project.mjs'

const TSC = join(root, 'node_modules/typescript/bin/tsc')

await prepare()
rmSync(join(root, 'dist'), { recursive: true, force: true })
const steps = [[TSC, '-p', 'tsconfig.build.json']]
// The container image is built without it.
if (existsSync(join(root, 'client'))) steps.push(['--import', 'tsx', 'scripts/build-client.ts'], [TSC, '-p', 'client'])
for (const step of steps) process.exitCode ||= await run(process.execPath, step)
