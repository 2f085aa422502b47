import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { freePort } from '../helpers/free-port.ts'
import { nodeArgs } from '../../demo/node-args.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const ADDRESSES = {
  IM_SERVICE_ADDR: 'im:1',
  USER_SERVICE_ADDR: 'user:1',
  AUTH_SERVICE_ADDR: 'auth:1',
  ETCD_ENDPOINTS: 'http://etcd:1',
  REDIS_ADDR: 'redis:1',
  KAFKA_BROKERS: 'kafka:1',
  WS_HOST: '127.0.0.1',
  WS_PORT: '0',
  GATEWAY_NODE_ID: 'gw-test'
}
const DEADLINE_MS = 30_000
// A dozen processes, each started with its TypeScript loader, on a machine that may be busy.
t.setTimeout(120_000)

function start (t: Test, env: Record<string, string> = {}, args: readonly string[] = []) {
  const child = spawn(process.execPath, ['--import', './test/helpers/fake-app-hook.mjs', ...nodeArgs('src/main.ts'), ...args], {
    cwd: ROOT, env: { PATH: process.env.PATH, ...ADDRESSES, ...env }, stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const text = { out: '', err: '' }
  let wake = (): void => {}
  child.stdout.on('data', (chunk: Buffer) => { text.out += chunk.toString(); wake() })
  child.stderr.on('data', (chunk: Buffer) => { text.err += chunk.toString(); wake() })
  const exit = once(child, 'close', { signal: AbortSignal.timeout(DEADLINE_MS) }).then(([code]) => code as number | null)
  /** Resolves when the child has said it. */
  const said = (what: string): Promise<void> => new Promise((resolve, reject) => {
    const timer = setTimeout(() => { reject(new Error(`never said ${what}: ${text.err}${text.out}`)) }, DEADLINE_MS)
    wake = () => {
      if (!text.err.includes(what) && !text.out.includes(what)) return
      clearTimeout(timer)
      resolve()
    }
    wake()
  })
  return { child, text, exit, said, logs: () => text.out.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line)) }
}

t.test('[GW-END-1] SIGTERM and SIGINT drain, close and exit with 0', async (t) => {
  await Promise.all((['SIGTERM', 'SIGINT'] as const).map(async (signal) => {
    const { child, exit, said, text, logs } = start(t, { DRAIN_DELAY: '2s' })
    await said('listening gw-test')
    child.kill(signal)
    t.equal(await exit, 0)
    t.match(text.err, /listening gw-test\ndrain 2000 30000\nclosed\n/)
    t.match(logs(), [{ level: 'info', node: 'gw-test', signal, msg: 'the node ends' }, { msg: 'the node has ended' }])
  }))
})

t.test('[GW-END-1] a second signal ends it at once, the deadline too', async (t) => {
  const twice = start(t, { FAKE: 'drain-hangs' })
  await twice.said('listening')
  twice.child.kill('SIGTERM')
  await twice.said('drain 0 30000')
  const at = Date.now()
  twice.child.kill('SIGTERM')
  t.equal(await twice.exit, 1)
  t.ok(Date.now() - at < 5000, 'far from the deadline')
  // Written at once, beside what the log had not written yet.
  t.ok(twice.logs().some(({ level, msg }) => level === 'warn' && /second signal/.test(msg)))

  const late = start(t, { FAKE: 'drain-hangs', DRAIN_TIMEOUT: '1s' })
  await late.said('listening')
  late.child.kill('SIGTERM')
  t.equal(await late.exit, 1)
  t.match(late.logs().at(-1), { level: 'fatal', err: { message: 'the shutdown was not done in 1000 ms' } })
})

t.test('[GW-END-3] an uncaught error and an unhandled rejection are logged, the node drains and exits with 1', async (t) => {
  await Promise.all(['throws', 'rejects', 'rejects-nothing'].map(async (FAKE) => {
    const { exit, text, logs } = start(t, { FAKE })
    t.equal(await exit, 1, FAKE)
    t.match(text.err, /drain 0 5000\nclosed\n/)
    t.match(logs()[0], { level: 'error', msg: 'uncaught error, the node ends', err: { message: FAKE === 'rejects-nothing' ? 'rejected without a reason' : 'unexpected' } })
  }))
})

t.test('[GW-END-1] a signal during the start ends within a second; a start that fails exits with 1 and says why', async (t) => {
  const hanging = start(t, { FAKE: 'start-hangs' })
  await hanging.said('hanging')
  const at = Date.now()
  hanging.child.kill('SIGTERM')
  t.equal(await hanging.exit, 0)
  t.ok(Date.now() - at < 5000, 'far from for ever')

  const failing = start(t, { FAKE: 'start-fails' })
  t.equal(await failing.exit, 1)
  t.match(failing.logs().at(-1), { level: 'fatal', msg: 'the node cannot start', err: { message: 'the broker is away' } })

  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => { taken.close() })
  const busy = start(t, { WS_PORT: String((taken.address() as AddressInfo).port) })
  t.equal(await busy.exit, 1)
  t.match(busy.text.err, /closed/, 'what was opened is closed')
  t.match(busy.logs().at(-1), { err: { code: 'EADDRINUSE' } })
})

t.test('[GW-END-1] several workers start, are replaced and end as one', async (t) => {
  const [port, adminPort] = [await freePort(), await freePort()]
  const env = { WORKERS: '2', WS_PORT: String(port), ADMIN_PORT: String(adminPort) }
  const { child, exit, said, text, logs } = start(t, env)
  await said('listening gw-test-0')
  await said('listening gw-test-1')
  const workers = async (): Promise<string[]> => (await (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).json() as { workers: Array<{ worker: string, ready: boolean }> }).workers.flatMap(({ worker, ready }) => ready ? [worker] : [])
  t.same(await workers(), ['gw-test-0', 'gw-test-1'])
  t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200)
  const serving = logs().filter(({ msg }) => msg === 'worker serves')
  process.kill(serving[0].workerPid, 'SIGKILL')
  await said('worker ended')
  while ((await workers()).length < 2) await new Promise((resolve) => { setTimeout(resolve, 20) })
  // As a terminal does it, and a process manager that signals a whole group.
  for (const { workerPid } of logs().filter(({ msg }) => msg === 'worker serves').slice(1)) {
    process.kill(workerPid, 'SIGINT')
    process.kill(workerPid, 'SIGTERM')
  }
  child.kill('SIGTERM')
  t.equal(await exit, 0, text.err)
  t.equal(text.err.match(/closed\n/g)?.length, 2)
  t.match(logs().at(-1), { node: 'gw-test', msg: 'the node has ended' })

  const orphaned = start(t, env)
  await orphaned.said('"worker":"gw-test-0"')
  await orphaned.said('"worker":"gw-test-1"')
  orphaned.child.kill('SIGKILL')
  // The pipes close when the last of them is gone.
  t.equal(await orphaned.exit, null)
  t.equal(orphaned.text.err.match(/closed\n/g)?.length, 2, 'workers without a primary drain and end')

  const failing = start(t, { ...env, FAKE: 'start-fails' })
  t.equal(await failing.exit, 1)
  t.ok(failing.logs().some(({ level, err }) => level === 'fatal' && /gw-test-\d ended with 1 before it served/.test(err?.message)), failing.text.out)

  const twice = start(t, { ...env, FAKE: 'drain-hangs' })
  await twice.said('listening gw-test-0')
  await twice.said('listening gw-test-1')
  twice.child.kill('SIGTERM')
  await twice.said('drain 0 30000')
  twice.child.kill('SIGTERM')
  t.equal(await twice.exit, 1, 'a second signal ends all at once')

  const taken = createServer().listen(port, '127.0.0.1')
  await once(taken, 'listening')
  const busy = start(t, env)
  t.equal(await busy.exit, 1)
  t.match(busy.text.out, /EADDRINUSE/)
  taken.close()

  const alone = start(t, env, ['--worker', '0'])
  t.equal(await alone.exit, 64)
  t.match(alone.text.err, /set WORKERS instead/)
})

t.test('[GW-END-3] an uncaught error in the primary ends the workers in the time that it has, and with 1', async (t) => {
  const env = { WORKERS: '2', WS_PORT: String(await freePort()), ADMIN_PORT: String(await freePort()), DRAIN_DELAY: '2s', FAKE: 'primary-throws' }
  const { child, exit, said, text, logs } = start(t, env)
  await said('"worker":"gw-test-0"')
  await said('"worker":"gw-test-1"')
  child.kill('SIGWINCH')
  t.equal(await exit, 1)
  for (const said of ['drain 0 3000\n', 'closed\n']) t.equal(text.err.split(said).length, 3, text.err)
  t.ok(logs().some(({ level, msg, node }) => level === 'error' && node === 'gw-test' && msg === 'uncaught error, the node ends'))
})

t.test('[GW-END-1] where a worker does not end in time the primary exits with 1 and says which', async (t) => {
  const env = { WORKERS: '2', WS_PORT: String(await freePort()), ADMIN_PORT: String(await freePort()), DRAIN_TIMEOUT: '1s', FAKE: 'drain-hangs' }
  const { child, exit, said, logs } = start(t, env)
  await said('"worker":"gw-test-0"')
  await said('"worker":"gw-test-1"')
  child.kill('SIGTERM')
  t.equal(await exit, 1)
  t.match(logs().at(-1), { level: 'fatal', node: 'gw-test', msg: 'the node did not end as it should', err: { message: /^gw-test-\d ended with 1, gw-test-\d ended with 1$/ } })
})

t.test('the command line answers without starting anything', async (t) => {
  const [help, unknown, faulty] = [start(t, {}, ['--help']), start(t, {}, ['--unknown']), start(t, { IM_SERVICE_ADDR: '', WS_PORT: 'x' })]
  t.same(await Promise.all([help.exit, unknown.exit, faulty.exit]), [0, 64, 78])
  t.match(help.text.out, /HEARTBEAT_INTERVAL/)
  t.match(unknown.text.err, /Usage:/)
  t.match(faulty.text.err, /WS_PORT: .*\n.*IM_SERVICE_ADDR: is required/)
  t.equal(faulty.text.out, '')
})
