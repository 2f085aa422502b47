import t from 'tap'
import { runConfigCommand } from '../../../bin/commands/config.ts'
import { EXIT_CONFIG, EXIT_OK, EXIT_USAGE } from '../../../bin/exit-codes.ts'

const probe = { hostName: () => 'host-1', memoryLimitBytes: () => 1024 ** 3, openFilesLimit: () => 20_000, readFile: () => { throw new Error('no file') } }
const SECRET = 'do-not-print-this-do-not-print-this'
const ENV = {
  AUTH_SERVICE_ADDR: 'auth:9001', IM_SERVICE_ADDR: 'im:9002', USER_SERVICE_ADDR: 'user:9003', ETCD_ENDPOINTS: 'http://etcd:2379', REDIS_ADDR: 'redis:6379', KAFKA_BROKERS: 'kafka:9092', JWT_SECRET: SECRET
}

async function run (name: 'check-config' | 'print-config', env: Readonly<Record<string, string>>, ...args: string[]) {
  let [out, err] = ['', '']
  const code = await runConfigCommand(name, args, { out: (text) => { out += text }, err: (text) => { err += text } }, env, probe)
  return { code, out, err }
}

t.test('both print what the gateway itself prints, and secrets never', async (t) => {
  t.match(await run('check-config', ENV), { code: EXIT_OK, out: /WS_PORT=8080\n[^]*# the configuration is valid\n/, err: '' })
  const printed = await run('print-config', ENV)
  t.match(printed, { code: EXIT_OK, out: /^GATEWAY_NODE_ID=host-1\n/ })
  t.notMatch(printed.out, SECRET)
})

t.test('as JSON: settings by name, null where there is no value, and what the node can carry', async (t) => {
  const { out, code } = await run('check-config', ENV, '--json')
  t.equal(code, EXIT_OK)
  t.match(JSON.parse(out), { valid: true, settings: { WS_PORT: '8080', ACK_TIMEOUT: '5s', JWT_SECRET: '********', ADMIN_PORT: null }, capacity: { limited_by: /memory|open files/, connections: Number, max_connections: Number } })
  t.notMatch(out, SECRET)
  t.notOk('capacity' in (JSON.parse((await run('print-config', ENV, '--json')).out) as object))
})

t.test('faults end with 78, as text or JSON', async (t) => {
  const env = { ...ENV, WS_PORT: 'x' }
  t.match(await run('check-config', env), { code: EXIT_CONFIG, out: '', err: /WS_PORT: must be an integer/ })
  const { code, out } = await run('print-config', env, '--json')
  t.equal(code, EXIT_CONFIG)
  t.match(JSON.parse(out), { valid: false, faults: [{ names: ['WS_PORT'], text: /integer/ }] })
  t.match(await run('check-config', ENV, 'more'), { code: EXIT_USAGE, err: /^what is more\?\n\nUsage: im-gateway check-config/ })
  t.match(await run('check-config', ENV, '--loud'), { code: EXIT_USAGE, err: /--loud/ })
  t.match(await run('print-config', {}, '--help'), { code: EXIT_OK, out: /^Usage: im-gateway print-config[^]*Exit codes: / })
})
