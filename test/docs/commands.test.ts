/** Every command that a page names is run here, or the table says what runs it, or what it needs that nobody has here. */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { commandsIn, pages, prose, read, ROOT, shellBlocks, type Command } from '../helpers/pages.ts'

interface Row {
  /** What is run here in its place, as a shell would; `env`: of the command on the page. */
  readonly run?: string
  readonly code?: number
  readonly prints?: RegExp
  /** What runs it: `step NAME` of .ci/run, or a test. */
  readonly by?: string
  /** What it needs, where it is not run by the project. */
  readonly needs?: string
  /** Where it reads its flags, if what is printed here does not name them. */
  readonly flags?: readonly string[]
}

const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> }
const MAIN = 'node --import tsx src/main.ts'
const CLUSTER = 'a Kubernetes cluster'

/** By the first words of a command; the longest row counts. */
const TABLE: Readonly<Record<string, Row>> = {
  'npm ci --ignore-scripts': { by: 'step install' },
  'npm install': { needs: 'a project beside this one; test/integration/client.test.ts takes the package by a link' },
  'npm test': { by: 'step test' },
  'npm start': { by: 'step start' },
  'npm start -- --help': { run: `${MAIN} --help`, prints: /GATEWAY_NODE_ID[^]*GRPC_ADVERTISE_ADDR/ },
  'npm start -- --check-config': { run: `${MAIN} --check-config`, code: 78, prints: /AUTH_SERVICE_ADDR: / },
  'npm run demo': { by: 'step demo', flags: ['demo/main.ts'] },
  'npm run rehearse': { by: 'test/rehearse/rehearsal.test.ts', run: `${scripts['rehearse']} --help`, prints: /^Usage: npm run rehearse/ },
  'npm run test:unit': { by: 'step test' },
  'npm run test:frames': { by: 'step test' },
  'npm run test:security': { by: 'step test' },
  'npm run test:properties': { by: 'step test' },
  'npm run test:leaks': { by: 'step test' },
  'npm run test:integration': { by: 'step test' },
  'npm run test:deploy': { needs: 'tools that take long to build; its suite is test/deploy', flags: ['scripts/test.mjs'] },
  'npm run test:faults': { by: 'step faults', run: `${scripts['test:faults']} no-row`, code: 64, prints: /no such row: no-row; there are .*\bE1\b/, flags: ['scripts/faults.mjs'] },
  'npm run test:mutations': { by: 'step mutations' },
  'npm run soak': { run: `${scripts['soak']}`, code: 64, prints: /^npm run soak -- TIME/ },
  'npm run fuzz': { by: 'test/fuzz/fuzz.test.ts', flags: ['test/fuzz/run.ts'] },
  'npm run check:rules': { by: 'step rules', run: `${scripts['check:rules']}`, prints: /, 0 faults/, flags: ['scripts/check-rules.mjs'] },
  'npm run check:alerts': { by: 'step alerts' },
  'npm run sbom': { by: 'step sbom' },
  'npm run lint': { by: 'step lint' },
  'npm run typecheck': { by: 'step typecheck' },
  'npm run generate': { by: 'step install' },
  'npm run build': { by: 'step build' },
  'npm run docs': { by: 'step docs', flags: ['scripts/generate-docs.ts'] },
  'npm run bench': { needs: 'a machine that does nothing else, for hours', flags: ['bench/lib/command.ts'] },
  'npm run bench -- guard': { by: 'step guard', flags: ['bench/guard.ts'] },
  'npm run services': { by: 'test/integration/services.test.ts', run: `${scripts['services']} status`, code: 3, prints: /nothing was started/ },
  '.ci/run': { run: 'bash -n .ci/run' },
  'node scripts/test.mjs': { by: 'test/scripts/scripts.test.ts' },
  'node --import tsx test/': { by: 'step test' },
  'npx im-gateway': { run: 'node --import tsx bin/im-gateway.ts --help', prints: /^Usage: im-gateway COMMAND/, flags: readdirSync(join(ROOT, 'bin'), { encoding: 'utf8', recursive: true }).filter((name) => name.endsWith('.ts')).map((name) => `bin/${name}`) },
  'npx im-gateway check-client': { by: 'test/integration/conformance.test.ts', flags: ['conformance/command.ts'] },
  'node chat.mjs': { by: 'test/integration/client.test.ts' },
  'python3 -m venv': { by: 'test/integration/conformance.test.ts' },
  '.venv/bin/pip install': { by: 'test/integration/conformance.test.ts' },
  'npx wscat': { needs: 'wscat, which npx fetches' },
  'grpcurl -plaintext': { by: 'test/integration/demo.test.ts' },
  'docker compose -f deploy/compose.yaml': { needs: 'Docker' },
  curl: { needs: 'a running node; its paths are looked up below' },
  grep: { needs: 'what curl brought; its names are looked up below' },
  'kubectl get': { needs: CLUSTER },
  'kubectl logs': { needs: CLUSTER },
  'kubectl port-forward': { needs: CLUSTER },
  'kubectl describe': { needs: CLUSTER },
  'kubectl delete': { needs: CLUSTER },
  'kubectl exec': { needs: CLUSTER },
  'kubectl create': { needs: CLUSTER },
  'helm install': { by: 'test/deploy/chart.test.ts' },
  'helm template': { by: 'test/integration/chart.test.ts' },
  'docker build': { needs: 'Docker' },
  'docker push': { needs: 'Docker' },
  'etcdctl endpoint health': { needs: 'etcd' },
  'kafka-broker-api-versions.sh': { needs: 'Kafka' }
}

/** Of Node: what the benchmarks run it with. */
const OTHER_FLAGS = ['expose-gc', 'max-semi-space-size', 'compact-on-every-full-gc']

const commands = pages.flatMap(({ page, text }) => commandsIn(text).map((command) => ({ page, ...command })))
const ci = read('.ci/run')
const wordsOf = (key: string): readonly string[] => key.split(' ')
const begins = (words: readonly string[], key: string): boolean => wordsOf(key).every((word, at) => word.endsWith('/') ? words[at]?.startsWith(word) : words[at] === word)

function keyOf ({ words }: Command): string | undefined {
  return Object.keys(TABLE).filter((key) => begins(words, key)).sort((a, b) => wordsOf(b).length - wordsOf(a).length)[0]
}

/** `--name`, of words and of the code that reads them: a whole string or a key of `parseArgs`. */
const flagsOf = (text: string): string[] => [...text.matchAll(/(?<![\w-])--([a-z][a-z-]*)/g)].map(([, flag = '']) => flag)
const flagsRead = (path: string): string[] => [...read(path).matchAll(/'--([a-z-]+)'|'?\b([a-z-]+)'?: \{ type: '/g)].map(([, whole, key]) => whole ?? key ?? '')

/** As a shell would run it in the project's folder, with nothing of our environment but the path. */
async function run (command: string, env: Readonly<Record<string, string>> = {}): Promise<{ readonly code: number, readonly output: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', command], { cwd: ROOT, env: { PATH: process.env['PATH'] ?? '', ...env }, timeout: 30_000 })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { readonly code: number, readonly stdout: string, readonly stderr: string }
    return { code, output: stdout + stderr }
  }
}

t.test('every command of the pages has a row, and every row a command', async (t) => {
  const used = new Set<string>()
  for (const command of commands) {
    const key = keyOf(command)
    t.ok(key, `${command.page}: ${command.words.join(' ')}: say in the table how it is tried`)
    used.add(key ?? '')
  }
  t.strictSame(Object.keys(TABLE).filter((key) => !used.has(key)), [], 'no page has these any more')
  t.equal(keyOf({ words: ['npm', 'run', 'dance'], env: {} }), undefined)
})

t.test('what is said to run a command is there', async (t) => {
  for (const [key, { run, by, needs }] of Object.entries(TABLE)) {
    t.ok(run !== undefined || by !== undefined || needs !== undefined, key)
    const [, step] = /^step (\S+)$/.exec(by ?? '') ?? []
    if (step !== undefined) t.match(ci, new RegExp(`^step ${step} \\d+ `, 'm'), `${key}: step ${step}`)
    else if (by !== undefined) t.ok(existsSync(join(ROOT, by)), `${key}: ${by}`)
    const script = /^npm run (\S+)/.exec(key)?.[1]
    if (script !== undefined) t.ok(script in scripts, key)
  }
})

t.test('the shell understands the blocks of the pages', async (t) => {
  for (const { page, text } of pages) {
    for (const block of shellBlocks(text)) {
      const { status, stderr } = spawnSync('bash', ['-n'], { input: block.replaceAll(/^> .*$/gm, ''), encoding: 'utf8' })
      t.equal(status, 0, `${page}: ${stderr}`)
    }
  }
})

t.test('commands that take a moment are run, and each flag that a page gives to one of ours is known', async (t) => {
  const services = t.testdir({})
  const known = new Map<string, ReadonlySet<string>>()
  let faults = ''
  for (const [key, { run: line, code = 0, prints = /^/, flags = [] }] of Object.entries(TABLE)) {
    const said = line === undefined ? undefined : await run(line, { SERVICES_DIR: services })
    if (said !== undefined) t.match(said, { code, output: prints }, `${key}: ${line}`)
    if (key === 'npm run test:faults') faults = said?.output ?? ''
    known.set(key, new Set([...flagsOf(said?.output ?? ''), ...flags.flatMap(flagsRead), ...flagsOf(key)]))
  }
  const projects = commands.filter(({ words: [program, name] }) => (program === 'npm' && name !== 'ci') || (program === 'npx' && name === 'im-gateway'))
  for (const command of projects) {
    const key = keyOf(command) ?? ''
    const own = command.words.slice(0, command.words[1] === 'im-gateway' && command.words.includes('--') ? command.words.indexOf('--') : undefined)
    for (const flag of flagsOf(own.join(' '))) t.ok(known.get(key)?.has(flag), `${command.page}: ${key} --${flag}`)
  }
  const ours = new Set([...OTHER_FLAGS, ...[...known.values()].flatMap((names) => [...names])])
  for (const { page, text } of pages) {
    for (const [span] of prose(text).matchAll(/`--[^`]+`/g)) {
      for (const flag of flagsOf(span)) t.ok(ours.has(flag), `${page}: --${flag}`)
    }
  }
  for (const { page, words } of commands.filter(({ words }) => words[2] === 'test:faults')) {
    for (const row of words.slice(3).filter((word) => /^[A-Z]\d+$/.test(word))) t.ok(faults.split(/\s/).includes(row), `${page}: row ${row}`)
  }
  for (const { page, words } of commands.filter(({ words: [program] }) => program === '.ci/run')) {
    for (const step of words.slice(1).filter((word) => /^[a-z-]+$/.test(word))) t.match(ci, new RegExp(`^step ${step} `, 'm'), `${page}: step ${step}`)
  }
})

t.test('the environment of the README starts a gateway', async (t) => {
  const [command] = commands.filter(({ page, words, env }) => page === 'README.md' && words.join(' ') === 'npm start' && Object.keys(env).length > 0)
  const secret = join(t.testdir({ secret: 'a-secret-of-more-than-32-characters' }), 'secret')
  const env = Object.fromEntries(Object.entries(command?.env ?? {}).map(([name, value]) => [name, name.endsWith('_FILE') ? secret : value]))
  t.ok('AUTH_SERVICE_ADDR' in env)
  t.match(await run(`${MAIN} --check-config`, env), { code: 0, output: /# the configuration is valid/ })
})

/** Of Node and the process: prom-client's own. */
const DEFAULT_METRICS = ['process_open_fds', 'process_max_fds', 'process_resident_memory_bytes', 'nodejs_heap_size_used_bytes', 'nodejs_external_memory_bytes', 'nodejs_eventloop_lag_seconds']

t.test('what curl asks a node for is a route, and what grep looks for is in its metrics', async (t) => {
  const { paths } = JSON.parse(read('docs/openapi.json')) as { readonly paths: Readonly<Record<string, object>> }
  const asked = commands.filter(({ words: [program] }) => program === 'curl').flatMap(({ page, words }) => words.map((word) => [page, /^http:\/\/(?:NODE|ADMIN)(\/\w+)/.exec(word)?.[1]] as const)).filter(([, path]) => path !== undefined)
  t.ok(asked.length > 5)
  for (const [page, path = ''] of asked) t.ok(path in paths, `${page}: ${path}`)
  const metrics = seriesOf(read('docs/metrics.md'))
  for (const { page, words: [, ...words] } of commands.filter(({ words: [program], page }) => program === 'grep' && page === 'docs/runbook.md')) {
    for (const pattern of (words.at(-1) ?? '').split(/\|(?![^(]*\))/)) {
      if (pattern.includes(' ') && !pattern.endsWith(' ')) t.ok(isLogged(pattern), `${page}: ${pattern}`)
      else t.ok([...metrics, ...DEFAULT_METRICS].some((name) => new RegExp(pattern).test(name)), `${page}: ${pattern}`)
    }
  }
})

/** As they are exposed, of the tables of docs/metrics.md: with each label that has a list of values. */
function seriesOf (page: string): string[] {
  return [...page.matchAll(/^\| `(\w+)` \| .* \| (.*) \|$/gm)].flatMap(([, name = '', labels = '']) => {
    const labelled = labels.split('; ').flatMap((part) => {
      const [, label = '', values = ''] = /^`(\w+)`: (.+)$/.exec(part) ?? []
      return [...values.matchAll(/`(\w+)`/g)].map(([, value = '']) => `im_gateway_${name}{${label}="${value}"} `)
    })
    return [`im_gateway_${name} `, `im_gateway_${name}_sum`, `im_gateway_${name}_count`, ...labelled]
  })
}

/** Words of a log line. */
function isLogged (words: string): boolean {
  return spawnSync('grep', ['-rqF', words, 'src', 'plugins', 'routes'], { cwd: ROOT }).status === 0
}
