/** Branch coverage of src/, from what V8 wrote while the unit tests ran. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { COMPILED } from './bundle.mjs'
import { files, root, run } from './project.mjs'

/** Least branch coverage of src/ as a whole, in percent. */
const LEAST_BRANCH_PERCENT = 95

const REPORT = join(root, 'coverage')
export const V8_OUTPUT = join(root, '.cache/v8-coverage')

export function clearCoverage () {
  rmSync(V8_OUTPUT, { recursive: true, force: true })
  mkdirSync(V8_OUTPUT, { recursive: true })
}

/** Of what V8 wrote, most is of packages: c8 takes a minute to pass over it. */
function keepSources () {
  const sources = String(pathToFileURL(join(COMPILED, 'src/')))
  for (const name of readdirSync(V8_OUTPUT)) {
    const path = join(V8_OUTPUT, name)
    const { result, 'source-map-cache': maps = {}, ...rest } = JSON.parse(readFileSync(path, 'utf8'))
    writeFileSync(path, JSON.stringify({
      ...rest,
      result: result.filter(({ url }) => url.startsWith(sources)),
      'source-map-cache': Object.fromEntries(Object.entries(maps).filter(([url]) => url.startsWith(sources)))
    }))
  }
}

/** Writes coverage/ (text on stdout, lcov for editors) and resolves to the faults found: none means that all is well. */
export async function checkCoverage () {
  keepSources()
  const code = await run(process.execPath, [join(root, 'node_modules/c8/bin/c8.js'), 'report',
    '--temp-directory', V8_OUTPUT, '--reports-dir', REPORT, '--all', '--src', 'src', '--exclude-after-remap',
    '--include', 'src/**', '--exclude', 'src/generated/**',
    '--reporter', 'text', '--reporter', 'json-summary', '--reporter', 'lcovonly'])
  if (code !== 0) return [`c8 ended with code ${code}`]
  const summary = JSON.parse(readFileSync(join(REPORT, 'coverage-summary.json'), 'utf8'))
  const branches = summary.total.branches
  process.stdout.write(`branch coverage of src/: ${branches.pct} % (${branches.covered} of ${branches.total})\n`)
  const faults = []
  if (branches.pct < LEAST_BRANCH_PERCENT) faults.push(`branch coverage of src/ is ${branches.pct} %, at least ${LEAST_BRANCH_PERCENT} % is asked for`)
  for (const path of await filesWithoutTest(summary)) faults.push(`${path} was loaded by no unit test`)
  return faults
}

/** A file that nothing loaded has one "branch" for c8, however long it is: it must be named, or its weight is lost. */
async function filesWithoutTest (summary) {
  const { default: ts } = await import('typescript')
  const sources = files('src', (path) => path.endsWith('.ts') && !path.startsWith('src/generated/'))
  return sources.filter((path) => {
    const covered = summary[join(root, path)]
    if (covered !== undefined && covered.lines.covered > 0) return false
    const { outputText } = ts.transpileModule(readFileSync(join(root, path), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, removeComments: true, verbatimModuleSyntax: true }
    })
    return outputText.replace('export {};', '').trim() !== ''
  })
}
