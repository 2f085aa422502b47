import { execFile } from 'node:child_process'
import t from 'tap'
import { nodeArgs } from '../../../demo/node-args.ts'

t.test('a fatal line comes after those that are still being written', async (t) => {
  const out = await new Promise<string>((resolve) => {
    execFile(process.execPath, nodeArgs('test/helpers/last-lines.ts'), { env: { ...process.env, UV_THREADPOOL_SIZE: '1' } }, (_error, stdout) => { resolve(stdout) })
  })
  t.same(out.trim().split('\n').map((line) => JSON.parse(line).msg), ['first', 'last'])
})
