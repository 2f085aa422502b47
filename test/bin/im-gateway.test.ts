/** The command as a process: what it does with streams that are closed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'

t.test('whoever reads no further than it wants ends the command without a word', async (t) => {
  const child = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, '../../bin/im-gateway.ts'), '--help'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  t.strictSame([said, code], ['', 0])
})
