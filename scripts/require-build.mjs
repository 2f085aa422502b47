/** Before `npm start`: says what is missing instead of a stack trace. It never builds: production runs what was tested. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fail, requireNode, root } from './lib/project.mjs'

requireNode()
if (!existsSync(join(root, 'dist/src/main.js'))) fail('dist/ is missing: run `npm ci --ignore-scripts && npm run build` first')
