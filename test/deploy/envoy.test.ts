/** The story of the demo, idle sockets, drains and addresses through a real Envoy with the configuration of deploy/envoy. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { DemoClient } from '../../demo/client.ts'
import type { Gateway } from '../../demo/gateway.ts'
import { nodeDrained } from '../../demo/story/cluster.ts'
import { Stage } from '../../demo/story/stage.ts'
import { playStory, STORY_ENV } from '../../demo/story.ts'
import { World } from '../../demo/world.ts'
import { loadConfig } from '../../src/config.ts'
import { SUBPROTOCOL } from '../../src/protocol/subprotocol.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { startWorld } from '../helpers/deploy-world.ts'
import { ENVOY_ADDRESS, envoyConfig, managerOf, startEnvoy, type Envoy, type Front, type Ports } from '../helpers/envoy.ts'
import { freePort } from '../helpers/free-port.ts'

t.setTimeout(280_000)

const PATIENCE_MS = 30_000
/** More than twice the story's HEARTBEAT_INTERVAL: pings are good to a second, a late one is no fault. */
const IDLE_S = 3
/** Three play the story, one is drained before it, one comes at its end, one is choosy. */
const NAMES = ['a', 'b', 'c', 'd', 'next', 'strict'] as const
const IDLE_PINGS = 7
/** Envoy chooses by chance: of nine one node in four has none once in thirteen times. */
const PEOPLE = 40

interface Place { readonly front: Front, readonly node: Ports }

async function twoPorts (): Promise<Ports> {
  return { ws: await freePort(), grpc: await freePort() }
}

/** A node behind its front: its clients, the IM Service and the other nodes come through Envoy, which has seen it well. */
async function startBehind (world: World, envoy: Envoy, nodeId: string, { front, node }: Place, settings: Readonly<Record<string, string>> = {}): Promise<Gateway> {
  const gateway = await World.prototype.startGateway.call(world, nodeId, node, { TRUSTED_PROXIES: ENVOY_ADDRESS, GRPC_ADVERTISE_ADDR: `127.0.0.1:${front.grpc}`, ...settings })
  await eventually(async () => await envoy.sum(new RegExp(`^cluster\\.gateways-(?:grpc-)?${front.name}\\.membership_healthy$`)) === 2, PATIENCE_MS)
  return { ...gateway, url: `ws://127.0.0.1:${front.ws}/ws` }
}

/** What the upgrade is answered with: 101, or the status of the refusal. */
async function statusOf (t: Test, url: string, token: string, localAddress: string, forwardedFor?: string): Promise<number> {
  const socket = new WebSocket(url, SUBPROTOCOL, { localAddress, headers: { authorization: `Bearer ${token}`, ...(forwardedFor !== undefined && { 'x-forwarded-for': forwardedFor }) } })
  t.teardown(() => { socket.terminate() })
  socket.on('error', () => {})
  return await Promise.race([once(socket, 'open').then(() => 101), once(socket, 'unexpected-response').then(([, response]) => (response as { readonly statusCode: number }).statusCode)])
}

t.test('what clients are told holds for the configuration as it stands', async (t) => {
  const { listeners, clusters } = envoyConfig().static_resources
  const [clients] = listeners
  const { intervalMs, timeoutMs } = loadConfig({}, { requireServices: false }).heartbeat
  const idleMs = Number.parseFloat(clients === undefined ? '0' : managerOf(clients).stream_idle_timeout) * 1_000
  t.ok(idleMs > intervalMs && idleMs > timeoutMs, 'no socket is cut between two pings')
  t.match(clusters[0], { circuit_breakers: { thresholds: [{ max_connections: 1_000_000, max_requests: 1_000_000 }] } }, 'Envoy itself would stop at 1,024 sockets')
})

t.test('the story of the demo through Envoy', async (t) => {
  const run = randomBytes(4).toString('hex')
  const places = new Map<string, Place>()
  for (const name of NAMES) {
    const node = await twoPorts()
    places.set(name, { node, front: { ...await twoPorts(), name, nodes: [node], ...(name === 'strict' && { streamIdleTimeout: `${IDLE_S}s` }) } })
  }
  const place = (name: typeof NAMES[number]): Place => places.get(name) as Place
  const balanced: Front = { ...await twoPorts(), name: 'all', nodes: ['a', 'b', 'c', 'd'].map((name) => place(name as 'a').node), streamIdleTimeout: `${IDLE_S}s` }
  const envoy = await startEnvoy(t, [balanced, ...[...places.values()].map(({ front }) => front)])
  const world = await startWorld(t, run, { ...STORY_ENV, HANDSHAKES_PER_IP: '0' })
  // The story starts one of its own.
  world.startGateway = (nodeId) => startBehind(world, envoy, nodeId, place('next'))
  const nodes: Gateway[] = []
  for (const name of ['a', 'b', 'c', 'd'] as const) nodes.push(await startBehind(world, envoy, `${name}-${run}`, place(name)))
  await eventually(async () => await envoy.sum(/^cluster\.gateways-(?:grpc-)?all\.membership_healthy$/) === 8, PATIENCE_MS)
  const url = `ws://127.0.0.1:${balanced.ws}/ws`
  const tokenOf = (user: string): string => {
    world.users.addUser(user)
    return world.auth.mint(user, 'phone').accessToken
  }

  await t.test('nothing but /ws is reached from outside', async (t) => {
    for (const path of ['metrics', 'healthz', 'readyz', 'ws/']) t.equal((await fetch(`http://127.0.0.1:${balanced.ws}/${path}`)).status, 404, path)
  })

  await t.test('pings keep a silent socket; without them Envoy cuts it, and its node knows', async (t) => {
    const silent = new WebSocket(url, SUBPROTOCOL, { headers: { authorization: `Bearer ${tokenOf(`silent-${run}`)}` } })
    t.teardown(() => { silent.terminate() })
    const gone = new AbortController()
    silent.once('close', (code) => { gone.abort(new Error(`it was closed with ${code}`)) })
    const started = performance.now()
    for (let pings = 0; pings < IDLE_PINGS; pings++) await once(silent, 'ping', { signal: gone.signal })
    t.ok(performance.now() - started > IDLE_S * 1_000 * 1.5)
    t.equal(silent.readyState, WebSocket.OPEN)

    const rare = await startBehind(world, envoy, `strict-${run}`, place('strict'), { HEARTBEAT_INTERVAL: '30s', HEARTBEAT_TIMEOUT: '90s', MAX_CONNECTIONS_PER_IP: '1' })
    const user = `rare-${run}`
    const client = await DemoClient.connect({ url: rare.url, token: tokenOf(user) })
    t.equal((await client.closed(PATIENCE_MS)).code, 1006)
    await eventually(async () => await world.directory.locate(user) === undefined, PATIENCE_MS)
  })

  await t.test('X-Forwarded-For is believed of Envoy alone', async (t) => {
    const { front, node } = place('strict')
    const [through, past] = [`ws://127.0.0.1:${front.ws}/ws`, `ws://127.0.0.1:${node.ws}/ws`]
    const status = (url: string, localAddress: string, forwardedFor?: string): Promise<number> => statusOf(t, url, tokenOf(`${randomBytes(4).toString('hex')}-${run}`), localAddress, forwardedFor)
    t.equal(await status(through, '127.0.0.21'), 101)
    t.equal(await status(through, '127.0.0.22'), 101, 'another client, though Envoy is the same')
    t.equal(await status(through, '127.0.0.21', '198.51.100.1'), 429, 'what a client says of itself is not its address')
    t.equal(await status(past, '127.0.0.23', '198.51.100.2'), 101)
    t.equal(await status(past, '127.0.0.23', '198.51.100.3'), 429, 'nor is it believed past Envoy')
  })

  await t.test('a node is drained under talk: everybody is taken by another, nothing is missed', async () => {
    const stage = new Stage(world, nodes.map((node) => ({ ...node, url })), `${run}-drain`)
    await nodeDrained(stage, PEOPLE)
    await stage.close()
    nodes.pop()
  })

  await t.test('the story itself', async (t) => {
    const lines: string[] = []
    const calls = await envoy.sum(/^cluster\.gateways-grpc-.*\.upstream_rq_total$/)
    t.ok(await playStory(world, nodes, run, (line) => { lines.push(line) }), lines.join('\n'))
    t.ok(await envoy.sum(/^cluster\.gateways-grpc-.*\.upstream_rq_total$/) > calls, 'gRPC came through Envoy')
    t.ok(await envoy.sum(/^http\.clients\.downstream_cx_upgrades_total$/) > 0, 'and so did clients')
  })
})
