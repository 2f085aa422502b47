import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ownEnvironment, testProject } from '../../helpers/script-project.ts'

/** What is printed of these files, and what comes of them. */
function run (t: Test, files: Readonly<Record<string, string>>): { readonly printed: string, readonly totals: object } {
  const folder = testProject(t, files)
  const paths = Object.keys(files).map((name) => join(folder, name))
  const code = `import { runTap } from ${JSON.stringify(join(folder, 'scripts/lib/tap.mjs'))}
const totals = await runTap(${JSON.stringify(paths)}, { jobs: 1, fileTimeoutS: 20, timeoutMs: 40_000 })
process.stdout.write('\\nTOTALS ' + JSON.stringify(totals))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], { env: ownEnvironment(), encoding: 'utf8', timeout: 50_000 })
  const [printed = '', totals = '{}'] = stdout.split('\nTOTALS ')
  return { printed, totals: JSON.parse(totals) as object }
}

const FINE = "import t from 'tap'\nt.test('is fine', async (t) => { t.ok(true) })\n"

t.test('a file whose process ends badly is shown with how it ended, though all of its tests passed; one that passes is one line', async (t) => {
  const { printed, totals } = run(t, { 'a.test.mjs': `${FINE}process.on('exit', () => { process.exitCode = 3 })\n`, 'b.test.mjs': FINE })
  t.match(printed, /NOT OK \S*a\.test\.mjs \d+ ms\n {2}---\n[^]*\n {2}exitCode: 3\n[^]* {2}\.\.\.\nok \S*b\.test\.mjs \d+ ms\n$/)
  t.match(totals, { passed: 2, failed: 1, files: [{ ok: false, tests: [{ name: 'is fine', ok: true }] }, { ok: true, tests: [{ name: 'is fine', ok: true }] }] })
})
