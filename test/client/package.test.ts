import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type * as Client from '../../client/src/index.ts'
import { bundleClient } from '../../scripts/lib/client-bundle.ts'

const MAX_BYTES = 5_000
const root = join(import.meta.dirname, '..', '..')

t.test(`the client is one module of less than ${MAX_BYTES} bytes gzipped, without a package in it`, async (t) => {
  const { code, inputs } = await bundleClient()
  const { length } = gzipSync(code, { level: 9 })
  t.ok(length < MAX_BYTES, `${length} bytes`)
  t.comment(`${length} bytes gzipped`)
  t.notMatch(code, /\bimport\b/)
  t.ok(inputs.every((path) => path.startsWith('client/src/') || path.startsWith('src/protocol/')), inputs.join(' '))
  const { ImClient, SendError } = await import(`data:text/javascript,${encodeURIComponent(code)}`) as typeof Client
  const error = await new ImClient({ url: 'ws://127.0.0.1:1/ws', token: () => 'a', maxWaiting: 0 }).send('bob', 'hi').catch((error: unknown) => error)
  t.ok(error instanceof SendError && error.name === 'SendError' && error.code === 'OVERLOADED', 'what was made small still works')
})

t.test('the package is a module with types and depends on nothing', async (t) => {
  const { exports, type, files, dependencies } = JSON.parse(readFileSync(join(root, 'client/package.json'), 'utf8')) as Record<string, unknown>
  t.strictSame({ exports, type, files, dependencies }, {
    exports: { types: './dist/types/client/src/index.d.ts', default: './dist/index.js' }, type: 'module', files: ['dist'], dependencies: undefined
  })
})
