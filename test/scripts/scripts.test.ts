import t, { type Test } from 'tap'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

/** A folder with the project's scripts and the given files. */
function project (t: Test, files: Readonly<Record<string, string>>): string {
  const folder = t.testdir({})
  cpSync(join(root, 'scripts'), join(folder, 'scripts'), { recursive: true })
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

function run (folder: string, ...args: string[]): { readonly code: number | null, readonly output: string } {
  // What tells a child of tap that it is one must not reach the tap that a script starts.
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TAP|_TAP)/.test(name)))
  // Left out, Node would hand it on to its children all the same.
  const env = { ...own, NODE_V8_COVERAGE: '' }
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8', timeout: 50_000 })
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
  t.equal(run(project(t, whole), 'scripts/check-rules.mjs').code, 0)

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
    const { code, output } = run(project(t, { ...whole, ...change }), 'scripts/check-rules.mjs')
    t.equal(code, 1, name)
    t.ok(output.includes(words), name, { output })
  }
})

t.test('The start without a build says what to do', async (t) => {
  const { code, output } = run(project(t, {}), 'scripts/require-build.mjs')
  t.equal(code, 1)
  t.match(output, /npm run build/)
  t.equal(run(project(t, { 'dist/src/main.js': '' }), 'scripts/require-build.mjs').code, 0)
})

t.test('The start command is replaced by node, so that a signal to npm reaches the gateway', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly scripts: Record<string, string> }
  t.equal(scripts['start'], 'exec node dist/src/main.js')
})

t.test('The test runner counts, shows what failed and takes a skipped test for a failed one', async (t) => {
  const folder = t.testdir({
    'good.test.ts': "import t from 'tap'\nt.test('fine', async (t) => { t.equal(1, 1); t.equal(2, 2) })\n",
    'bad.test.ts': "import t from 'tap'\nt.test('a sum that is wrong', async (t) => { t.equal(1 + 1, 3); t.ok(true) })\n",
    'skipped.test.ts': "import t from 'tap'\nt.test('not today', { skip: true }, async () => {})\nt.ok(true)\n",
    'broken.test.ts': 'export {}\nthrow new Error("it did not load")\n'
  })
  const test = (...names: string[]): ReturnType<typeof run> => run(root, 'scripts/test.mjs', 'unit', ...names.map((name) => join(folder, name)))
  const all = test('good.test.ts', 'bad.test.ts', 'skipped.test.ts', 'broken.test.ts')
  t.equal(all.code, 1)
  t.match(all.output, /a sum that is wrong/)
  t.match(all.output, /it did not load/)
  t.match(all.output, /\n4 passed, 3 failed\n/)
  t.match(run(root, 'scripts/test.mjs', 'unti'), { code: 64, output: /no such file: unti/ })
  t.match(run(root, 'scripts/test.mjs', '--fast'), { code: 64, output: /unknown option: --fast/ })
})
