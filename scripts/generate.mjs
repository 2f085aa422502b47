/** `npm run generate`: writes src/generated from proto/. */
import { prepareGenerated, prepareModules } from './lib/prepare.mjs'

await prepareModules()
await prepareGenerated({ force: true })
