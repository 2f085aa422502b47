/** One whole node in a fake world: what clients, the IM Service, Kafka, operators and probes see of it. */
import { once } from 'node:events'
import pino from 'pino'
import t from 'tap'
import { RefusedError, SendError, type DemoClient } from '../../demo/client.ts'
import { Outcome } from '../../src/generated/gateway/v1/gateway.ts'
import { loggingOptions } from '../../src/logging.ts'
import { startApp, tokenFor, type TestApp } from '../helpers/app.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'

/** Waits, bounded, until something holds. */
async function until (what: () => boolean | Promise<boolean>, name: string): Promise<void> {
  const end = performance.now() + 5_000
  while (!await what()) {
    if (performance.now() > end) throw new Error(`${name}: not within 5 s`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const registered = (node: TestApp): string[] => node.store.range('/registry/users/', { prefix: true }).entries.map((entry) => entry.key)

t.test('a message goes to the IM Service with the token\'s user and the session\'s device, and is acknowledged once accepted', async (t) => {
  const node = await startApp(t)
  const ann = await node.connect('ann')
  t.match(await ann.send('bob', 'hi', { metadata: { a: 'b' } }), { sequenceNumber: 1 })
  t.match(await ann.send('group_1', 'all'), { sequenceNumber: 1 })
  t.match(node.services.im.requests, [
    { kind: 'private', via: 'stream', recipient: 'bob', message: { senderId: 'ann', senderDeviceId: 'phone', content: 'hi', metadata: { a: 'b' } } },
    { kind: 'group', recipient: 'group_1' }
  ])
  node.services.im.behave = () => ({ errorCode: 7 })
  const refused = await ann.send('bob', 'bad words').catch((error: unknown) => error)
  t.ok(refused instanceof SendError)
  t.match(refused, { code: 'SENSITIVE_CONTENT', frame: { retryable: false } })
  t.equal(await node.metric('im_gateway_messages_routed_total{kind="private",result="ok"}'), 1)
})

t.test('a push reaches all devices, waits for their acks and names each outcome [GW-ACK-1]', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, ACK_TIMEOUT: '300ms' })
  const service = imCaller(t, node)
  const phone = await node.connect('ann')
  const mute = await node.connect('ann', { deviceId: 'laptop', autoAck: false })
  const report = await service.push({ conversationId: 'bob' })
  t.match(await phone.message('p1'), { type: 'message', sender: 'bob', recipient: 'bob', content: 'hi', sequence_number: 1, ack_required: true })
  t.ok(await mute.message('p1'))
  t.match(report, { success: true, deliveredCount: 1, failedDevices: ['laptop'], routesIncomplete: false })
  const outcomes = Object.fromEntries(report.devices.map((device) => [device.deviceId, device.outcome]))
  t.same(outcomes, { phone: Outcome.OUTCOME_ACKED, laptop: Outcome.OUTCOME_ACK_TIMEOUT })
  t.ok(report.devices.every((device) => device.nodeId === 'node-1'))
  t.match(await service.push({ recipientId: 'nobody', msgId: 'p2' }), { success: false, devices: [], routesIncomplete: false })
  await t.rejects(service.push({ content: 'x'.repeat(70_000) }))
})

t.test('a push that waits on a replaced connection is sent again to the new one [GW-CON-6]', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER })
  const service = imCaller(t, node)
  const older = await node.connect('ann', { autoAck: false })
  const report = service.push({})
  await older.message('p1')
  const newer = await node.connect('ann')
  t.match(await older.closed(), { code: 4409, reason: 'replaced' })
  t.match(await report, { success: true, devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_ACKED }] })
  t.equal(newer.count('p1'), 1)
  t.equal(registered(node).length, 1)
})

t.test('receipts, presence and disconnects by gRPC [GW-EVT-1]', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER })
  const service = imCaller(t, node)
  const ann = await node.connect('ann')
  t.match(await service.receipt({}), { success: true, deliveredCount: 1, devices: [{ outcome: Outcome.OUTCOME_WRITTEN }] })
  t.match(await ann.next('read_receipt'), { msg_id: 'm1', reader_id: 'bob', conversation_id: 'bob', read_at: 5 })
  t.match(await service.presence(['ann', 'zoe']), { users: [{ userId: 'ann', devices: [{ deviceId: 'phone', nodeId: 'node-1' }] }, { userId: 'zoe', devices: [] }], incomplete: false })
  t.match(await service.disconnect('ann'), { disconnected: 1 })
  t.match(await ann.closed(), { code: 4403, reason: 'disconnected' })
  await until(() => registered(node).length === 0, 'unregistered')
})

t.test('a group message reaches every local member, the sender too, in order; joins and leaves take effect [GW-GRP-1]', async (t) => {
  const node = await startApp(t)
  node.services.users.groups.set('group_1', ['ann', 'bob', 'zoe'])
  const ann = await node.connect('ann')
  const bob = await node.connect('bob')
  const eve = await node.connect('eve')
  let n = 0
  const produce = async (msgId: string): Promise<void> => {
    await node.broker.produce('group_msg', 'group_1', JSON.stringify({ msg_id: msgId, group_id: 'group_1', sender_id: 'ann', content: 'hi', message_type: 'text', sequence_number: ++n, timestamp: 1 }))
  }
  const change = async (userId: string, eventType: string): Promise<void> => {
    await node.broker.produce('membership_change', 'group_1', JSON.stringify({ group_id: 'group_1', user_id: userId, event_type: eventType, timestamp: 1 }))
  }
  const ids = (client: DemoClient): unknown[] => client.frames.filter((frame) => frame.type === 'message').map((frame) => frame.msg_id)
  for (let i = 1; i <= 20; i++) await produce(`g${i}`)
  for (const member of [ann, bob]) {
    await member.message('g20')
    t.same(ids(member), Array.from({ length: 20 }, (_, i) => `g${i + 1}`))
  }
  t.equal((await ann.message('g1')).ack_required, undefined)
  await change('eve', 'join')
  t.match(await eve.next('membership_change'), { group_id: 'group_1', user_id: 'eve', event_type: 'join' })
  await ann.next('membership_change')
  await produce('g21')
  t.match(await eve.message('g21'), { recipient: 'group_1' })
  await change('bob', 'leave')
  await bob.waitFor((frame) => frame.event_type === 'leave', 'the leave')
  await produce('g22')
  await eve.message('g22')
  t.equal(bob.count('g22'), 0)
  const late = await node.connect('zoe')
  await produce('g23')
  t.ok(await late.message('g23'), 'who connects after the group was cached is in')
})

t.test('receipts from Kafka reach the sender\'s devices, poison is passed over [GW-EVT-1]', async (t) => {
  const node = await startApp(t)
  const ann = await node.connect('ann')
  for (const value of ['nonsense', '{}', '[]', 'null']) await node.broker.produce('read_receipt_events', 'ann', value)
  await node.broker.produce('read_receipt_events', 'ann', JSON.stringify({ msg_id: 'm1', sender_id: 'ann', reader_id: 'bob', conversation_id: 'bob', read_at: 7 }))
  t.match(await ann.next('read_receipt'), { msg_id: 'm1', read_at: 7 })
  t.equal(await node.metric('im_gateway_group_records_total{topic="read_receipt_events",result="bad_json"}'), 1)
})

t.test('twenty devices of one user at once: exactly as many are admitted as allowed, a known one may return [GW-CON-7]', async (t) => {
  const node = await startApp(t, { MAX_DEVICES_PER_USER: '5' })
  const tries = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => node.connect('ann', { deviceId: `d${i}` })))
  const live = tries.flatMap((each) => each.status === 'fulfilled' && each.value.isOpen ? [each.value] : [])
  await until(() => registered(node).length === 5, 'five registrations')
  t.equal(live.length, 5)
  const refused = await node.connect('ann', { deviceId: 'more' }).catch((error: unknown) => error)
  t.match(refused, { status: 429, code: 'DEVICE_LIMIT_EXCEEDED' })
  const known = String(live[0]?.welcome.device_id)
  t.ok((await node.connect('ann', { deviceId: known })).isOpen)
})

t.test('a revocation in the registry closes the sockets and refuses the tokens', async (t) => {
  const node = await startApp(t)
  const ann = await node.connect('ann')
  await node.kv.batch([{ when: [], then: { put: '/registry/revoked/ann/*', value: JSON.stringify({ before: Date.now() + 1000, at: Date.now() }), leaseId: await node.kv.grantLease(60) } }])
  t.match(await ann.closed(), { code: 4403, reason: 'revoked' })
  const refused = await node.connect('ann').catch((error: unknown) => error)
  t.match(refused, { status: 401, code: 'TOKEN_REVOKED' })
})

t.test('a session ends with its token unless it is renewed [GW-CON-8]', async (t) => {
  const node = await startApp(t)
  const short = await node.connect('ann', { ttlS: 2 })
  const renewed = await node.connect('bob', { ttlS: 2 })
  renewed.write({ type: 'auth', token: tokenFor('bob', { ttlS: 3600 }) })
  t.ok(Number((await renewed.next('auth')).token_expires_at) > Date.now() + 3_000_000)
  t.match(await short.closed(), { code: 4401, reason: 'token_expired' })
  t.ok(renewed.isOpen)
})

t.test('a drain tells every client, closes them with 1012, leaves no registration and takes no new ones [GW-END-1]', async (t) => {
  const node = await startApp(t, { DRAIN_TIMEOUT: '3s' })
  const clients = await Promise.all(['ann', 'bob', 'eve'].map((user) => node.connect(user)))
  const drained = node.app.drain.start({ delayMs: 0, timeoutMs: 3_000 })
  for (const client of clients) {
    t.ok(Number((await client.next('shutdown')).reconnect_after_ms) <= 1000)
    t.match(await client.closed(), { code: 1012, reason: 'shutdown' })
  }
  await drained
  await until(() => registered(node).length === 0, 'no registration is left')
  const refused = await node.connect('zoe').catch((error: unknown) => error)
  t.ok(refused instanceof RefusedError)
  t.match(refused, { status: 503, code: 'SERVER_SHUTDOWN' })
  const ready = await fetch(`http://127.0.0.1:${node.port}/readyz`)
  t.equal(ready.status, 503)
  await node.app.close()
  t.same(node.store.range('/registry/', { prefix: true }).entries, [], 'nothing of the node is left')
})

t.test('past MAX_CONNECTIONS upgrades get 503 and a time to wait [GW-OVL-1]', async (t) => {
  const node = await startApp(t, { MAX_CONNECTIONS: '1' })
  await node.connect('ann')
  const refused = await node.connect('bob').catch((error: unknown) => error)
  t.match(refused, { status: 503, code: 'OVERLOADED' })
})

t.test('the Auth Service away: new connections get 503, live ones stay [GW-CON-3]', async (t) => {
  const node = await startApp(t, { AUTH_TIMEOUT: '200ms' })
  const ann = await node.connect('ann')
  node.services.stop()
  const refused = await node.connect('bob').catch((error: unknown) => error)
  t.match(refused, { status: 503, code: 'SERVICE_UNAVAILABLE' })
  t.ok(ann.isOpen)
  const answer = await ann.send('bob', 'hi').catch((error: unknown) => error)
  t.match(answer, { frame: { retryable: true } }, 'no ack without the IM Service')
})

t.test('health, readiness and metrics answer over HTTP, the admin routes on their own port [GW-OBS-4] [GW-OBS-5]', async (t) => {
  const node = await startApp(t, { ADMIN_PORT: '0' })
  await node.connect('ann')
  const get = async (port: number, path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, text: await response.text() }
  }
  t.match(await get(node.port, '/healthz'), { status: 200, text: /ok/ })
  t.match(await get(node.port, '/readyz'), { status: 200, text: /"ready":true/ })
  t.match(await get(node.port, '/metrics'), { status: 200, text: /^im_gateway_connections 1$/m })
  t.equal((await get(node.port, '/connections')).status, 404)
  t.equal((await get(node.port, '/drain')).status, 404)
  const admin = node.app.admin.address?.port ?? 0
  t.match(await get(admin, '/connections'), { status: 200, text: /"ann"/ })
  t.match(await get(admin, '/readyz'), { status: 200 })
})

t.test('logs are JSON lines with ids; tokens and content appear at no level [GW-OBS-3]', async (t) => {
  const lines: string[] = []
  const logger = pino(loggingOptions({ level: 'trace', nodeId: 'node-1' }) as pino.LoggerOptions, { write: (line: string) => { lines.push(line) } })
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, ALLOW_QUERY_TOKEN: 'true' }, { logger })
  const token = tokenFor('ann')
  const ann = await node.connect('ann')
  await ann.send('bob', 'the very content')
  await imCaller(t, node).push({ content: 'the pushed content' })
  await node.connect('bob', { token: 'x.y.z' }).catch(() => {})
  await fetch(`http://127.0.0.1:${node.port}/nowhere?token=${token}`)
  node.services.im.behave = () => ({ status: 14 })
  await ann.send('bob', 'the lost content').catch(() => {})
  await ann.close()
  await until(() => lines.some((line) => line.includes('connection closed')), 'the close is logged')
  const text = lines.join('')
  for (const secret of [token, token.split('.')[2] as string, BEARER, 'very content', 'pushed content', 'lost content']) t.notOk(text.includes(secret), secret.slice(0, 12))
  for (const line of lines) t.doesNotThrow(() => JSON.parse(line) as unknown)
  t.ok(lines.some((line) => line.includes('"user":"ann"') && line.includes('"device":"phone"')))
})

t.test('a reader that stops is closed with 4001 and its pushes are told SLOW [GW-OUT-1]', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, OUTBOX_BYTES: '16KB' })
  const service = imCaller(t, node)
  const ann = await node.connect('ann', { autoAck: false })
  ann.pause()
  const outcomes: number[] = []
  const open = new Set<Promise<void>>()
  for (let n = 0; n < 2_000 && !outcomes.includes(Outcome.OUTCOME_SLOW); n++) {
    const push = service.push({ msgId: `big${n}`, content: 'x'.repeat(9_000) }).then(({ devices }) => { outcomes.push(...devices.map((device) => device.outcome)) }, () => {})
    open.add(push)
    if (n % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => outcomes.includes(Outcome.OUTCOME_SLOW), 'slow')
  t.equal(node.app.gateway.hub.device('ann', 'phone'), undefined)
  ann.resume()
  t.match(await ann.closed(10_000), { code: 4001 })
  await Promise.all(open)
})

t.test('a node closes in its order and twice is once', async (t) => {
  const node = await startApp(t)
  const ann = await node.connect('ann')
  const closed = once(node.app.server, 'close')
  await Promise.all([node.app.close(), node.app.close()])
  await closed
  t.match(await ann.closed(), { code: 1012 })
})
