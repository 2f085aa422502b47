/** `npm run rehearse`: installs what is missing, then runs rehearse/main.ts in this very process, so that signals and the exit code are its own. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { prepare } from './lib/prepare.mjs'
import { root } from './lib/project.mjs'

await prepare()
const main = join(root, 'rehearse/main.ts')
process.argv[1] = main
const { register } = await import('tsx/esm/api')
register()
await import(pathToFileURL(main).href)
