/** Both programs of docs/write-a-client.md keep every MUST and SHOULD of the conformance kit. */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import type { Verdict } from '../../conformance/run.ts'

t.setTimeout(290_000)

const ROOT = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)
const guide = readFileSync(join(ROOT, 'docs/write-a-client.md'), 'utf8')
const programOf = (language: string): string => [...guide.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, found]) => found === language).map(([, , text = '']) => text).join('\n')

async function faultsOf (...command: string[]): Promise<Verdict[]> {
  const { stdout } = await run(process.execPath, ['--import', 'tsx', 'bin/im-gateway.ts', 'check-client', '--json', '--', ...command], { cwd: ROOT, timeout: 200_000 })
    .catch((error: { readonly stdout: string }) => error)
  const verdicts = JSON.parse(stdout) as Verdict[]
  t.ok(verdicts.length > 0)
  return verdicts.filter(({ kept }) => !kept)
}

t.test('the TypeScript of the guide keeps to everything', async (t) => {
  const path = join(t.testdir({}), 'client.mjs')
  const begin = 'export function begin (given: Surroundings): Promise<void> { around = given; return connect() }\nexport { send, close }\n'
  writeFileSync(path, ts.transpileModule(`${programOf('ts')}\n${begin}`, { compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext } }).outputText)
  t.strictSame(await faultsOf(process.execPath, 'test/helpers/guide-client.mjs', path), [])
})

t.test('the Python of the guide keeps to everything', async (t) => {
  const { stdout: bin } = await run('bash', ['scripts/tools.sh', 'python'], { cwd: ROOT, timeout: 200_000 })
  const path = join(t.testdir({}), 'client.py')
  writeFileSync(path, programOf('python'))
  t.strictSame(await faultsOf(join(bin.trim(), 'python'), 'test/helpers/guide-client.py', path), [])
})
