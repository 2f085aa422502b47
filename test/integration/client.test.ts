/** The client as it is built, against the gateway: what its README promises. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { within } from '../../demo/client.ts'
import { demo } from '../helpers/demo-process.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const README = readFileSync(join(ROOT, 'client/README.md'), 'utf8')
const run = promisify(execFile)

/** Somebody at a terminal. */
function person (t: Test, file: string, ...names: string[]) {
  const child = spawn(process.execPath, [file, ...names], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  let text = ''
  const look = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more
    for (const each of look) each()
  })
  const shows = (line: string, times = 1): Promise<void> => within(new Promise((resolve) => {
    const each = (): void => { if (text.split('\n').filter((shown) => shown === line).length >= times) resolve() }
    look.add(each)
    each()
  }), line, 45_000)
  return { shows, types: (line: string) => { child.stdin.write(`${line}\n`) }, leaves: () => { child.stdin.end() }, ended: once(child, 'exit') }
}

t.test('the built package has types that compile and a module that runs; its README is followed to the letter, and over a restart of the gateway', { timeout: 240_000 }, async (t) => {
  const folder = t.testdir({
    'package.json': '{ "type": "module" }',
    'uses.ts': "import WebSocket from 'ws'\nimport { ImClient, SendError, type Message } from 'im-gateway-client'\nexport const other = [WebSocket, globalThis.WebSocket].map((each) => new ImClient({ url: 'ws://h/ws', token: () => '', WebSocket: each }))\nconst seen: Message[] = []\nconst client = new ImClient({ url: 'ws://h/ws', token: async () => 'a', onMessage: (message) => { seen.push(message) } })\nexport const sent: Promise<number> = client.send('bob', 'hi').then(({ sequenceNumber }) => sequenceNumber, (error: unknown) => error instanceof SendError ? -1 : -2)\n",
    'wrong.ts': "import { ImClient } from 'im-gateway-client'\nexport const client = new ImClient({ url: 'ws://h/ws', token: 5 })\n"
  })
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(join(ROOT, 'client'), join(folder, 'node_modules/im-gateway-client'))
  symlinkSync(join(ROOT, 'node_modules/ws'), join(folder, 'node_modules/ws'))
  const compile = (file: string) => run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--ignoreConfig', file], { cwd: folder })
  await compile('uses.ts')
  t.match(await compile('wrong.ts').catch((error: unknown) => error), { stdout: /wrong\.ts\(2,.*number/ })

  const ports = { WS_PORT: '0', GRPC_PORT: '0', DEMO_PORT: '0' }
  const first = demo(t, [], ports)
  await within(first.printed(/PushMessage\n/), 'welcome text', 60_000)
  const wsPort = /WebSocket +ws:\/\/127\.0\.0\.1:(\d+)/.exec(first.texts.out)?.[1] ?? ''
  const httpPort = /services +http:\/\/127\.0\.0\.1:(\d+)/.exec(first.texts.out)?.[1] ?? ''
  const [, chat = ''] = /`chat\.mjs`[^]*?```js\n([^]*?)```/.exec(README) ?? []
  const file = join(folder, 'chat.mjs')
  const there = chat.replace('127.0.0.1:8080', `127.0.0.1:${wsPort}`).replace('127.0.0.1:8081', `127.0.0.1:${httpPort}`).replace('./client/dist/index.js', join(ROOT, 'client/dist/index.js'))
  t.not(there, chat)
  writeFileSync(file, there)

  const [alice, bob] = [person(t, file, 'alice', 'bob'), person(t, file, 'bob', 'alice')]
  await Promise.all([alice.shows('(open)'), bob.shows('(open)')])
  alice.types('Hello Bob')
  await bob.shows('alice: Hello Bob')
  bob.types('Hello Alice')
  await alice.shows('bob: Hello Alice')

  first.child.kill('SIGINT')
  await within(first.ended, 'end', 20_000)
  alice.types('Still there?')
  const second = demo(t, [], { WS_PORT: wsPort, GRPC_PORT: '0', DEMO_PORT: httpPort })
  await within(second.printed(/PushMessage\n/), 'welcome text', 60_000)
  await Promise.all([alice.shows('(open)', 2), bob.shows('(open)', 2)])
  alice.types('And now?')
  await bob.shows('alice: And now?')
  const token = /export ALICE=(\S+)/.exec(second.texts.out)?.[1] ?? ''
  const history = await fetch(`http://127.0.0.1:${httpPort}/history?conversation=alice:bob`, { headers: { authorization: `Bearer ${token}` } })
  t.match(await history.json(), { messages: [{ content: 'Still there?' }, { content: 'And now?' }] }, 'what was typed while the gateway was away went first')
  bob.leaves()
  await bob.shows('(ended with 1000)')
  t.strictSame(await within(bob.ended, 'end', 10_000), [0, null])
})
