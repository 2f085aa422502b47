/** The command as a process: what it does with streams that are closed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { EXIT_USAGE } from '../../bin/dispatch.ts'

function start (...args: string[]) {
  return spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, '../../bin/im-gateway.ts'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
}

t.test('whoever reads no further than it wants has no word of it, and the exit code is that of the command', async (t) => {
  for (const [args, expected] of [[['--help'], 0], [['--json'], EXIT_USAGE]] as const) {
    const child = start(...args)
    child.stdout.destroy()
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
    t.strictSame([said, code], ['', expected])
  }
})

t.test('a closed stderr changes no exit code', async (t) => {
  const child = start('no-such-command')
  child.stderr.destroy()
  t.strictSame(await once(child, 'exit'), [EXIT_USAGE, null])
})
