import { join } from 'node:path'
import t from 'tap'
import { EXIT_USAGE } from '../../bin/dispatch.ts'
import { checkClientCommand } from '../../conformance/command.ts'
import { REQUIREMENTS } from '../../conformance/requirements.ts'
import { SITUATIONS } from '../../conformance/run.ts'

const BAD = join(import.meta.dirname, '../helpers/bad-client.mjs')

async function run (...args: string[]): Promise<{ readonly code: number, readonly out: string, readonly err: string }> {
  let [out, err] = ['', '']
  const code = await checkClientCommand(args, { out: (text) => { out += text }, err: (text) => { err += text } })
  return { code, out, err }
}

t.test('every requirement is judged in a situation, and no situation judges what is none', async (t) => {
  const judged = new Set(SITUATIONS.flatMap(({ ids }) => ids))
  t.strictSame([...judged].sort(), Object.keys(REQUIREMENTS).filter((id) => id !== 'C-FRM-1').sort())
})

t.test('arguments that make no sense are refused with the usage', async (t) => {
  for (const [args, words] of [
    [[], /stands after --/], [['--'], /stands after --/], [['--only', 'X-', '--', 'a'], /no requirement begins with X-/],
    [['--jobs', '0', '--', 'a'], /1 to 32/], [['--jobs', 'many', '--', 'a'], /1 to 32/], [['--loud', '--', 'a'], /--loud/], [['node', 'x.js'], /Unexpected argument|positional/]
  ] as const) t.match(await run(...args), { code: EXIT_USAGE, out: '', err: words }, args.join(' '))
  t.match(await run('--help'), { code: 0, out: /^Usage: im-gateway check-client/, err: '' })
})

t.test('a report says what is kept and what is not, and the exit code follows the MUSTs', async (t) => {
  const kept = await run('--only', 'C-CON-1', '--only', 'C-CON-2', '--', process.execPath, BAD)
  t.equal(kept.code, 0)
  t.match(kept.out, /^ok {5}MUST {3}C-CON-1 offers .*\nok {5}SHOULD C-CON-2 .*\n1 of 1 MUST, 1 of 1 SHOULD\n$/)
  const broken = await run('--json', '--only', 'C-RCV-8', '--only', 'C-RCV-9', '--', process.execPath, BAD)
  t.equal(broken.code, 1)
  const verdicts = JSON.parse(broken.out) as Array<{ readonly id: string }>
  t.match(verdicts, [{ id: 'C-RCV-8', level: 'MUST', kept: false, detail: /was shown to its sender/ }, { id: 'C-RCV-9', level: 'SHOULD', kept: true }])
})

t.test('a client that is started by another process ends with it, and one that never stops talking is stopped', async (t) => {
  const before = performance.now()
  const behind = await run('--only', 'C-HBT-1', '--', 'sh', '-c', 'sleep 60 & echo "$!" >&2; exit 3')
  t.ok(performance.now() - before < 20_000, 'nobody waits for the one that was left behind')
  t.match(behind, { code: 1, out: /the client ended with 3; it said: \d+\)/ })
  for (const script of ['yes "{\\"event\\":\\"x\\"}"', 'cat /dev/zero', 'cat /dev/zero >&2']) {
    t.match(await run('--only', 'C-HBT-1', '--', 'sh', '-c', script), { code: 1, out: /the client said more than 16777216 bytes/ }, script)
  }
})

t.test('a command that cannot be started, or ends, keeps nothing, and its last words are shown', async (t) => {
  const absent = await run('--jobs', '2', '--only', 'C-HBT-1', '--', '/no/such/command')
  t.match(absent, { code: 1, out: /NOT OK MUST {3}C-HBT-1 .*ENOENT/ })
  const ended = await run('--only', 'C-HBT-1', '--', process.execPath, '-e', 'console.error("it broke"); process.exit(3)')
  t.match(ended, { code: 1, out: /\(pings: the client ended with 3; it said: it broke\)/ })
})
