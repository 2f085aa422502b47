import t from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Locked { readonly version: string, readonly integrity?: string, readonly resolved?: string, readonly dev?: boolean, readonly devOptional?: boolean, readonly optional?: boolean, readonly hasInstallScript?: boolean, readonly link?: boolean, readonly os?: readonly string[] }

const root = join(import.meta.dirname, '..', '..')
const json = (path: string): unknown => JSON.parse(readFileSync(join(root, path), 'utf8'))
const manifest = json('package.json') as { readonly dependencies: Record<string, string>, readonly devDependencies: Record<string, string>, readonly overrides: Record<string, string> }
const { packages } = json('package-lock.json') as { readonly packages: Record<string, Locked> }
/** The project's own folders are workspaces: nothing is fetched for them. */
const installed = Object.entries(packages).filter(([path, { link }]) => path.startsWith('node_modules/') && link !== true)

/** Below these a fault is known that a client, a caller or a token can use; every copy in the tree counts. */
const FLOORS: Readonly<Record<string, readonly [floor: string, why: string]>> = {
  ws: ['8.23.0', 'a client that does not read its pongs fills the memory'],
  '@fastify/websocket': ['11.3.6', 'a reset during an asynchronous hook ends the process'],
  fastify: ['5.12.1', 'forwarded host and protocol could be forged'],
  'fast-jwt': ['6.3.6', 'confusion of algorithms and keys'],
  '@fastify/proxy-addr': ['5.1.1', 'a mapped IPv6 network trusted all of IPv4'],
  '@grpc/grpc-js': ['1.14.7', 'malformed HTTP/2 streams and messages end the process']
}

/** From these on something that the project needs does not work with them. */
const CEILINGS: Readonly<Record<string, readonly [ceiling: string, why: string]>> = {
  typescript: ['7.0.0', 'tap and typed lint rules do not run with it'],
  cockatiel: ['4.0.0', 'it needs Node 22']
}

function compare (a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('-')[0]?.split('.').map(Number) ?? [])
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function copies (name: string): [path: string, entry: Locked][] {
  return installed.filter(([path]) => path.endsWith(`node_modules/${name}`))
}

t.test('No copy of a dependency is older than the floor below which a fault is known', async (t) => {
  for (const [name, [floor, why]] of Object.entries(FLOORS)) {
    const found = copies(name)
    t.ok(found.length > 0, `${name} is in the tree`)
    for (const [path, { version }] of found) t.ok(compare(version, floor) >= 0, `${path} ${version} is at least ${floor}: ${why}`)
  }
  t.ok(compare('8.9.9', '8.23.0') < 0 && compare('10.0.0', '9.9.9') > 0, 'versions are compared by number')
})

t.test('Nothing is newer than what the project runs with, and metrics have one library', async (t) => {
  for (const [name, [ceiling, why]] of Object.entries(CEILINGS)) {
    t.ok(copies(name).length > 0, `${name} is in the tree`)
    for (const [path, { version }] of copies(name)) t.ok(compare(version, ceiling) < 0, `${path} ${version} is below ${ceiling}: ${why}`)
  }
  t.same(installed.filter(([path]) => /prom(etheus)?-client|prometheus-metrics/.test(path)).map(([path]) => path), ['node_modules/prom-client'], 'two would each have a registry')
})

t.test('Versions are exact, and the lock file has what was asked for with its checksum', async (t) => {
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies, ...manifest.overrides })) {
    t.match(version, /^\d+\.\d+\.\d+$/, `${name} is exact`)
  }
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    t.equal(packages[`node_modules/${name}`]?.version, version, `${name} is locked at that version`)
  }
  t.same(installed.filter(([, { integrity }]) => integrity?.startsWith('sha512-') !== true).map(([path]) => path), [], 'every package has a checksum')
  t.equal(new Set(installed.map(([, { resolved }]) => new URL(resolved ?? 'none:').host)).size, 1, 'all come from one registry')
})

t.test('Nothing needs its install script, and nothing that is needed is for one platform only', async (t) => {
  const production = installed.filter(([, { dev, devOptional }]) => dev !== true && devOptional !== true)
  // protobufjs' script only prints a hint about version schemes.
  t.same(production.filter(([, { hasInstallScript }]) => hasInstallScript === true).map(([path]) => path), ['node_modules/protobufjs'], 'no package of production needs its install script')
  t.same(installed.filter(([, { os, optional, devOptional }]) => os !== undefined && optional !== true && devOptional !== true).map(([path]) => path), [], 'npm ci works on every platform')
})

t.test('Packages are installed without their scripts wherever the project says how', async (t) => {
  const read = (path: string): string => readFileSync(join(root, path), 'utf8')
  for (const path of ['README.md', 'CONTRIBUTING.md', 'Dockerfile', 'scripts/require-build.mjs', 'scripts/lib/prepare.mjs', 'scripts/lib/lts.mjs']) {
    const commands = read(path).match(/\bnpm(?: |', \[')(?:ci|install|prune)\b(?! failed).*/g) ?? []
    t.ok(commands.length > 0, path)
    t.same(commands.filter((command) => !command.includes('--ignore-scripts')), [], path)
  }
  t.match(read('.ci/run'), /npm run --silent generate/)
  t.match(read('scripts/generate.mjs'), /prepareModules/, 'CI installs by scripts/lib/prepare.mjs')
  t.notMatch(read('.npmrc'), /engine-strict/, 'a package of fastify asks for a newer Node than it needs')
})
