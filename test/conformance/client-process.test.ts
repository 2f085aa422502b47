import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { ClientProcess } from '../../conformance/client-process.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** A client that goes on when its input ends; as the last resort it says `late`, and ends. */
const DEAF = 'const s = require("node:net").connect(process.argv[1], "127.0.0.1"); setTimeout(() => s.end("late"), 8000)'

t.setTimeout(120_000)

/** Resolves to the connection of the client, which is open for as long as that runs. */
async function clientOf (t: Test) {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const connected = once(server, 'connection').then(([socket]) => socket as Socket)
  return { command: [process.execPath, '-e', DEAF, String((server.address() as AddressInfo).port)] as const, connected }
}

/** What the client said by its end. A reset is an end as well. */
async function lastOf (socket: Socket): Promise<string> {
  return await text(socket).catch(() => '')
}

t.test('a signal ends check-client and the client that it started', async (t) => {
  for (const signal of SIGNALS) {
    const { command, connected } = await clientOf(t)
    const child = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, '../../bin/im-gateway.ts'), 'check-client', '--only', 'C-HBT-1', '--', ...command], { stdio: 'ignore' })
    t.teardown(() => { child.kill('SIGKILL') })
    const ended = once(child, 'exit')
    const socket = await connected
    child.kill(signal)
    t.strictSame([await lastOf(socket), (await ended)[1]], ['', signal])
  }
})

t.test('a process that exits ends the client that it started', async (t) => {
  const { command, connected } = await clientOf(t)
  const script = `import { ClientProcess } from ${JSON.stringify(join(import.meta.dirname, '../../conformance/client-process.ts'))}
new ClientProcess(${JSON.stringify(command)}, {})
process.stdin.once('data', () => process.exit(7))`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { stdio: ['pipe', 'ignore', 'ignore'] })
  t.teardown(() => { child.kill('SIGKILL') })
  const ended = once(child, 'exit')
  const socket = await connected
  child.stdin.write('x')
  t.strictSame([await lastOf(socket), (await ended)[0]], ['', 7])
})

t.test('signals are listened to while a client runs, and no longer', async (t) => {
  const count = (): number[] => ['exit', ...SIGNALS].map((event) => process.listenerCount(event))
  const before = count()
  const clients = [1, 2].map(() => new ClientProcess([process.execPath, '-e', 'process.stdin.resume()'], {}))
  t.strictSame(count(), before.map((each) => each + 1), 'once for all of them')
  await clients[0]?.end()
  t.strictSame(count(), before.map((each) => each + 1))
  await clients[1]?.end()
  t.strictSame(count(), before)
})
