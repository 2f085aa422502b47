/** deploy/compose.yaml: Compose's own loader takes it, and it fits the files that it names. Nothing is run: that needs a container engine. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config.ts'
import { envoyConfig } from '../helpers/envoy.ts'
import { tools } from '../helpers/program.ts'

interface Service {
  readonly image: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string | number>>
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly profiles?: readonly string[]
  readonly secrets?: readonly string[]
  readonly read_only?: boolean
  readonly depends_on?: object
  readonly stop_grace_period?: string
}

const root = join(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const text = read('deploy/compose.yaml')
const { services, secrets } = parse(text, { merge: true }) as { readonly services: Readonly<Record<string, Service>>, readonly secrets: Readonly<Record<string, object>> }
const gateways = Object.entries(services).filter(([name]) => name.startsWith('gateway-'))

/** Fails as `docker compose config` would. */
function load (compose: string): { readonly code: number | null, readonly words: string } {
  // Beside the real one, for the paths in it.
  const { status, stderr } = spawnSync(join(tools('compose'), 'compose-check'), ['-'], { cwd: join(root, 'deploy'), input: compose, encoding: 'utf8', timeout: 30_000 })
  return { code: status, words: stderr }
}

t.test('Compose\'s own loader takes the file, and finds what is wrong in others', async (t) => {
  t.match(load(text), { code: 0 })
  const faults: ReadonlyArray<readonly [from: string, to: string, named: RegExp]> = [
    ['read_only: true', 'read_ony: true', /read_ony/],
    ['condition: service_healthy', 'condition: service_helthy', /service_helthy|condition/],
    ['depends_on: [prometheus]', 'depends_on: [promteheus]', /promteheus/],
    ['volumes: [etcd:/data]', 'volumes: [etdc:/data]', /etdc/]
  ]
  for (const [from, to, named] of faults) {
    const { code, words } = load(text.replace(from, to))
    t.not(code, 0, to)
    t.match(words, named)
  }
})

t.test('without the profile there are the services of the tests alone; each image has its version, each port is on loopback', async (t) => {
  t.same(Object.entries(services).filter(([, { profiles }]) => profiles === undefined).map(([name]) => name), ['etcd', 'redis', 'kafka', 'mysql'])
  for (const [name, { image, ports = [] }] of Object.entries(services)) {
    t.match(image, /:v?\d+\.\d+/, name)
    for (const port of ports) t.match(port, /^127\.0\.0\.1:/, name)
  }
})

t.test('a gateway takes the environment that it is given, its secrets as files, and has the time to drain', async (t) => {
  t.equal(gateways.length, 3)
  const file = 'x'.repeat(40)
  const probe = { hostName: () => 'container', memoryLimitBytes: () => 1024 ** 3, openFilesLimit: () => 1_048_576, readFile: () => file }
  for (const [name, { environment = {}, secrets: taken = [], stop_grace_period: grace = '', read_only: isReadOnly }] of gateways) {
    const env = Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, String(value).replace(/^\$\{\w+:-(.+)\}$/, '$1')]))
    const config = loadConfig(env, { requireServices: true, probe })
    t.equal(config.node.nodeId, name)
    t.equal(config.grpc.advertiseAddr, `${name}:9093`)
    for (const [key, path] of Object.entries(env).filter(([key]) => key.endsWith('_FILE'))) {
      t.ok(taken.some((secret) => path === `/run/secrets/${secret}`), key)
    }
    t.equal(isReadOnly, true)
    for (const secret of taken) t.strictSame(Object.keys(secrets[secret] ?? {}), ['file'], `${secret}: Docker refuses any other kind where a container is read-only`)
    t.ok(Number.parseInt(grace) * 1_000 > config.drain.timeoutMs)
  }
})

t.test('Envoy and Prometheus look for the gateways where they are; what is mounted exists', async (t) => {
  const at = (port: number): string[] => gateways.map(([name]) => `${name}:${port}`)
  const [clients, callers] = envoyConfig().static_resources.clusters.map(({ load_assignment: { endpoints } }) => endpoints.flatMap(({ lb_endpoints: hosts }) => hosts.map(({ endpoint: { address: { socket_address: host } } }) => `${host.address}:${host.port_value}`)))
  t.same(clients, at(8080))
  t.same(callers, at(9093))
  const { scrape_configs: [{ static_configs: [{ targets }] }] } = parse(read('deploy/prometheus/prometheus.yaml')) as { scrape_configs: [{ static_configs: [{ targets: string[] }] }] }
  t.same(targets, at(8080))
  for (const [name, { volumes = [] }] of Object.entries(services)) {
    for (const [path = ''] of volumes.map((volume) => volume.split(':'))) if (path.startsWith('.')) t.ok(existsSync(join(root, 'deploy', path)), `${name}: ${path}`)
  }
  const { datasources: [{ url }] } = parse(read('deploy/grafana/provisioning/datasources/prometheus.yaml')) as { datasources: [{ url: string }] }
  t.equal(url, 'http://prometheus:9090')
  const { providers: [{ options }] } = parse(read('deploy/grafana/provisioning/dashboards/im-gateway.yaml')) as { providers: [{ options: { path: string } }] }
  t.ok(services['grafana']?.volumes?.some((volume) => volume.includes(`:${options.path}/`)))
})

t.test('the topics that are made are those of the configuration', async (t) => {
  const { topics } = loadConfig({}, { requireServices: false }).kafka
  const made = /for topic in ([\w ]+);/.exec(services['topics']?.command?.at(-1) ?? '')?.[1]?.split(' ')
  t.same(made?.sort(), Object.values(topics).sort())
})
