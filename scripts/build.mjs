/** `npm run build`: compiles what runs in production into dist/. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { prepare } from './lib/prepare.mjs'
import { root, run } from './lib/project.mjs'

await prepare()
rmSync(join(root, 'dist'), { recursive: true, force: true })
process.exitCode = await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'])
