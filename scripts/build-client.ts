/** Writes client/dist: the module and its types. Part of `npm run build`. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundleClient } from './lib/client-bundle.ts'

const dist = join(import.meta.dirname, '..', 'client', 'dist')
const { code } = await bundleClient()
rmSync(dist, { recursive: true, force: true })
mkdirSync(dist)
writeFileSync(join(dist, 'index.js'), code)
