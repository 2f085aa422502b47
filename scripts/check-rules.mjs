/**
 * `npm run check:rules`: each rule of docs/behaviour.md must be cited in the code that keeps it, in the name of a test
 * that shows it, and in the table of mutations that shows that test red. `--list` prints where.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail, files, root } from './lib/project.mjs'

const ID = /GW-[A-Z]{3}-\d+/g
const RULE = /^- \[(GW-[A-Z]{3}-\d+)\]/gm
/** The title of a test: the first argument of a call like `t.test('…')`, `test("…")`, the second of a row of faults; `t.rejects(…)` has none. */
const TEST_NAME = /\b(?:test\(\s*|row\('\w+',\s*)(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g

const read = (path) => readFileSync(join(root, path), 'utf8')

const rules = [...read('docs/behaviour.md').matchAll(RULE)].map((match) => match[1])
if (rules.length === 0) fail('docs/behaviour.md names no rule')

const code = citations(['src', 'plugins', 'routes'].flatMap((folder) => files(folder, isSource)), (text) => text)
const tests = citations(files('test', (path) => path.endsWith('.test.ts')), (text) => [...text.matchAll(TEST_NAME)].map((match) => match[1] ?? match[2] ?? match[3]).join('\n'))
const mutations = citations(files('test/mutations', (path) => path.endsWith('.json')), (text) => JSON.parse(text).map((mutation) => mutation.id).join('\n'))

const faults = []
for (const id of rules) {
  if (!code.has(id)) faults.push(`[${id}] is cited nowhere in src, plugins, routes`)
  if (!tests.has(id)) faults.push(`[${id}] is in the name of no test`)
  if (!mutations.has(id)) faults.push(`[${id}] has no mutation in test/mutations`)
}
for (const [id, paths] of [...code, ...tests, ...mutations]) {
  if (!rules.includes(id)) faults.push(`[${id}] in ${paths.join(', ')} is no rule of docs/behaviour.md`)
}
for (const id of new Set(rules.filter((id, i) => rules.indexOf(id) !== i))) faults.push(`[${id}] stands twice in docs/behaviour.md`)

if (process.argv.includes('--list')) {
  for (const id of rules) process.stdout.write(`${id}\n  code:  ${code.get(id)?.join(' ') ?? '-'}\n  tests: ${tests.get(id)?.join(' ') ?? '-'}\n`)
}
for (const fault of faults) process.stdout.write(`NOT OK ${fault}\n`)
process.stdout.write(`rules: ${rules.length} to keep, ${faults.length} faults\n`)
process.exitCode = faults.length === 0 ? 0 : 1

function isSource (path) {
  return path.endsWith('.ts') && !path.startsWith('src/generated/')
}

/** The ids found in each file's `part`, with the files that have them. */
function citations (paths, part) {
  const found = new Map()
  for (const path of paths) {
    for (const [id] of part(read(path)).matchAll(ID)) {
      const list = found.get(id)
      if (list === undefined) found.set(id, [path])
      else if (!list.includes(path)) list.push(path)
    }
  }
  return found
}
