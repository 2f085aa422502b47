// Resolves src/app.ts to the fake beside this file; given to node by --import.
import { register } from 'node:module'

const fake = new URL('./fake-app.ts', import.meta.url).href
const hook = `export async function resolve (name, context, next) {
  return name === './app.ts' && /\\/src\\/(main|worker)\\.ts$/.test(context.parentURL) ? next(${JSON.stringify(fake)}, context) : next(name, context)
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)
