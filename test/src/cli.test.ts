import { readFileSync } from 'node:fs'
import t from 'tap'
import { command, EXIT_CONFIG, EXIT_USAGE } from '../../src/cli.ts'
import { referencePage } from '../../src/config/describe.ts'
import { VARIABLE_NAMES, VARIABLES } from '../../src/config/table.ts'
import type { Probe } from '../../src/config.ts'

const probe: Probe = {
  hostName: () => 'host-1',
  memoryLimitBytes: () => 1024 ** 3,
  openFilesLimit: () => 20_000,
  readFile: () => { throw new Error('no file') }
}

const SECRET = 'do-not-print-this-do-not-print-this'
const ENV = {
  AUTH_SERVICE_ADDR: 'auth:9001',
  IM_SERVICE_ADDR: 'im:9002',
  USER_SERVICE_ADDR: 'user:9003',
  ETCD_ENDPOINTS: 'http://etcd:2379',
  REDIS_ADDR: 'redis:6379',
  KAFKA_BROKERS: 'kafka:9092',
  JWT_SECRET: SECRET,
  REDIS_PASSWORD: SECRET,
  GRPC_AUTH_TOKEN: SECRET,
  GRPC_ADVERTISE_ADDR: '10.0.0.1:9093',
  ALLOWED_ORIGINS: 'https://a.example, https://b.example',
  OTEL_EXPORTER_OTLP_ENDPOINT: `https://user:${SECRET}@otel:4318`,
  PING_PERIOD: '20s'
}

t.test('without options the gateway runs with what the environment says', async (t) => {
  t.match(command([], ENV, probe), { kind: 'run', settings: { config: { ws: { port: 8080 }, grpc: { host: '0.0.0.0' } } } })
})

t.test('--worker makes it one of WORKERS', async (t) => {
  t.match(command(['--worker', '1'], { ...ENV, WORKERS: '2', ADMIN_PORT: '9900', GATEWAY_NODE_ID: 'gw' }, probe), { kind: 'run', settings: { config: { node: { nodeId: 'gw-1' }, grpc: { port: 9094, advertiseAddr: '10.0.0.1:9094' } } } })
})

t.test('--help names every variable, --version the version, whatever the environment says', async (t) => {
  const help = command(['--help'], { WS_PORT: 'x' }, probe)
  t.match(help, { kind: 'exit', code: 0 })
  for (const name of VARIABLE_NAMES) t.ok((help as { out: string }).out.includes(`  ${name}`), name)
  t.match(command(['-h'], {}, probe), { code: 0, out: /HEARTBEAT_INTERVAL {2}\(duration 100ms-1h; default 30s\)/ })
  t.match(command(['--version'], {}, probe), { kind: 'exit', code: 0, out: /^\d+\.\d+\.\d+\n$/ })
})

t.test('an option that is not known ends with 64 and the usage', async (t) => {
  for (const args of [['--port=1'], ['run'], ['--help=yes'], ['-x'], ['--worker'], ['--worker=x'], ['--worker=-1']]) t.match(command(args, ENV, probe), { kind: 'exit', code: EXIT_USAGE, err: /Usage: im-gateway/ }, args.join(' '))
})

t.test('faults end with 78, one line each, whatever is asked for beside help', async (t) => {
  for (const args of [[], ['--check-config'], ['--print-config']]) {
    const result = command(args, { ...ENV, WS_PORT: 'x', IM_SERVICE_ADDR: '', JWT_SECRET: 'short' }, probe)
    t.match(result, { kind: 'exit', code: EXIT_CONFIG })
    t.equal((result as { err: string }).err, 'The configuration has 3 faults:\n  WS_PORT: must be an integer of 0 to 65535\n  JWT_SECRET: has to be at least 32 bytes\n  IM_SERVICE_ADDR: is required\n')
  }
  t.match(command([], { ...ENV, WS_PORT: 'x' }, probe), { err: /^The configuration has a fault:\n/ })
})

t.test('--check-config and --print-config show what holds, and no secret', async (t) => {
  const printed = command(['--print-config'], ENV, probe) as { out: string }
  const checked = command(['--check-config'], ENV, probe) as { out: string }
  for (const { out } of [printed, checked]) {
    t.notOk(out.includes(SECRET))
    for (const line of [
      'JWT_SECRET=********', 'GATEWAY_NODE_ID=host-1', 'HEARTBEAT_INTERVAL=20s', 'MAX_MESSAGE_SIZE=10KB', 'MAX_CONNECTIONS=19488', 'GRPC_HOST=0.0.0.0', 'MEMORY_LIMIT=1GB',
      'ALLOWED_ORIGINS=https://a.example,https://b.example', '# ADMIN_PORT=', '# ETCD_PASSWORD=', 'ADMISSION_TIMEOUT=1500ms', 'OTEL_EXPORTER_OTLP_ENDPOINT=https://user:********@otel:4318'
    ]) t.ok(out.split('\n').includes(line), line)
  }
  t.equal(printed.out.trim().split('\n').length, VARIABLE_NAMES.length)
  t.match(checked.out, /the configuration is valid/)
})

t.test('--check-config says what the node can carry, and warns where something does not fit', async (t) => {
  const checked = (env: Record<string, string> = {}, machine = probe): string => (command(['--check-config'], { ...ENV, ...env }, machine) as { out: string }).out
  const out = checked({ MAX_CONNECTIONS: '10000' })
  t.match(out, /^# connections: 10,000; memory allows [\d,]{6}, open files 19,488$/m)
  t.match(out, /^# memory with 10,000 connections, caches and outboxes full: \d+ MB and \d+ MB of the kernel, of 1,024 MB$/m)
  t.match(out, /^# under the load that docs\/capacity.md assumes: 0\.\d\d cores; in etcd 1 lease renewals, 109 operations and 6 watch events a second$/m)
  t.notMatch(out, /warning/)
  t.match(checked({ MAX_CONNECTIONS: '10000', WORKERS: '2', ADMIN_PORT: '9900', MEMORY_LIMIT: '2GB' }), /^# connections: 10,000 in each of 2 workers; .*\n# memory with 20,000 connections/m)
  t.match(checked(), /^# warning: the open-files limit allows fewer/m)
  t.match(checked({ MAX_CONNECTIONS: '500000', MEMORY_LIMIT: '16GB' }, { ...probe, openFilesLimit: () => undefined }), /open files any number\n(.*\n)*# warning: a process would use \d\.\d\d cores, more than 0\.5/)
  t.match(checked({ MAX_MEMORY_PERCENT: '20' }), /^# warning: upgrades are refused when 205 MB are in use \(MAX_MEMORY_PERCENT\), which may be before there are 19,488 connections$/m)
})

t.test('what is printed can be read again and says the same', async (t) => {
  const { out } = command(['--print-config'], ENV, probe) as { out: string }
  const again: Record<string, string> = {}
  for (const line of out.trim().split('\n')) {
    const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? []
    if (name !== undefined && value !== undefined) again[name] = value === '********' ? SECRET : value.replace('********', SECRET)
  }
  const first = command([], ENV, probe) as { settings: { config: object } }
  const second = command([], again, probe) as { settings: { config: object } }
  t.same(second.settings.config, first.settings.config)
})

t.test('the reference page is what the table says, and every variable of it is explained', async (t) => {
  t.equal(readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8'), referencePage(), 'run node --import tsx scripts/generate-docs.ts')
  t.match(referencePage(), /\| `HeartbeatInterval` \| `HEARTBEAT_INTERVAL` \| 30s \|/)
  const originals = VARIABLE_NAMES.map((name) => VARIABLES[name].original).filter((name) => name !== undefined)
  t.equal(new Set(originals).size, originals.length, 'one to one')
  for (const name of VARIABLE_NAMES) t.ok(VARIABLES[name].about.length > 10, name)
})
