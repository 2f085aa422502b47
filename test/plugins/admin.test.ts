import fastify from 'fastify'
import t, { type Test } from 'tap'
import admin from '../../plugins/admin.ts'
import health from '../../plugins/health.ts'
import metrics from '../../plugins/metrics.ts'
import adminRoutes from '../../routes/admin.ts'
import healthRoutes from '../../routes/healthz.ts'
import metricsRoute from '../../routes/metrics.ts'
import { Drain } from '../../src/connections/drain.ts'
import { Hub } from '../../src/connections/hub.ts'
import { connect } from '../helpers/connections.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { GatewayError } from '../../src/errors.ts'
import type { Explanation } from '../../src/explain/explanation.ts'
import { Scope, type DisconnectRequest, type DisconnectResponse } from '../../src/generated/gateway/v1/gateway.ts'
import { NodeOperations } from '../../src/operations.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

const TOKEN = 'operator-token-0123456789'

async function app (t: Test, token?: string) {
  const main = fastify()
  t.teardown(() => main.close())
  const hub = new Hub()
  const clock = new ManualClock()
  await main.register(metrics, { version: '0', processMetrics: false })
  await main.register(health, {
    clock, dependencies: ['etcd'], maxConnections: 10, maxEventLoopDelayMs: 1e9, maxMemoryBytes: 1e12, maxResidentBytes: 1e12, connections: () => hub.connectionCount, sample: () => ({ eventLoopDelayMs: 0, inUseBytes: 0, residentBytes: 0 })
  })
  const drain = new Drain({
    hub,
    clock,
    logger: new FakeLogger(),
    meter: main.meter,
    room: () => ({ connectsPerSecond: 0, draining: 0 }),
    health: main.health,
    random: () => 0,
    outbox: { send: () => 'queued' },
    target: { stopReading: () => {}, isBusy: () => false, hasPushes: () => false, close: (connection) => { hub.remove(connection) } }
  })
  const asked: object[] = []
  const explain = async (query: object): Promise<Explanation> => {
    asked.push(query)
    return { events: [], nodes: [{ node_id: 'node-1', oldest_at: null, left_off: 0 }] }
  }
  const disconnect = async (request: DisconnectRequest): Promise<DisconnectResponse> => {
    asked.push(request)
    if (request.userId === 'far') throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'a node does not answer' })
    return { disconnected: 2 }
  }
  const operations = new NodeOperations({ nodeId: 'node-1', clock, heartbeat: { nowMs: 90_000 }, drain, times: { delayMs: 1000, timeoutMs: 30_000 }, hub, idOf: ({ serial }) => `x.${serial}`, explainer: { explain }, presence: { disconnect } })
  const status = { health: async () => main.health.report(), metrics: main.metrics.expose }
  await main.register(admin, {
    host: '127.0.0.1',
    port: 0,
    routes: async (server) => {
      await server.register(healthRoutes, { status })
      await server.register(metricsRoute, { status })
      await server.register(adminRoutes, { operations, token })
    }
  })
  await main.register(healthRoutes, { status })
  await main.register(metricsRoute, { status })
  await main.listen({ host: '127.0.0.1', port: 0 })
  const { port } = main.admin.address ?? { port: 0 }
  const ask = async (path: string, options: RequestInit = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, options)
    const text = await response.text()
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text, headers: response.headers }
  }
  return { main, hub, clock, ask, port, drain, asked }
}

t.test('[GW-OBS-5] the three status routes answer on both ports, the operator routes on the admin port alone', async (t) => {
  const { main, ask } = await app(t)
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    t.equal((await main.inject(path)).statusCode, 200, path)
    t.equal((await ask(path)).status, 200, path)
  }
  for (const path of ['/drain', '/connections', '/explain?user=ann']) {
    t.equal((await main.inject(path)).statusCode, 404, path)
    t.equal((await ask(path)).status, 200, path)
  }
  t.equal((await main.inject({ method: 'POST', url: '/drain' })).statusCode, 404)
})

t.test('[GW-OBS-5] where a token is set the operator routes ask for it', async (t) => {
  const { ask } = await app(t, TOKEN)
  for (const [path, method] of [['/drain', 'GET'], ['/drain', 'POST'], ['/drain', 'DELETE'], ['/connections', 'GET'], ['/connections?user=ann', 'DELETE'], ['/explain?user=ann', 'GET']] as const) {
    const refused = await ask(path, { method })
    t.equal(refused.status, 401, `${method} ${path}`)
    t.equal(refused.headers.get('www-authenticate'), 'Bearer')
    t.equal((await ask(path, { method, headers: { authorization: `Bearer ${TOKEN}x` } })).status, 401)
  }
  t.match((await ask('/drain', { headers: { authorization: `Bearer ${TOKEN}` } })).body, { phase: 'off' })
  t.equal((await ask('/healthz')).status, 200, 'probes need none')
})

t.test('[GW-OBS-5] without a token a page in a browser is kept out', async (t) => {
  const { ask, main, port } = await app(t)
  t.equal((await ask('/drain', { method: 'POST', headers: { origin: 'https://evil.example' } })).status, 403)
  t.equal((await ask('/drain', { headers: { 'sec-fetch-site': 'cross-site' } })).status, 403)
  const rebound = await new Promise<string>((resolve, reject) => {
    import('node:net').then(({ connect: open }) => {
      const socket = open(port, '127.0.0.1', () => { socket.end('GET /drain HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n') })
      let text = ''
      socket.on('data', (chunk) => { text += chunk.toString() }).on('end', () => { resolve(text) }).on('error', reject)
    }, reject)
  })
  t.match(rebound, /^HTTP\/1\.1 403/)
  t.equal(main.health.report().ready, true)
})

t.test('[GW-OBS-5] a drain can be started, watched and called off', async (t) => {
  const { ask, hub, clock, main, drain } = await app(t)
  connect(hub, 'alice')
  connect(hub, 'bob')
  const started = await ask('/drain', { method: 'POST' })
  t.equal(started.status, 202)
  t.match(started.body, { phase: 'delay', total: 2, remaining: 2 })
  t.equal((await ask('/readyz')).status, 503)
  t.equal((await main.inject('/readyz')).statusCode, 503)
  t.equal((await ask('/drain', { method: 'POST' })).status, 202, 'again joins')
  await clock.run(2000)
  t.match((await ask('/drain')).body, { phase: 'held', total: 2, closed: 2, remaining: 0 })
  t.match((await ask('/drain', { method: 'DELETE' })).body, { phase: 'off' })
  t.equal((await ask('/readyz')).status, 200)
  await Promise.all([drain.start({ delayMs: 0, timeoutMs: 1000, final: true }), clock.run(100)])
  t.equal((await ask('/drain', { method: 'DELETE' })).status, 409, 'once the process ends there is no way back')
  t.match((await ask('/drain')).body, { phase: 'held' })
})

t.test('[GW-OBS-5] connections are listed by user and device, bounded, without what is said on them', async (t) => {
  const { ask, hub } = await app(t)
  for (let at = 0; at < 150; at++) connect(hub, `user-${at % 50}`, `device-${Math.floor(at / 50)}`)
  t.match((await ask('/connections')).body, { total: 150, listed: 100 })
  t.match((await ask('/connections?user=user-7')).body, { total: 150, listed: 3 })
  const { body } = await ask('/connections?user=user-7&device=device-1')
  t.equal(body.listed, 1)
  t.match(body.connections[0], { user_id: 'user-7', device_id: 'device-1', state: 'open', connection_id: /^x\.\d+$/ })
  t.equal((await ask('/connections?device=device-2&limit=1000')).body.listed, 50)
  t.equal((await ask('/connections?user=nobody')).body.listed, 0)
  for (const query of ['limit=0', 'limit=1001', 'limit=x', 'user=', 'user=a&user=b', 'node=', 'state=closed', 'paused=perhaps', 'min_queued_bytes=-1', 'min_age_ms=1.5', 'min_idle_ms=x', 'color=red']) t.equal((await ask(`/connections?${query}`)).status, 400, query)
})

t.test('connections are found by node, state, silence and what they do not read', async (t) => {
  const { ask, hub } = await app(t)
  const { connection: slow } = connect(hub, 'ann', 'slow')
  slow.queuedBytes = 3_000
  slow.stalledBytes = 1_096
  const { connection: flooding } = connect(hub, 'ann', 'flooding')
  flooding.pausedAtMs = 5
  connect(hub, 'bob', 'new', { held: true })
  const { connection: lively } = connect(hub, 'cid', 'lively')
  lively.lastSeenMs = 80_000
  const found = async (query: string): Promise<string> => ((await ask(`/connections?${query}`)).body.connections as Array<{ readonly device_id: string }>).map(({ device_id: id }) => id).join(' ')
  t.equal(await found('min_queued_bytes=4096'), 'slow')
  t.equal(await found('min_queued_bytes=4097'), '')
  t.equal(await found('paused=true'), 'flooding')
  t.equal(await found('paused=false&user=ann'), 'slow')
  t.equal(await found('state=opening'), 'new')
  t.equal(await found('min_idle_ms=10001'), 'slow flooding new')
  t.equal(await found('min_idle_ms=10000&state=open&node=node-1'), 'slow flooding lively')
  t.equal(await found('node=node-2'), '')
  t.equal(await found('max_age_ms=1000'), '')
  t.match((await ask('/connections?device=lively')).body.connections, [{ idle_ms: 10_000, queued_bytes: 0 }])
})

t.test('[GW-OBS-5] an explanation is asked for by one id, of all nodes unless it says otherwise', async (t) => {
  const { ask, asked } = await app(t)
  t.match(await ask('/explain?msg_id=m1'), { status: 200, body: { events: [], nodes: [{ node_id: 'node-1' }] } })
  t.equal((await ask('/explain?user=Ann%20Lee&scope=local')).status, 200)
  t.strictSame(asked.map((query) => ({ ...query })), [{ msg_id: 'm1', scope: 'cluster' }, { user: 'Ann Lee', scope: 'local' }])
  for (const query of ['', 'msg_id=m1&user=ann', 'msg_id=a%20b', 'user=', 'user=a%07', 'msg_id=m1&scope=all', 'msg_id=m1&msg_id=m2', 'msg_id=m2&except=node-1']) t.equal((await ask(`/explain?${query}`)).status, 400, query)
  t.equal(asked.length, 2, 'which nodes are left out is not for those outside either')
})

t.test('[GW-OBS-5] a user is disconnected on all nodes, and a node that does not answer is told', async (t) => {
  const { ask, asked } = await app(t)
  t.match(await ask('/connections?user=ann&device=phone&reason=moved', { method: 'DELETE' }), { status: 200, body: { disconnected: 2 } })
  t.match(await ask('/connections?user=far', { method: 'DELETE' }), { status: 503, body: { error: 'a node does not answer' } })
  t.match(asked, [{ userId: 'ann', deviceId: 'phone', reason: 'moved', scope: Scope.CLUSTER }, { userId: 'far', deviceId: '' }])
  for (const query of ['', 'device=phone', 'user=', 'user=ann&device=a%20b', 'user=ann&devcie=phone', `user=ann&reason=${'x'.repeat(257)}`]) t.equal((await ask(`/connections?${query}`, { method: 'DELETE' })).status, 400, query)
  t.equal(asked.length, 2)
})
