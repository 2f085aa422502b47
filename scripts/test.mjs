/**
 * The test runner.
 *
 *   node scripts/test.mjs [unit|frames|security|properties|leaks|integration|deploy]... [--no-coverage] [--record] [FILE]...
 *
 * Without a suite it runs all of them but `deploy`, which needs tools that take long to build. It installs packages, generates types and, for integration tests, starts the
 * services whose addresses the environment does not give; it stops what it started. Its last line has the totals. `--record` keeps what `deploy` ran in docs/deploy-report.md.
 */
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { compileAll } from './lib/bundle.mjs'
import { checkCoverage, clearCoverage, V8_OUTPUT } from './lib/coverage.mjs'
import { prepare } from './lib/prepare.mjs'
import { fail, files, root, run } from './lib/project.mjs'
import { withServices } from './lib/services.mjs'
import { runTap } from './lib/tap.mjs'

const USUAL = ['unit', 'frames', 'security', 'properties', 'leaks', 'integration']
const SUITES = [...USUAL, 'deploy']
const DEPLOY_TOOLS = ['helm', 'kubernetes', 'prometheus', 'envoy', 'collector', 'compose']
const args = process.argv.slice(2)
const unknown = args.filter((arg) => arg.startsWith('-') && !['--no-coverage', '--record'].includes(arg))
if (unknown.length > 0) fail(`unknown option: ${unknown.join(' ')}`, 64)
const suites = SUITES.filter((suite) => args.includes(suite))
const named = args.filter((arg) => !arg.startsWith('-') && !SUITES.includes(arg)).map((path) => relative(root, path))
const absent = named.filter((path) => !existsSync(join(root, path)))
if (absent.length > 0) fail(`no such file: ${absent.join(' ')}`, 64)
// A few files are there sooner than all are compiled.
const compiled = named.length === 0
const coverage = !args.includes('--no-coverage') && compiled

await prepare()
if (compiled) await compileAll()
const totals = { passed: 0, failed: 0 }
for (const suite of suites.length > 0 ? suites : named.length > 0 ? SUITES : USUAL) {
  const paths = named.length > 0 ? named.filter((path) => suiteOf(path) === suite) : files('test', (path) => path.endsWith('.test.ts') && suiteOf(path) === suite)
  if (paths.length === 0) continue
  const started = performance.now()
  const result = await runSuite(suite, paths)
  totals.passed += result.passed
  totals.failed += result.failed
  if (suite === 'deploy' && args.includes('--record')) await record(result)
  process.stdout.write(`# ${suite}: ${result.passed} passed, ${result.failed} failed, ${paths.length} files, ${Math.round((performance.now() - started) / 1000)} s\n`)
}
if (totals.passed + totals.failed === 0) fail('no test was run')
process.stdout.write(`${totals.passed} passed, ${totals.failed} failed\n`)
process.exitCode = totals.failed === 0 ? 0 : 1

function suiteOf (path) {
  const [, folder, sub] = path.split('/')
  // Its rows are run by scripts/faults.mjs; what is tested of the harness itself is a unit.
  if (folder === 'faults' && sub !== 'harness') return 'faults'
  return SUITES.includes(folder) ? folder : 'unit'
}

async function runSuite (suite, paths) {
  // Kubernetes and Envoy: half an hour on a machine that has none of them yet.
  if (suite === 'deploy' && await run('bash', ['scripts/tools.sh', ...DEPLOY_TOOLS], { timeoutMs: 3_600_000, onLine: () => {} }) !== 0) fail('the tools could not be made')
  if (suite === 'integration' || suite === 'deploy') {
    if (await run(process.execPath, ['scripts/build.mjs'], { onLine: () => {} }) !== 0) fail('the build failed: npm run build says why')
    // Of the integration tests two at a time: they wait for services most of their time, and each that harms one has its own.
    return await withServices((env) => runTap(paths, { jobs: suite === 'deploy' ? 1 : 2, fileTimeoutS: 300, timeoutMs: 1_200_000, compiled, env }))
  }
  if (suite === 'properties') {
    const seed = process.env.FC_SEED ?? String(Math.floor(Math.random() * 2 ** 31))
    process.stdout.write(`# properties: FC_SEED=${seed} repeats this run\n`)
    return await runTap(paths, { jobs: 2, fileTimeoutS: 120, timeoutMs: 600_000, compiled, env: { FC_SEED: seed } })
  }
  if (suite === 'frames' || suite === 'security') return await runTap(paths, { jobs: 2, fileTimeoutS: 60, timeoutMs: 300_000, compiled })
  // By itself: it fills two cores, and what it measures is its own.
  if (suite === 'leaks') return await runTap(paths, { jobs: 1, fileTimeoutS: 120, timeoutMs: 300_000, compiled })
  // Three at a time on two cores: some tests wait for sockets and deadlines most of their time.
  const options = { jobs: 3, fileTimeoutS: 60, timeoutMs: 600_000, compiled }
  if (!coverage) return await runTap(paths, options)
  clearCoverage()
  const result = await runTap(paths, { ...options, env: { NODE_V8_COVERAGE: V8_OUTPUT } })
  const faults = await checkCoverage()
  for (const fault of faults) process.stdout.write(`NOT OK coverage: ${fault}\n`)
  result[faults.length === 0 ? 'passed' : 'failed'] += 1
  return result
}

async function record (result) {
  const { register } = await import('tsx/esm/api')
  const unregister = register()
  const { recordDeployment } = await import('./lib/deploy-report.ts')
  await unregister()
  recordDeployment(result)
}
