// Resolves src/app.ts (compiled: src/app.js) to the fake in this folder; given to node by --import.
import { register } from 'node:module'

const hook = `export async function resolve (name, context, next) {
  const main = /\\/src\\/(main|worker)\\.(ts|js)$/.exec(context.parentURL)
  return main !== null && name === './app.' + main[2] ? next(new URL('../test/helpers/fake-app.' + main[2], context.parentURL).href, context) : next(name, context)
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)

// An error in the primary that nobody catches, when the test says so.
if (process.env.FAKE === 'primary-throws' && !process.argv.includes('--worker')) process.on('SIGWINCH', () => { throw new Error('unexpected') })
