/** The client as browsers and Node load it: one ES module that imports nothing. */
import { build } from 'esbuild'
import { join } from 'node:path'

export async function bundleClient (): Promise<{ readonly code: string, readonly inputs: readonly string[] }> {
  const { outputFiles: [file], metafile } = await build({
    absWorkingDir: join(import.meta.dirname, '..', '..'),
    entryPoints: ['client/src/index.ts'],
    outfile: 'client/dist/index.js',
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    metafile: true,
    write: false
  })
  return { code: file?.text ?? '', inputs: Object.keys(metafile.inputs).sort() }
}
