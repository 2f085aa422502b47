/** The chat page's files, made from demo/page when the demo starts. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

export interface Asset { readonly type: string, readonly body: string }

const FOLDER = join(import.meta.dirname, 'page')

/** By path. Rejects where the page's code cannot be bundled. */
export async function buildPage (): Promise<ReadonlyMap<string, Asset>> {
  const text = (name: string): Promise<string> => readFile(join(FOLDER, name), 'utf8')
  const [script, html, css, icon] = await Promise.all([bundle(), text('index.html'), text('page.css'), text('icon.svg')])
  return new Map([
    ['/', { type: 'text/html; charset=utf-8', body: html }],
    ['/page.js', { type: 'text/javascript; charset=utf-8', body: script }],
    ['/page.css', { type: 'text/css; charset=utf-8', body: css }],
    ['/icon.svg', { type: 'image/svg+xml', body: icon }]
  ])
}

/** One module, with the client and the chart library in it. */
async function bundle (): Promise<string> {
  const { outputFiles: [file] } = await build({
    absWorkingDir: FOLDER,
    entryPoints: ['main.tsx'],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    minify: true,
    legalComments: 'none',
    logLevel: 'silent',
    write: false
  })
  return file?.text ?? ''
}
