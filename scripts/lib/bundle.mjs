/** TypeScript of ours as JavaScript: a test starts in a third of the time that it takes with a loader. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { files, root } from './project.mjs'

const COMMON = { bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', sourcemap: 'inline', logLevel: 'silent' }
/** Where `compileAll` writes. */
export const COMPILED = join(root, '.cache/js')
const SOURCES = ['bench', 'bin', 'client', 'conformance', 'demo', 'plugins', 'rehearse', 'routes', 'scripts', 'src', 'test']

/** Each file goes on finding what lies beside it. */
const ownPlaces = {
  name: 'own-places',
  setup (bundle) {
    bundle.onLoad({ filter: /\.tsx?$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      return {
        contents: source.replaceAll('import.meta.dirname', () => JSON.stringify(dirname(path))).replaceAll('import.meta.url', () => JSON.stringify(pathToFileURL(path).href)),
        loader: path.endsWith('x') ? 'tsx' : 'ts'
      }
    })
  }
}

/** A module stays one: it imports the compiled ones beside it, and what is no TypeScript where that is. */
const oneByOne = {
  name: 'one-by-one',
  setup (bundle) {
    bundle.onResolve({ filter: /^\.{1,2}\// }, ({ kind, path, resolveDir }) => {
      if (kind === 'entry-point') return undefined
      const file = resolve(resolveDir, path)
      // What is generated names the result, not the source.
      const isOurs = /\.tsx?$/.test(path) || existsSync(file.replace(/\.js$/, '.ts'))
      return { external: true, path: isOurs ? path.replace(/\.tsx?$/, '.js') : pathToFileURL(file).href }
    })
  }
}

/** Writes a file and all of ours that it imports as one module, which finds packages from where `outfile` is. Rejects where one of them is no TypeScript. */
export async function bundleTo (outfile, path) {
  await build({ ...COMMON, keepNames: true, entryPoints: [path], outfile, plugins: [ownPlaces] })
}

/** Writes all of ours to `COMPILED`, file by file, over what is there: another run may be using it. Rejects where one of them is no TypeScript. */
export async function compileAll () {
  const entryPoints = SOURCES.flatMap((folder) => files(folder, (path) => /(?<!\.d)\.tsx?$/.test(path)))
  const outputs = new Set(entryPoints.map((path) => path.replace(/\.tsx?$/, '.js')))
  // What has no source any more would still be found.
  for (const path of existsSync(COMPILED) ? readdirSync(COMPILED, { recursive: true }) : []) if (path.endsWith('.js') && !outputs.has(path)) rmSync(join(COMPILED, path))
  await build({ ...COMMON, absWorkingDir: root, entryPoints, outdir: COMPILED, outbase: root, plugins: [ownPlaces, oneByOne] })
}
