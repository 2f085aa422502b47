/** Runs test files by tap and prints one line for each, the whole output only of those that fail. */
import { join, relative } from 'node:path'
import { COMPILED } from './bundle.mjs'
import { root, run } from './project.mjs'

const TAP = join(root, 'node_modules/tap/dist/esm/run.mjs')
const OF_COMPILED = `${relative(root, COMPILED)}/`
const FILE_END = /^(ok|not ok) \d+ - (.+?)(?: # time=([\d.]+)(m?s))?(?: \{)?$/
// Of a whole test, at any depth; an assertion has no time.
const TEST_END = /^ {4,}(ok|not ok) \d+ - (.+?) # time=([\d.]+)(m?s)(?: \{)?$/
const TOTALS = /^# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?(?:, skip: (\d+))?(?:, todo: (\d+))? \}$/

/**
 * `jobs`: files at a time. `fileTimeoutS`: for one file. `compiled`: what `compileAll` wrote is run in place of the files. Resolves to the assertions that passed
 * and failed, and to the files with the names of their tests; a runner that ended badly without saying why counts as one failure.
 */
export async function runTap (paths, { jobs, fileTimeoutS, timeoutMs, compiled = false, env = {} }) {
  const totals = { passed: 0, failed: 0, files: [] }
  let block = []
  let tests = []
  let isDiagnosis = false
  const onLine = (line) => {
    const end = FILE_END.exec(line)
    const sums = TOTALS.exec(line)
    if (isDiagnosis || (line === '  ---' && block.length === 0)) {
      // Behind the line of a file that failed: how its process ended.
      isDiagnosis = line !== '  ...'
      process.stdout.write(`${line}\n`)
    } else if (sums) {
      totals.passed += Number(sums[2] ?? 0)
      // Skipped and to-do assertions are tests that did not run: here they count as failures.
      totals.failed += Number(sums[3] ?? 0) + Number(sums[4] ?? 0) + Number(sums[5] ?? 0)
    } else if (end) {
      const ok = end[1] === 'ok'
      if (!ok) process.stdout.write(`${block.join('\n')}\n`)
      const path = sourceOf(end[2])
      const time = end[3] === undefined ? '' : ` ${millisecondsOf(end[3], end[4])} ms`
      process.stdout.write(`${ok ? 'ok' : 'NOT OK'} ${path}${time}\n`)
      totals.files.push({ path, ok, tests })
      block = []
      tests = []
    } else {
      const test = TEST_END.exec(line)
      if (test) tests.push({ name: test[2], ok: test[1] === 'ok', ms: millisecondsOf(test[3], test[4]) })
      block.push(line)
    }
  }
  // What .taprc says of a loader is for files that need one.
  const given = compiled ? ['--node-arg=--enable-source-maps', ...paths.map((path) => join(COMPILED, path.replace(/\.ts$/, '.js')))] : paths
  const code = await run(process.execPath, [TAP, '--reporter=tap', `--jobs=${jobs}`, `--timeout=${fileTimeoutS}`, ...given], { env: compiled ? { ...env, COMPILED_DIR: COMPILED } : env, timeoutMs, onLine })
  if (code !== 0 && totals.failed === 0) {
    process.stdout.write(`${block.join('\n')}\ntap ended with code ${code}\n`)
    totals.failed = 1
  }
  return totals
}

function sourceOf (path) {
  return path.startsWith(OF_COMPILED) ? path.slice(OF_COMPILED.length).replace(/\.js$/, '.ts') : path
}

function millisecondsOf (number, unit) {
  return Math.round(Number(number) * (unit === 's' ? 1000 : 1))
}
