/** Lines 21-24 of SECURITY.md: the chart, the image, secrets and packages. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { command } from '../../src/cli.ts'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { VARIABLES } from '../../src/config/table.ts'
import { startProcess } from '../helpers/attacker.ts'

const root = join(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
/** A template of the chart as it is written: blocks on lines of their own go, values become a word. */
const template = (name: string) => parse(read(`charts/im-gateway/templates/${name}.yaml`).replace(/^ *\{\{-?(?! include "im-gateway.name).*\}\} *\n/gm, '').replace(/\{\{.*?\}\}/g, 'value').replace(/"(value[^"\n]*)"/g, '$1'))

t.test('security 21: the chart lets each port be reached by those that need it, and routes /ws alone from outside', async (t) => {
  const { spec } = template('networkpolicy')
  t.same(spec.policyTypes, ['Ingress', 'Egress'])
  t.same(spec.ingress.map(({ ports }: { ports: object }) => ports), [[{ port: 'grpc', protocol: 'TCP' }], [{ port: 'ws', protocol: 'TCP' }]])
  const text = read('charts/im-gateway/templates/networkpolicy.yaml')
  for (const list of ['imService', 'loadBalancer', 'prometheus', 'egress']) {
    t.ok(text.includes(`{{- toYaml .Values.networkPolicy.${list} | nindent `), list)
    t.match(read('charts/im-gateway/templates/_helpers.tpl'), new RegExp(`list (?:"\\w+" )*"${list}"[^]*may not be empty`), 'an empty one would be everybody')
  }
  t.match(template('ingress').spec.rules, [{ http: { paths: [{ path: '/ws', pathType: 'Exact', backend: { service: { port: { name: 'ws' } } } }] } }])
  for (const name of ['service', 'deployment']) t.notOk(/admin/i.test(read(`charts/im-gateway/templates/${name}.yaml`)), `${name} has no admin port`)
})

t.test('security 22: secrets are files: no argument, variable, printed configuration or report of faults shows one', async (t) => {
  const secret = 'this-is-the-secret-of-the-test-0123456789'
  const path = join(t.testdir({ secret: `${secret}\n` }), 'secret')
  const secrets = Object.entries(VARIABLES).filter(([, row]) => row.secret === true).map(([name]) => name)
  t.ok(secrets.length > 10)
  const services = { AUTH_SERVICE_ADDR: 'a:1', IM_SERVICE_ADDR: 'a:1', USER_SERVICE_ADDR: 'a:1', ETCD_ENDPOINTS: 'http://a:1', REDIS_ADDR: 'a:1', KAFKA_BROKERS: 'a:1', GRPC_ADVERTISE_ADDR: 'a:1' }
  const texts = secrets.filter((name) => !name.endsWith('_KEY'))
  for (const asked of ['--print-config', '--check-config']) {
    const shown = command([asked], { ...services, ...Object.fromEntries(texts.map((name) => [name, secret])), ETCD_USERNAME: 'u', KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_MECHANISM: 'plain' })
    t.match(shown, { kind: 'exit', code: 0 })
    t.notOk(JSON.stringify(shown).includes(secret), asked)
  }
  const faults = command([], { ...Object.fromEntries(secrets.map((name) => [name, `${secret} "`])) })
  t.match(faults, { code: 78 })
  t.notOk(JSON.stringify(faults).includes(secret), 'faults name variables, not values')

  const { child, output, exit } = startProcess(t, { JWT_SECRET_FILE: path, GRPC_AUTH_TOKEN_FILE: path, GRPC_ADVERTISE_ADDR: 'a:1', FAKE: 'throws' })
  await once(child, 'spawn')
  const proc = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${child.pid}/${name}`, 'utf8')).join('')
  t.equal(await exit, 1)
  t.match(proc, /src\/main\.[jt]s/)
  t.notOk((proc + output()).includes(secret))

  const helpers = read('charts/im-gateway/templates/_helpers.tpl')
  const refused = /\$secret := list ((?:"\w+" ?)+)/.exec(helpers)?.[1]?.match(/\w+/g)
  t.same([...refused ?? []].sort(), [...secrets].sort(), 'the chart takes no secret as a variable')
  t.match(read('charts/im-gateway/templates/deployment.yaml'), /range \.Values\.secrets\.keys \}\}\n +- name: \{\{ \. \}\}_FILE\n/)
})

t.test('security 23: the container has no rights, no prototype to pollute, and never more connections than it has room for', async (t) => {
  const last = read('Dockerfile').split(/^FROM /m).at(-1) ?? ''
  const instruction = (name: string): string => new RegExp(`^${name} (.+)$`, 'm').exec(last)?.[1] ?? ''
  t.match(instruction('USER'), /^[1-9]\d*:[1-9]\d*$/)
  t.notOk(/^RUN /m.test(last), 'nothing is run in what is shipped')
  const [file, ...args] = JSON.parse(instruction('CMD')) as string[]
  t.equal(file, 'node', 'no shell between')
  const flags = args.filter((arg) => arg.startsWith('--'))
  t.equal(spawnSync(process.execPath, [...flags, '-p', '"__proto__" in {}'], { encoding: 'utf8' }).stdout, 'false\n')
  t.doesNotThrow(() => JSON.parse(/HEALTHCHECK.* CMD (\[.*\])$/m.exec(last)?.[1] ?? '') as unknown)

  const pod = template('deployment').spec.template.spec
  t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
  const [container] = pod.containers
  t.same(container.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
  t.same(Object.keys(container.lifecycle.preStop), ['sleep'])
  t.equal(pod.automountServiceAccountToken, false)
  const { resources, connectionsPerPod } = parse(read('charts/im-gateway/values.yaml'))
  const memoryLimitBytes = Number(/^(\d+)Mi$/.exec(resources.limits.memory)?.[1]) * 1024 * 1024
  const load = (openFiles: number, bytes: number) => loadConfig({ MAX_CONNECTIONS: String(connectionsPerPod) }, {
    requireServices: false, probe: { hostName: () => 'pod', memoryLimitBytes: () => bytes, openFilesLimit: () => openFiles, readFile: () => '' }
  })
  t.equal(load(120_000, memoryLimitBytes).limits.maxConnections, connectionsPerPod)
  t.throws(() => load(65_536, memoryLimitBytes), ConfigError, 'too few files')
  t.throws(() => load(120_000, memoryLimitBytes / 2), ConfigError, 'too little memory')
})

t.test('security 24: packages are those of the lock file, above the floors, and run nothing when they are installed', async (t) => {
  for (const path of ['Dockerfile', 'scripts/lib/prepare.mjs', 'README.md', 'CONTRIBUTING.md']) {
    const installs = read(path).match(/npm ci(?! failed).*/g) ?? []
    t.ok(installs.length > 0, path)
    for (const line of installs) t.match(line, /^npm ci --ignore-scripts/, path)
    t.notOk(/npm (i|install) /.test(read(path)), `${path} installs by the lock file alone`)
  }
  const { overrides } = JSON.parse(read('package.json')) as { overrides: Record<string, string> }
  t.strictSame(Object.keys(overrides).sort(), ['@fastify/proxy-addr', '@grpc/grpc-js', 'fast-jwt', 'ws'], 'what clients reach through other packages is held')
  for (const [name, version] of Object.entries(overrides)) t.equal((JSON.parse(read(`node_modules/${name}/package.json`)) as { version: string }).version, version, `${name} as it is installed`)
})
