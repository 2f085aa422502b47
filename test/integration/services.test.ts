import t from 'tap'
import { spawn, execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { join } from 'node:path'
import { startService } from '../helpers/services.ts'

const root = join(import.meta.dirname, '..', '..')

/** What a Redis at `address` answers to one command; undefined when nothing comes within half a second. */
async function redis (address: string, command: string): Promise<string | undefined> {
  const [host = '', port = ''] = address.split(':')
  return await new Promise((resolve) => {
    const socket = connect(Number(port), host)
    const end = (answer: string | undefined): void => { socket.destroy(); resolve(answer) }
    socket.setTimeout(500, () => { end(undefined) })
    socket.on('error', () => { end('refused') })
    socket.on('data', (data) => { end(data.toString().trim()) })
    socket.write(`${command}\r\n`)
  })
}

/** Writes one key and returns what etcd answered. A write that meets the election is refused at its end and made again. */
async function etcdPut (endpoints: string): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { stdout } = await promisify(execFile)('etcdctl', ['--endpoints', endpoints, '--command-timeout', '10s', 'put', 'a', '1'],
        { env: { ...process.env, ETCDCTL_API: '3' }, timeout: 20_000 })
      return stdout.trim()
    } catch (error) {
      if (attempt === 5) throw error
    }
  }
}

void t.test('A private instance starts, is killed, comes back with its data, freezes, thaws and leaves nothing', async (t) => {
  const services = await startService(['redis', 'etcd'])
  const address = services.address('REDIS_ADDR')
  t.match(services.env.ETCD_ENDPOINTS, /^http:\/\/127\.0\.0\.1:\d+$/)
  t.equal(services.env.KAFKA_BROKERS, undefined)
  t.throws(() => services.address('KAFKA_BROKERS'), /KAFKA_BROKERS/)

  t.equal(await redis(address, 'SET a 1'), '+OK')
  // The append-only file is written through once a second; a kill does not lose what the kernel has.
  await services.kill('redis1')
  t.equal(await redis(address, 'PING'), 'refused')
  await services.restart('redis')
  t.equal(await redis(address, 'GET a'), '$1\r\n1')

  await services.freeze('redis1')
  t.equal(await redis(address, 'PING'), undefined)
  await services.thaw('redis1')
  t.equal(await redis(address, 'PING'), '+PONG')

  await t.rejects(services.kill('redis2'), /redis2 does not run/)
  await services.stop()
  t.equal(await redis(address, 'PING'), 'refused')
})

void t.test('Three nodes of etcd answer as one cluster with one of them killed', async (t) => {
  const services = await startService(['etcd'], { etcdNodes: 3 })
  t.teardown(async () => { await services.stop() })
  const endpoints = services.address('ETCD_ENDPOINTS')
  t.equal(endpoints.split(',').length, 3)
  await services.kill('etcd1')
  t.equal(await etcdPut(endpoints.split(',').slice(1).join(',')), 'OK')
})

void t.test('The services end with a test process that was killed', async (t) => {
  const code = `import { startService } from '${join(root, 'test/helpers/services.ts')}'
    const services = await startService(['redis'])
    console.log(services.address('REDIS_ADDR'))
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  const address = await new Promise<string>((resolve) => child.stdout.once('data', (data: Buffer) => { resolve(data.toString().trim()) }))
  t.equal(await redis(address, 'PING'), '+PONG')
  child.kill('SIGKILL')
  let answer: string | undefined = '+PONG'
  for (let i = 0; i < 50 && answer !== 'refused'; i++) {
    await sleep(200)
    answer = await redis(address, 'PING')
  }
  t.equal(answer, 'refused')
})

void t.test('The script refuses an unknown service, an unknown command and a cluster of two', async (t) => {
  const run = async (args: string[], env: Record<string, string> = {}): Promise<string> => {
    const directory = t.testdir()
    try {
      await promisify(execFile)('bash', [join(root, 'scripts/services.sh'), ...args], { env: { ...process.env, SERVICES_DIR: directory, ...env } })
      return 'accepted'
    } catch (error) {
      return String((error as { stderr: string }).stderr)
    }
  }
  t.match(await run(['start', 'oracle']), /unknown service: oracle/)
  t.match(await run(['begin']), /scripts\/services\.sh install/)
  t.match(await run(['start', 'etcd'], { ETCD_NODES: '2' }), /1 or 3 nodes, not 2/)
  t.ok(existsSync(join(root, 'deploy/compose.yaml')))
})
