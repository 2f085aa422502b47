/**
 * Starts the built gateway as production does (`npm start`) on the services of the environment, waits for /healthz, ends it
 * with SIGTERM and demands exit code 0. Prints one line for each step.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { environment, fail, root } from './lib/project.mjs'

const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 40_000

for (const name of ['ETCD_ENDPOINTS', 'REDIS_ADDR', 'KAFKA_BROKERS']) {
  if (!process.env[name]) fail(`${name} is missing`)
}
const [wsPort, grpcPort] = [await freePort(), await freePort()]
const gateway = spawn('npm', ['start', '--silent'], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  // A process group of its own, so that nothing outlives this script.
  detached: true,
  env: environment({
    GATEWAY_NODE_ID: `smoke-${process.pid}`,
    WS_HOST: '127.0.0.1',
    WS_PORT: String(wsPort),
    GRPC_HOST: '127.0.0.1',
    GRPC_PORT: String(grpcPort),
    // Nobody listens there: the gateway starts all the same and says so in /readyz.
    AUTH_SERVICE_ADDR: '127.0.0.1:1',
    IM_SERVICE_ADDR: '127.0.0.1:1',
    USER_SERVICE_ADDR: '127.0.0.1:1',
    KAFKA_GROUP_ID: 'smoke'
  })
})
process.once('exit', () => { try { process.kill(-gateway.pid, 'SIGKILL') } catch { /* it has ended */ } })
const ended = once(gateway, 'exit')

const health = await until(START_TIMEOUT_MS, async () => (await fetch(`http://127.0.0.1:${wsPort}/healthz`)).status)
if (gateway.exitCode !== null) fail(`NOT OK it ended with ${gateway.exitCode} while starting`)
if (health !== 200) fail(`NOT OK /healthz answered ${health ?? 'nothing'} within ${START_TIMEOUT_MS / 1000} s`)
process.stdout.write('ok /healthz answers 200\n')

const started = performance.now()
gateway.kill('SIGTERM')
const end = await Promise.race([ended, sleep(STOP_TIMEOUT_MS, undefined, { ref: false })])
if (end === undefined) fail(`NOT OK still running ${STOP_TIMEOUT_MS / 1000} s after SIGTERM`)
const [code, signal] = end
if (code !== 0) fail(`NOT OK exit code ${code ?? signal} after SIGTERM`)
process.stdout.write(`ok exit code 0, ${Math.round(performance.now() - started)} ms after SIGTERM\n2 passed, 0 failed\n`)

async function freePort () {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** Asks until there is an answer; undefined past the time or when the gateway ended. */
async function until (timeoutMs, ask) {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline && gateway.exitCode === null) {
    try {
      return await ask()
    } catch {
      await sleep(100)
    }
  }
  return undefined
}
