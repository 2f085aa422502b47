import { join, relative, resolve } from 'node:path'

const ROOT = join(import.meta.dirname, '..')

/**
 * What node is given to run a TypeScript file of this project (its path, absolute or from the root): what scripts/test.mjs compiled of it
 * where that says so in COMPILED_DIR, else the file itself with a loader, as a clone without a build runs it.
 */
export function nodeArgs (path: string): string[] {
  const file = resolve(ROOT, path)
  const compiled = process.env['COMPILED_DIR']
  return compiled === undefined ? ['--import', 'tsx', file] : ['--enable-source-maps', join(compiled, relative(ROOT, file).replace(/\.ts$/, '.js'))]
}
