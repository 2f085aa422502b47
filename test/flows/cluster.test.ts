/** Three whole nodes in one fake world: neither a user nor the IM Service can tell that they are three. */
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { ImClient, type SocketConstructor } from '../../client/src/index.ts'
import { RefusedError, type DemoClient } from '../../demo/client.ts'
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { Outcome } from '../../src/generated/gateway/v1/gateway.ts'
import type { KvWatch, WatchHandlers } from '../../src/ports.ts'
import { deviceKey, encodeNode, encodeRevoked, encodeRoute, nodeKey, parseRoute, revokedKey } from '../../src/registry/records.ts'
import { startNode, startWorld, tokenFor, type TestApp } from '../helpers/app.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'

const NODES = ['node-a', 'node-b', 'node-c']
const TAKEOVER_MS = 1_000

interface Cluster { readonly a: TestApp, readonly b: TestApp, readonly c: TestApp, readonly nodes: readonly TestApp[], readonly kv: DeafKv }

/** A client of etcd that hears nothing while it is deaf, and does not notice. */
class DeafKv extends MemoryKv {
  isDeaf = false

  override watch (prefix: string, fromRevision: number, handlers: WatchHandlers): KvWatch {
    return super.watch(prefix, fromRevision, { ...handlers, onEvents: (events, revision) => { if (!this.isDeaf) handlers.onEvents(events, revision) } })
  }
}

async function cluster (t: Test, env: Readonly<Record<string, string>> = {}): Promise<Cluster> {
  const world = await startWorld()
  const kv = new DeafKv({ clock: systemClock, store: world.store })
  const nodes = await Promise.all(NODES.map((name) => {
    return startNode(world, { GRPC_AUTH_TOKEN: BEARER, GATEWAY_NODE_ID: name, ...env }, name === 'node-c' ? { kv } : {})
  }))
  t.teardown(async () => {
    await Promise.all(nodes.map((node) => node.close()))
    world.services.stop()
  })
  const [a, b, c] = nodes as [TestApp, TestApp, TestApp]
  return { a, b, c, nodes, kv }
}

const nameOf = (outcome: Outcome): string | undefined => Object.entries(Outcome).find(([, value]) => value === outcome)?.[0]
const holderOf = (node: TestApp, userId: string, deviceId: string): string | undefined => parseRoute(node.store.range(deviceKey(userId, deviceId)).entries[0]?.value ?? '')?.node
const put = async (node: TestApp, key: string, value: string): Promise<void> => {
  await node.kv.batch([{ when: [], then: { put: key, value, leaseId: await node.kv.grantLease(60) } }])
}

t.test('[GW-CON-6] a device that connects to another node is the one that stays; the older connection closes with 4409 within a second', async (t) => {
  const { a, b, c } = await cluster(t)
  const older = await a.connect('ann')
  const newer = await b.connect('ann')
  t.strictSame(await older.closed(TAKEOVER_MS), { code: 4409, reason: 'replaced' })
  t.equal(holderOf(a, 'ann', 'phone'), 'node-b')
  t.match(await imCaller(t, c).push({ conversationId: 'bob' }), { success: true, deliveredCount: 1, devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_ACKED, nodeId: 'node-b' }] })
  t.equal(newer.count('p1'), 1)
  t.equal(older.count('p1'), 0)
  const back = await a.connect('ann')
  t.match(await newer.closed(TAKEOVER_MS), { code: 4409 })
  t.match(await imCaller(t, b).push({ msgId: 'p2' }), { success: true, devices: [{ nodeId: 'node-a' }] })
  t.equal(back.count('p2'), 1)
})

t.test('[GW-CON-6] a push that waits on the replaced connection goes to the new one on the other node, once, within its deadline', async (t) => {
  const { a, b } = await cluster(t)
  const mute = await a.connect('ann', { autoAck: false })
  const report = imCaller(t, a).push({ msgId: 'p1' })
  await mute.message('p1')
  const newer = await b.connect('ann')
  t.match(await report, { success: true, deliveredCount: 1, devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_ACKED, nodeId: 'node-b' }] })
  t.equal(newer.count('p1'), 1)
})

t.test('[GW-ACK-1] a push by any node reaches the devices on all of them, each once, in one report', async (t) => {
  const { a, b, c } = await cluster(t, { ACK_TIMEOUT: '500ms' })
  const clients = [await a.connect('ann'), await b.connect('ann', { deviceId: 'laptop' }), await b.connect('ann', { deviceId: 'mute', autoAck: false }), await c.connect('ann', { deviceId: 'tab' })]
  for (const [index, node] of [a, b, c].entries()) {
    const report = await imCaller(t, node).push({ msgId: `p${index}` })
    t.match(report, { success: true, deliveredCount: 3, failedDevices: ['mute'], routesIncomplete: false })
    t.strictSame(report.devices.map(({ deviceId, nodeId, outcome }) => [deviceId, nodeId, nameOf(outcome)]).sort(), [
      ['laptop', 'node-b', 'OUTCOME_ACKED'], ['mute', 'node-b', 'OUTCOME_ACK_TIMEOUT'], ['phone', 'node-a', 'OUTCOME_ACKED'], ['tab', 'node-c', 'OUTCOME_ACKED']
    ])
    for (const client of clients) t.equal(client.count(`p${index}`), 1)
  }
  const service = imCaller(t, c)
  t.match(await service.push({ msgId: 'p3', excludeDeviceId: 'phone', deviceId: '' }), { deliveredCount: 2 })
  t.match(await service.push({ msgId: 'p4', deviceId: 'phone' }), { deliveredCount: 1, devices: [{ deviceId: 'phone', nodeId: 'node-a' }] })
  t.match(await service.push({ msgId: 'p5', deviceId: 'phone', scope: 1 }), { success: false, devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_NOT_CONNECTED }] }, 'LOCAL makes no hop')
})

t.test('[GW-CON-7] twenty devices of a user at once over three nodes: as many as allowed are in, nobody who is in is put out', async (t) => {
  const { nodes } = await cluster(t)
  const attempts = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => (nodes[i % 3] as TestApp).connect('ann', { deviceId: `d${i}` })))
  const admitted = attempts.flatMap((attempt) => attempt.status === 'fulfilled' ? [attempt.value] : [])
  t.equal(admitted.length, 5)
  for (const { reason } of attempts.filter((attempt) => attempt.status === 'rejected')) {
    t.ok(reason instanceof RefusedError ? reason.code === 'DEVICE_LIMIT_EXCEEDED' : /closed with 4429/.test(String(reason)), String(reason))
  }
  t.equal(nodes[0]?.store.range('/registry/users/ann/', { prefix: true }).entries.length, 5)
  t.ok(admitted.every((client) => client.isOpen))
  const [known] = admitted as [DemoClient]
  const again = await (nodes[2] as TestApp).connect('ann', { deviceId: String(known.welcome['device_id']) })
  t.match(await known.closed(TAKEOVER_MS), { code: 4409 }, 'a known device may always return')
  t.ok(again.isOpen)
})

t.test('presence, receipts and disconnects reach all nodes', async (t) => {
  const { a, b, c } = await cluster(t)
  const [phone, laptop, bob] = [await a.connect('ann'), await b.connect('ann', { deviceId: 'laptop' }), await b.connect('bob')]
  const service = imCaller(t, c)
  const { users } = await service.presence(['ann', 'bob', 'nobody'])
  t.strictSame(users.map(({ userId, devices }) => [userId, devices.map(({ deviceId, nodeId }) => `${deviceId}@${nodeId}`).sort()]), [['ann', ['laptop@node-b', 'phone@node-a']], ['bob', ['phone@node-b']], ['nobody', []]])
  t.match(await service.receipt({}), { success: true, deliveredCount: 2 })
  t.match(await Promise.all([phone.next('read_receipt'), laptop.next('read_receipt')]), [{ msg_id: 'm1', reader_id: 'bob' }, { msg_id: 'm1', reader_id: 'bob' }])
  t.strictSame(await service.disconnect('ann'), { disconnected: 2 })
  for (const client of [phone, laptop]) t.match(await client.closed(), { code: 4403, reason: 'disconnected' })
  t.ok(bob.isOpen)
})

t.test('a revocation closes the user\'s sockets on every node and keeps the token out of all of them', async (t) => {
  const { a, b, c } = await cluster(t)
  const clients = [await a.connect('ann'), await b.connect('ann', { deviceId: 'laptop' })]
  const bob = await c.connect('bob')
  const token = tokenFor('ann', { deviceId: 'tab' })
  await put(c, revokedKey('ann', undefined), encodeRevoked({ before: Date.now() + 1_000, at: Date.now() }))
  for (const client of clients) t.match(await client.closed(), { code: 4403, reason: 'revoked' })
  for (const node of [a, b, c]) await t.rejects(node.connect('ann', { token }), { code: 'TOKEN_REVOKED' })
  t.ok(bob.isOpen)
})

t.test('[GW-GRP-1] a group whose members sit on three nodes gets each message once on every device, in order', async (t) => {
  const { a, b, c, nodes } = await cluster(t)
  a.services.users.groups.set('group_1', ['ann', 'bob', 'cid'])
  const clients = [await a.connect('ann'), await b.connect('bob'), await c.connect('cid'), await c.connect('ann', { deviceId: 'laptop' })]
  for (let i = 1; i <= 20; i++) {
    await a.broker.produce('group_msg', 'group_1', JSON.stringify({ msg_id: `g${i}`, group_id: 'group_1', sender_id: 'ann', content: 'hi', message_type: 'text', sequence_number: i, timestamp: i }))
  }
  for (const client of clients) {
    await client.message('g20')
    t.strictSame(client.frames.filter(({ type }) => type === 'message').map((frame) => frame['sequence_number']), Array.from({ length: 20 }, (_, i) => i + 1))
  }
  t.equal(nodes.length, 3)
})

t.test('a node that is gone costs the push to its devices less than a second, and nobody else anything', async (t) => {
  const { a, b } = await cluster(t)
  await a.connect('ann')
  await put(a, nodeKey('node-x'), encodeNode({ grpc: '127.0.0.1:1', version: '1', at: 1, start: 's', connects_per_s: 50 }))
  await put(a, deviceKey('ann', 'lost'), encodeRoute({ node: 'node-x', conn: 's.1', at: 1 }))
  await put(a, deviceKey('ann', 'stray'), encodeRoute({ node: 'node-y', conn: 's.1', at: 1 }))
  const started = performance.now()
  const report = await imCaller(t, b).push({})
  t.ok(performance.now() - started < 1_000, `${performance.now() - started} ms`)
  t.strictSame(report.devices.map(({ deviceId, outcome }) => [deviceId, nameOf(outcome)]).sort(), [['lost', 'OUTCOME_UNREACHABLE'], ['phone', 'OUTCOME_ACKED'], ['stray', 'OUTCOME_UNREACHABLE']])
})

t.test('a route that is out of date costs one read of the registry, not the push', async (t) => {
  const { a, b, c, kv } = await cluster(t)
  await a.connect('ann')
  const service = imCaller(t, c)
  t.match(await service.push({ msgId: 'p1' }), { devices: [{ nodeId: 'node-a' }] })
  kv.isDeaf = true
  const newer = await b.connect('ann')
  t.match(await service.push({ msgId: 'p2' }), { success: true, deliveredCount: 1, devices: [{ nodeId: 'node-b', outcome: Outcome.OUTCOME_ACKED }] })
  t.equal(newer.count('p2'), 1)
})

t.test('[GW-END-1] a node that drains hands its clients to the others; a push meanwhile finds each device once', async (t) => {
  const { a, b, c } = await cluster(t)
  const [ann, bob] = [await a.connect('ann'), await a.connect('bob')]
  const room = b.app.registry.room
  const drained = a.app.drain.start({ delayMs: 0, timeoutMs: 3_000 })
  await eventually(() => b.app.registry.room.draining === 1, TAKEOVER_MS)
  t.equal(b.app.registry.room.connectsPerSecond, room.connectsPerSecond - 50, 'it takes nobody any more')
  t.match(await Promise.all([ann.closed(), bob.closed()]), [{ code: 1012 }, { code: 1012 }])
  await drained
  await eventually(() => a.store.range('/registry/users/', { prefix: true }).entries.length === 0, 1_000)
  await t.rejects(a.connect('ann'), { code: 'SERVER_SHUTDOWN' })
  const back = await b.connect('ann')
  t.match(await imCaller(t, c).push({ msgId: 'p1' }), { success: true, devices: [{ nodeId: 'node-b' }] })
  t.match(await imCaller(t, a).push({ msgId: 'p2' }), { success: true, devices: [{ nodeId: 'node-b' }] }, 'the drained node still serves the IM Service')
  t.equal(back.count('p1') + back.count('p2'), 2)
})

t.test('[GW-END-1] clients that keep the protocol lose nothing while one node after the other is emptied under them', async (t) => {
  const { nodes } = await cluster(t)
  const [CLIENTS, MESSAGES] = [30, 40]
  let attempt = 0
  const clients = Array.from({ length: CLIENTS }, (_, i) => new ImClient({
    url: () => (nodes[attempt++ % nodes.length] as TestApp).url,
    token: () => tokenFor(`user-${i}`),
    WebSocket: WebSocket as unknown as SocketConstructor
  }))
  t.teardown(() => { for (const client of clients) client.close() })
  for (const client of clients) client.start()
  // One that comes later may find only nodes that have been emptied already.
  await eventually(() => clients.every(({ sessions }) => sessions === 1), 5_000)
  const traffic = clients.map(async (client, i) => {
    const sent: Array<Promise<unknown>> = []
    for (let n = 0; n < MESSAGES; n++) {
      sent.push(client.send(`user-${(i + n) % CLIENTS}`, `${n}`))
      await new Promise((resolve) => { setTimeout(resolve, 50) })
    }
    await Promise.all(sent)
  })
  for (const { app } of nodes) {
    await eventually(() => app.gateway.hub.connectionCount > 0, 5_000)
    await app.drain.start({ delayMs: 0, timeoutMs: 3_000 })
    app.drain.cancel()
  }
  await Promise.all(traffic)
  const ids = (nodes[0] as TestApp).services.im.requests.map(({ message }) => message.msgId)
  t.equal(new Set(ids).size, CLIENTS * MESSAGES)
  await eventually(() => clients.every(({ sessions }) => sessions >= 2), 5_000)
})
