/** The kit as it is packed and installed: the project's own client and the one in Python keep to everything, a bad one does not. */
import { execFile } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { REQUIREMENTS } from '../../conformance/requirements.ts'
import type { Verdict } from '../../conformance/run.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)
const BROKEN_MUSTS = [
  'C-FRM-1', 'C-SND-1', 'C-SND-2', 'C-SND-4', 'C-SND-5', 'C-SND-6', 'C-SND-8', 'C-RCV-1', 'C-RCV-2', 'C-RCV-3', 'C-RCV-4', 'C-RCV-8', 'C-END-1000', 'C-END-1002', 'C-END-1003', 'C-END-1007',
  'C-END-1008', 'C-END-1012', 'C-END-4002', 'C-END-4003', 'C-END-4401', 'C-END-4403', 'C-END-4409', 'C-END-4429', 'C-REC-2', 'C-TOK-2', 'C-TOK-3', 'C-HBT-1'
]

const folder = t.testdir({})
const { stdout: packed } = await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], { cwd: ROOT, timeout: 60_000 })
await run('tar', ['-xf', packed.trim()], { cwd: folder })
symlinkSync(join(ROOT, 'node_modules'), join(folder, 'package/node_modules'))

interface Ended { readonly code: number, readonly verdicts: readonly Verdict[] }

async function check (...command: string[]): Promise<Ended> {
  const args = [join(folder, 'package/dist/bin/im-gateway.js'), 'check-client', '--json', '--', ...command]
  const { code, stdout } = await run(process.execPath, args, { cwd: ROOT, timeout: 200_000 })
    .then(({ stdout }) => ({ code: 0, stdout }), (error: { readonly code: number, readonly stdout: string }) => error)
  return { code, verdicts: JSON.parse(stdout) as Verdict[] }
}

const broken = ({ verdicts }: Ended, level: string): string[] => verdicts.filter((verdict) => verdict.level === level && !verdict.kept).map(({ id }) => id)

// Side by side: they wait most of the time.
const [own, bad, python] = [
  check(process.execPath, 'examples/javascript/conformance.mjs'),
  check(process.execPath, 'test/helpers/bad-client.mjs'),
  run('bash', ['scripts/tools.sh', 'python'], { cwd: ROOT, timeout: 600_000 }).then(async ({ stdout: bin }) => await check(join(bin.trim(), 'python'), 'examples/python/conformance.py'))
]

t.test('the project\'s own client keeps to everything', { timeout: 240_000 }, async (t) => {
  const ended = await own
  t.strictSame(ended.verdicts.filter(({ kept }) => !kept), [])
  t.strictSame(ended.verdicts.map(({ id }) => id), Object.keys(REQUIREMENTS))
  t.equal(ended.code, 0)
})

t.test('a client that does everything wrong is found out, line by line', { timeout: 240_000 }, async (t) => {
  const ended = await bad
  t.strictSame(broken(ended, 'MUST').sort(), [...BROKEN_MUSTS].sort())
  t.equal(ended.code, 1)
})

t.test('the client in Python keeps to everything', { timeout: 900_000 }, async (t) => {
  const ended = await python
  t.strictSame(ended.verdicts.filter(({ kept }) => !kept), [])
  t.equal(ended.code, 0)
})
