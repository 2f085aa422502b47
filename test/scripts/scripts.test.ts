import t from 'tap'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ownEnvironment, scriptProject, testProject } from '../helpers/script-project.ts'

const root = join(import.meta.dirname, '..', '..')

function run (folder: string, ...args: string[]): { readonly code: number | null, readonly output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, env: ownEnvironment(), encoding: 'utf8', timeout: 50_000 })
  return { code: status, output: stdout + stderr }
}

// In pieces, or this file itself would cite them.
const [ONE, TWO, NONE] = ['CON-1', 'CON-2', 'CON-9'].map((id) => `GW-${id}`) as [string, string, string]
const RULES = `# Rules\n\n- [${ONE}] One.\n- [${TWO}] Two.\n`
const ROW = (id: string): string => `{ "id": "${id}", "file": "src/a.ts", "find": "a", "replace": "b", "test": "test/a.test.ts" }`

t.test('The rules pass when each has code, a test and a mutation, and fail by name where one is missing', async (t) => {
  const whole = {
    'docs/behaviour.md': RULES,
    'src/a.ts': `// [${ONE}]\n`,
    'plugins/b.ts': `/** [${TWO}] */\n`,
    'test/a.test.ts': `t.test('[${ONE}] works', async () => {})\nt.test("it works [${TWO}]", async () => {})\n`,
    'test/mutations/all.json': `[${ROW(ONE)}, ${ROW(TWO)}]`
  }
  t.equal(run(scriptProject(t, whole), 'scripts/check-rules.mjs').code, 0)

  const cases: [string, Record<string, string>, string][] = [
    ['no code', { 'plugins/b.ts': '' }, `[${TWO}] is cited nowhere`],
    ['generated code alone', { 'plugins/b.ts': '', 'src/generated/c.ts': `// [${TWO}]\n` }, `[${TWO}] is cited nowhere`],
    ['no test', { 'test/a.test.ts': `t.test('[${ONE}] works', async () => {})\n` }, `[${TWO}] is in the name of no test`],
    ['a comment in a test alone', { 'test/a.test.ts': `t.test('[${ONE}] works', async () => {})\n// [${TWO}]\n` }, `[${TWO}] is in the name of no test`],
    ['no mutation', { 'test/mutations/all.json': `[${ROW(ONE)}]` }, `[${TWO}] has no mutation`],
    ['a rule that does not exist', { 'src/a.ts': `// [${ONE}] [${NONE}]\n` }, `[${NONE}] in src/a.ts is no rule`],
    ['a rule that stands twice', { 'docs/behaviour.md': `${RULES}- [${ONE}] Again.\n` }, `[${ONE}] stands twice`],
    ['no rules', { 'docs/behaviour.md': '' }, 'names no rule']
  ]
  for (const [name, change, words] of cases) {
    const { code, output } = run(scriptProject(t, { ...whole, ...change }), 'scripts/check-rules.mjs')
    t.equal(code, 1, name)
    t.ok(output.includes(words), name, { output })
  }
})

t.test('The start without a build says what to do', async (t) => {
  const { code, output } = run(scriptProject(t, {}), 'scripts/require-build.mjs')
  t.equal(code, 1)
  t.match(output, /npm run build/)
  t.equal(run(scriptProject(t, { 'dist/src/main.js': '' }), 'scripts/require-build.mjs').code, 0)
})

t.test('The start command is replaced by node, so that a signal to npm reaches the gateway', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly scripts: Record<string, string> }
  t.equal(scripts['start'], 'exec node dist/src/main.js')
})

interface Component { readonly 'bom-ref': string, readonly type: string, readonly name: string, readonly version: string, readonly purl: string, readonly licenses: ReadonlyArray<{ readonly license?: { readonly id: string }, readonly expression?: string }>, readonly hashes: readonly object[] }
interface Bom { readonly bomFormat: string, readonly specVersion: string, readonly serialNumber: string, readonly version: number, readonly metadata: { readonly timestamp: string, readonly component: Component }, readonly components: readonly Component[], readonly dependencies: ReadonlyArray<{ readonly ref: string, readonly dependsOn: readonly string[] }> }

t.test('The bill of materials names every production package with version, purl, licence and checksum, in the form of CycloneDX', async (t) => {
  const file = join(t.testdir({}), 'made', 'sbom.json')
  t.match(run(root, 'scripts/sbom.mjs', file), { code: 0, output: /: \d+ packages\n$/ })
  const bom = JSON.parse(readFileSync(file, 'utf8')) as Bom
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { readonly packages: Record<string, { readonly version: string, readonly dev?: boolean, readonly link?: boolean }> }
  const locked = Object.entries(packages).filter(([path, { dev, link }]) => path.startsWith('node_modules/') && dev !== true && link !== true)
  const wanted = new Set(locked.map(([path, { version }]) => `${path.split('node_modules/').at(-1) ?? ''}@${version}`))
  t.same(bom.components.map((component) => component['bom-ref']).sort(), [...wanted].sort())
  for (const { 'bom-ref': ref, type, name, version, purl, licenses, hashes } of bom.components) {
    t.equal(ref, `${name}@${version}`)
    t.equal(purl, `pkg:npm/${name.replace('@', '%40')}@${version}`)
    t.equal(type, 'library', ref)
    t.ok(licenses.length > 0 && licenses.every(({ license, expression }) => license?.id ?? expression), `${ref} has a licence`)
    t.match(hashes, [{ alg: 'SHA-512', content: /^[0-9a-f]{128}$/ }], ref)
  }
  // What https://cyclonedx.org/docs/1.5/json/ requires, and the forms that it gives.
  t.match(bom, { bomFormat: 'CycloneDX', specVersion: '1.5', version: 1, serialNumber: /^urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/ })
  t.match(bom.metadata.component, { type: 'application', name: 'im-gateway', 'bom-ref': /^im-gateway@/ })
  t.ok(Date.parse(bom.metadata.timestamp) > 0)
  const refs = new Set([bom.metadata.component['bom-ref'], ...wanted])
  t.equal(refs.size, bom.components.length + 1, 'each is named once')
  t.same(bom.dependencies.map(({ ref }) => ref).sort(), [...refs].sort())
  t.same(bom.dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !refs.has(ref)), [])
})

t.test('Licences that nobody has allowed are refused by the names of their packages, those of tools are nobody\'s business', async (t) => {
  const entry = (name: string, facts: object): [string, object] => [`node_modules/${name}`, { version: '1.0.0', resolved: `https://registry.npmjs.org/${name}/-/${name}-1.0.0.tgz`, ...facts }]
  const dependencies = { fine: '1.0.0', both: '1.0.0', copyleft: '1.0.0', half: '1.0.0', unknown: '1.0.0' }
  const lock = { name: 'a', version: '1.0.0', lockfileVersion: 3, requires: true }
  const own = { name: 'a', version: '1.0.0', dependencies, devDependencies: { tool: '1.0.0' } }
  const packages = Object.fromEntries([
    ['', own], entry('fine', { license: 'MIT' }), entry('both', { license: '(Apache-2.0 AND BSD-3-Clause)' }), entry('copyleft', { license: 'GPL-3.0-only' }),
    entry('half', { license: '(MIT AND AGPL-3.0-only)' }), entry('unknown', {}), entry('tool', { license: 'GPL-3.0-only', dev: true })
  ])
  const folder = scriptProject(t, { 'package.json': JSON.stringify(own), 'package-lock.json': JSON.stringify({ ...lock, packages }) })
  const { code, output } = run(folder, 'scripts/sbom.mjs')
  t.equal(code, 1)
  t.same(output.trim().split('\n').slice(1).sort(), ['copyleft@1.0.0: GPL-3.0-only', 'half@1.0.0: (MIT AND AGPL-3.0-only)', 'unknown@1.0.0: none'])
})

t.test('The test runner counts, shows what failed and takes a skipped test for a failed one', async (t) => {
  const folder = testProject(t, {
    'good.test.ts': "import t from 'tap'\nt.test('fine', async (t) => { t.equal(1, 1); t.equal(2, 2) })\n",
    'bad.test.ts': "import t from 'tap'\nt.test('a sum that is wrong', async (t) => { t.equal(1 + 1, 3); t.ok(true) })\n",
    'skipped.test.ts': "import t from 'tap'\nt.test('not today', { skip: true }, async () => {})\nt.ok(true)\n",
    'broken.test.ts': 'export {}\nthrow new Error("it did not load")\n'
  })
  const test = (...names: string[]): ReturnType<typeof run> => run(folder, 'scripts/test.mjs', 'unit', ...names.map((name) => join(folder, name)))
  const all = test('good.test.ts', 'bad.test.ts', 'skipped.test.ts', 'broken.test.ts')
  t.equal(all.code, 1)
  t.match(all.output, /a sum that is wrong/)
  t.match(all.output, /it did not load/)
  t.match(all.output, /\n4 passed, 3 failed\n/)
  t.match(run(folder, 'scripts/test.mjs', 'unti'), { code: 64, output: /no such file: unti/ })
  t.match(run(folder, 'scripts/test.mjs', '--fast'), { code: 64, output: /unknown option: --fast/ })
})
