import t from 'tap'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { freePort } from '../helpers/free-port.ts'
import { startRehearsalWorld } from '../helpers/rehearsal-world.ts'
import { nodeArgs } from '../../demo/node-args.ts'

const root = join(import.meta.dirname, '..', '..')
const SECRET = 'a secret of thirty-two bytes or more'

function run (...args: string[]): Promise<{ readonly code: number, readonly stdout: string, readonly stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [...nodeArgs('rehearse/main.ts'), ...args], { cwd: root, timeout: 50_000 }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr })
    })
    child.stdin?.end()
  })
}

t.test('nothing is done without an address, a token and, for another machine, a yes', async (t) => {
  const folder = t.testdir({ key: SECRET, short: 'short' })
  const [none, remote, short, away, help] = await Promise.all([
    run('--secret-file', `${folder}/key`),
    run('--url', 'ws://192.0.2.1/ws', '--secret-file', `${folder}/key`),
    run('--url', 'ws://127.0.0.1/ws', '--secret-file', `${folder}/short`),
    run('--url', `ws://127.0.0.1:${await freePort()}/ws`, '--secret-file', `${folder}/key`),
    run('--help')
  ])
  t.match(none, { code: 2, stdout: '', stderr: /there is no default\n\nUsage: / })
  t.match(remote, { code: 2, stdout: '', stderr: /^Against ws:\/\/192\.0\.2\.1\/ws, as users .*\nrefused: this is another machine, and nobody said yes\n$/s })
  t.match(short, { code: 2, stderr: /--secret-file: the secret is shorter than 32 bytes/ })
  t.match(away, { code: 2, stdout: '', stderr: /refused: the first client, rehearse-0, was not welcomed: no answer\n$/ })
  t.match(help, { code: 0, stdout: /^Usage: /, stderr: '' })
})

t.test('the outcome is the exit code, and the report goes to stdout', async (t) => {
  const world = await startRehearsalWorld(t)
  const { url } = await world.startGateway('n1')
  const folder = t.testdir({ key: String(world.gatewayEnv['JWT_SECRET']) })
  for (const name of ['0', '1']) world.users.addUser(`rehearse-${name}`)
  const args = ['--url', url, '--secret-file', `${folder}/key`, '--connections', '2', '--rate', '5', '--steps', '1', '--step-time', '1', '--settle-within', '1000']
  const [kept, broken] = [await run(...args, '--json', '--seed', '7'), await run(...args, '--users', 'nobody-')]
  t.equal(kept.code, 0, kept)
  t.match(JSON.parse(kept.stdout), { seed: 7, isKept: true, isFinished: true, capacity: { connections: 2, messagesPerSecond: 5 } })
  t.match(broken, { code: 1, stdout: /broken: every message is accepted in time .*\n.*: RECIPIENT_NOT_FOUND\n(.*\n)*a promise was broken\n$/ })
})
