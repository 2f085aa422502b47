/** The dashboard and the rules before a real Prometheus, which scrapes nodes that go through the demo's story. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { DemoClient } from '../../demo/client.ts'
import type { Gateway } from '../../demo/gateway.ts'
import { startGatewayProcess } from '../../demo/gateway-process.ts'
import { playStory, STORY_ENV } from '../../demo/story.ts'
import type { World } from '../../demo/world.ts'
import { ROWS } from '../../scripts/lib/dashboard.ts'
import { Scope } from '../../src/generated/gateway/v1/gateway.ts'
import { ALERTS, RECORDINGS, RULES_FILE, selectors } from '../helpers/alert-rules.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { startWorld } from '../helpers/deploy-world.ts'
import { startPrometheus, type Line, type Prometheus } from '../helpers/prometheus.ts'

t.setTimeout(230_000)

const JOB = 'im-gateway'
const PATIENCE_MS = 30_000
/** Enough for a breaker to open. */
const SENDS = 20
const PUSH = { messageType: 'text', content: 'x', timestamp: 0n, sequenceNumber: 1n, conversationId: '', deviceId: '', metadata: {}, excludeDeviceId: '', scope: Scope.CLUSTER }

/** On a node with room for one and no IM Service: sends that fail, clients that are refused. */
async function trouble (world: World, { url }: Gateway, run: string, prometheus: Prometheus): Promise<void> {
  const user = `trouble-${run}`
  world.users.addUser(user)
  const token = (device: string): string => world.auth.mint(user, device).accessToken
  const client = await DemoClient.connect({ url, token: token('phone') })
  // The first is tried twice, for the breaker is closed yet. To one recipient the others would go one after the other.
  await client.send(user, 'not taken').catch(() => {})
  await Promise.allSettled(Array.from({ length: SENDS }, (_, i) => client.send(`somebody-${i}`, 'not taken')))
  const refused = async (): Promise<void> => { await DemoClient.connect({ url, token: token('laptop') }).then(() => { throw new Error('there was room') }, () => {}) }
  await refused()
  // A counter that comes with its first count has not grown yet.
  await eventually(async () => shows(await prometheus.range('im_gateway_handshake_failures_total{reason="OVERLOADED"}')), PATIENCE_MS)
  await refused()
}

/** A device that does not acknowledge, and then does for what it never got; a push that is wrong. */
async function silence (world: World, { url, grpc }: Gateway, run: string): Promise<void> {
  const user = `silent-${run}`
  world.users.addUser(user)
  const client = await DemoClient.connect({ url, token: world.auth.mint(user, 'phone').accessToken, autoAck: false })
  client.acknowledge('nothing')
  const push = { ...PUSH, msgId: `silence-${run}`, recipientId: user, senderId: user }
  await world.gatewayClient.pushMessage(grpc, { ...push, messageType: 'nonsense' }, PATIENCE_MS).then(() => { throw new Error('it was taken') }, () => {})
  const { success } = await world.gatewayClient.pushMessage(grpc, push, PATIENCE_MS)
  if (success) throw new Error('it was acknowledged')
  await client.close()
}

/** Whether a graph would show something: a number at least. */
function shows (lines: readonly Line[]): boolean {
  return lines.some(({ values }) => values.some(([, value]) => Number.isFinite(Number(value))))
}

/** As Grafana fills it in. */
function filled (expression: string): string {
  return expression.replaceAll('$job', JOB).replaceAll('$instance', '.+').replaceAll('$__rate_interval', '20s')
}

t.test('each query of the dashboard returns data, each rule is evaluated, and faults are seen', async (t) => {
  const run = randomBytes(4).toString('hex')
  const world = await startWorld(t, run, STORY_ENV)
  const nodes: Gateway[] = []
  for (const name of ['a', 'b', 'c']) nodes.push(await world.startGateway(`${name}-${run}`))
  const ill = await startGatewayProcess({ nodeId: `ill-${run}`, ports: { ws: 0, grpc: 0 }, env: { ...world.gatewayEnv, IM_SERVICE_ADDR: '127.0.0.1:1', MAX_CONNECTIONS: '1' }, directory: world.directory })
  t.teardown(() => ill.kill())
  const [first] = nodes as [Gateway]
  const prometheus = await startPrometheus(t, { job: JOB, targets: [...nodes, ill].map(({ port }) => `127.0.0.1:${port}`), rules: RULES_FILE })
  await eventually(async () => (await prometheus.range('up == 1')).length === nodes.length + 1, PATIENCE_MS)

  const lines: string[] = []
  await Promise.all([trouble(world, ill, run, prometheus), silence(world, first, run)])
  t.ok(await playStory(world, nodes, run, (line) => { lines.push(line) }), lines.join('\n'))

  await t.test('each query of the dashboard returns data', async (t) => {
    for (const { title, queries } of ROWS.flatMap((row) => row.panels)) {
      for (const [expression] of queries) t.ok(shows(await prometheus.range(filled(expression))), `${title}: ${expression}`)
    }
  })
  await t.test('each rule is evaluated, and finds the series that it asks for', async (t) => {
    const rules = await prometheus.rules()
    t.strictSame(rules.map(({ name }) => name).sort(), [...RECORDINGS.map(({ record }) => record), ...ALERTS.map(({ alert }) => alert)].sort())
    for (const { name, health, lastError } of rules) t.equal(health, 'ok', `${name}: ${lastError ?? ''}`)
    for (const { record } of RECORDINGS) t.ok(shows(await prometheus.range(record)), record)
    const names = new Set(ALERTS.flatMap(({ expr }) => selectors(expr).map(({ name }) => name)))
    for (const name of names) t.ok(shows(await prometheus.range(name)), name)
  })
  await t.test('the node that was killed and the one that is ill are noticed', async (t) => {
    for (const alert of ['ImGatewayNodeDown', 'ImGatewayBreakerOpen', 'ImGatewayDependencyDegraded', 'ImGatewayRefusesConnections', 'ImGatewayConnectionsNearLimit']) {
      t.ok(await noticed(prometheus, alert), alert)
    }
    for (const alert of ['ImGatewayKafkaLag', 'ImGatewayMemoryNearLimit', 'ImGatewayFilesNearLimit']) {
      t.notOk(await noticed(prometheus, alert), alert)
    }
  })
})

/** Pending counts: they wait for minutes before they fire. */
async function noticed (prometheus: Prometheus, alert: string): Promise<boolean> {
  return shows(await prometheus.range(`ALERTS{alertname="${alert}"}`))
}
