import t from 'tap'
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { idsOf, isWritableByOthers, replay } from '../helpers/dockerfile.ts'

const root = join(import.meta.dirname, '..', '..')

function setting (name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '') throw new Error(`${name} is needed: run this through npm run test:integration`)
  return value
}

async function freePort (): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return String(port)
}

t.test('The Dockerfile builds from an empty folder, and its command serves, passes its health check and ends as a user without rights', async (t) => {
  const target = mkdtempSync(join(tmpdir(), 'im-gateway-image-'))
  t.teardown(() => { rmSync(target, { recursive: true, force: true }) })
  chmodSync(target, 0o755)
  const image = replay(root, target)
  const app = join(image.folder, image.workdir)

  t.same(image.ports, [8080, 9093])
  t.equal(image.env['NODE_ENV'], 'production')
  t.same(readdirSync(app).sort(), ['dist', 'healthcheck.mjs', 'node_modules', 'package.json', 'proto'], 'only what runs is in the image')
  for (const name of ['typescript', 'tap', 'eslint', 'tsx']) t.notOk(existsSync(join(app, 'node_modules', name)), `${name} is not in the image`)
  t.notOk(isWritableByOthers(app))
  const { uid, gid } = idsOf(image.user ?? '')
  t.ok(uid > 0 && gid > 0, 'the user is given by number and is not root')

  const env = {
    PATH: process.env['PATH'] ?? '',
    ...image.env,
    GATEWAY_NODE_ID: `image-${process.pid}`,
    WS_HOST: '127.0.0.1',
    WS_PORT: await freePort(),
    GRPC_HOST: '127.0.0.1',
    GRPC_PORT: await freePort(),
    AUTH_SERVICE_ADDR: '127.0.0.1:1',
    IM_SERVICE_ADDR: '127.0.0.1:1',
    USER_SERVICE_ADDR: '127.0.0.1:1',
    KAFKA_GROUP_ID: 'image',
    ETCD_ENDPOINTS: setting('ETCD_ENDPOINTS'),
    REDIS_ADDR: setting('REDIS_ADDR'),
    KAFKA_BROKERS: setting('KAFKA_BROKERS')
  }
  // Without rights already: then there are none to give up.
  const options = { cwd: app, env, ...(process.getuid?.() === 0 ? { uid, gid } : {}) }
  const start = (command: readonly string[]): ChildProcess => {
    const [file = '', ...args] = command
    // Without what the test runner puts into the options of child processes: it writes files that this user may not write.
    return spawn('env', ['-u', 'NODE_OPTIONS', file === 'node' ? process.execPath : file, ...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  }
  const healthy = (): boolean => {
    const [, ...args] = image.healthCheck
    return spawnSync(process.execPath, args, { ...options, timeout: 5_000 }).status === 0
  }

  t.notOk(healthy(), 'the health check fails while nothing runs')
  const gateway = start(image.command)
  t.teardown(() => { gateway.kill('SIGKILL') })
  let output = ''
  gateway.stdout?.on('data', (data: Buffer) => { output += data.toString() })
  gateway.stderr?.on('data', (data: Buffer) => { output += data.toString() })
  const ended = once(gateway, 'exit')
  const deadline = performance.now() + 30_000
  while (!healthy() && gateway.exitCode === null && performance.now() < deadline) await sleep(200)
  t.ok(healthy(), 'the health check passes', { output: output.slice(-4_000) })
  gateway.kill('SIGTERM')
  const [code] = await ended
  t.equal(code, 0, 'SIGTERM ends it with 0', { output: output.slice(-4_000) })
})
