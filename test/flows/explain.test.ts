/** Why a message did not arrive, asked of whole nodes by the command that an operator has. */
import t, { type Test } from 'tap'
import { connectionsCommand, disconnectCommand } from '../../bin/commands/connections.ts'
import { drainCommand } from '../../bin/commands/drain.ts'
import { explainCommand } from '../../bin/commands/explain.ts'
import { EXIT_NO, EXIT_OK, EXIT_REFUSED } from '../../bin/exit-codes.ts'
import type { Io } from '../../bin/dispatch.ts'
import type { Explanation } from '../../src/explain/explanation.ts'
import { startApp, startNode, startWorld, type TestApp } from '../helpers/app.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'

const TOKEN = 'operator-token-0123456789'
const ENV = { GRPC_AUTH_TOKEN: BEARER, ADMIN_PORT: '0', ADMIN_TOKEN: TOKEN } as const

type Command = (args: readonly string[], io: Io, env: Readonly<Record<string, string>>) => Promise<number>

async function run (command: Command, node: TestApp, args: readonly string[], env: Readonly<Record<string, string>> = { ADMIN_TOKEN: TOKEN }) {
  let [out, err] = ['', '']
  const code = await command([...args, '--admin', `http://127.0.0.1:${node.app.admin.address?.port}`], { out: (text) => { out += text }, err: (text) => { err += text } }, env)
  return { code, out, err }
}

/** `step device: detail` of each event, and how far back the nodes go. */
async function explained (node: TestApp, ...args: string[]): Promise<{ code: number, steps: string[], nodes: Explanation['nodes'] }> {
  const { code, out } = await run(explainCommand, node, ['--json', ...args])
  const { events, nodes } = JSON.parse(out) as Explanation
  return { code, steps: events.map(({ node_id: id, step, device_id: device, detail }) => `${id} ${step} ${device}: ${detail.replace(/ after \d+ ms$/, '')}`), nodes }
}

t.test('a message that arrived: sent, upstream, accepted; pushed, queued, written, acknowledged', async (t) => {
  const node = await startApp(t, ENV)
  const ann = await node.connect('ann')
  await node.connect('bob', { deviceId: 'laptop' })
  await ann.send('bob', 'hi', { msgId: 'm1' })
  await imCaller(t, node).push({ msgId: 'm1', recipientId: 'bob', senderId: 'ann' })
  const { code, steps, nodes } = await explained(node, 'm1')
  t.equal(code, EXIT_OK)
  t.strictSame(steps, [
    'node-1 sent phone: for bob',
    'node-1 upstream phone: ',
    'node-1 accepted phone: ',
    'node-1 push_received : from ann',
    'node-1 queued laptop: ',
    'node-1 written laptop: ',
    'node-1 acknowledged laptop: ',
    'node-1 push_answered : acknowledged by 1 of 1 devices'
  ])
  t.match(nodes, [{ node_id: 'node-1', left_off: 0 }])
  t.notMatch((await run(explainCommand, node, ['m1'])).out, /hi\b/, 'never what was said')
  const bobs = await run(explainCommand, node, ['--user', 'bob'])
  t.match(bobs.out, /^TIME +NODE +STEP +MESSAGE +USER +DEVICE +DETAIL\n\d{4}-.*connected +bob +laptop +\S+\n\d{4}-.*sent +m1 +ann +phone +for bob\n/)
  t.match(bobs.out, /acknowledged +m1 +bob +laptop\n/)
})

t.test('the recipient is offline: nobody was there to push to', async (t) => {
  const node = await startApp(t, ENV)
  await (await node.connect('ann')).send('bob', 'hi', { msgId: 'm1' })
  await imCaller(t, node).push({ msgId: 'm1', recipientId: 'bob', senderId: 'ann' })
  await imCaller(t, node).push({ msgId: 'm2', recipientId: 'bob', senderId: 'ann', deviceId: 'phone' })
  t.strictSame((await explained(node, 'm1')).steps.slice(3), ['node-1 push_received : from ann', 'node-1 push_answered : no device is connected'])
  t.strictSame((await explained(node, 'm2')).steps, ['node-1 push_received phone: from ann', 'node-1 reported phone: no node: NOT_CONNECTED', 'node-1 push_answered phone: acknowledged by 0 of 1 devices'])
})

t.test('[GW-OBS-6] of a user it is told when a device came, when it went and why, and what was pushed meanwhile', async (t) => {
  const node = await startApp(t, ENV)
  const bob = await node.connect('bob')
  const connectionId = String(bob.welcome['connection_id'])
  await run(disconnectCommand, node, ['bob'])
  await bob.closed()
  await imCaller(t, node).push({ msgId: 'm1', recipientId: 'bob', senderId: 'ann' })
  t.strictSame((await explained(node, '--user', 'bob')).steps.map((step) => step.replace(/after \d+ s/, 'after N s')), [
    `node-1 connected phone: ${connectionId}`,
    `node-1 disconnected phone: 4403 disconnected after N s, ${connectionId}`,
    'node-1 push_received : from ann',
    'node-1 push_answered : no device is connected'
  ])
})

t.test('the device does not acknowledge: it was written, and the time went by', async (t) => {
  const node = await startApp(t, { ...ENV, ACK_TIMEOUT: '200ms' })
  const bob = await node.connect('bob', { autoAck: false })
  await imCaller(t, node).push({ msgId: 'm1', recipientId: 'bob', senderId: 'ann' })
  t.strictSame((await explained(node, 'm1')).steps, [
    'node-1 push_received : from ann', 'node-1 queued phone: ', 'node-1 written phone: ', 'node-1 ack_timeout phone: ', 'node-1 push_answered : acknowledged by 0 of 1 devices'
  ])
  bob.acknowledge('m1')
  bob.write({ type: 'heartbeat', timestamp: 1 })
  await bob.next('heartbeat')
  t.equal((await explained(node, 'm1')).steps.at(-1), 'node-1 late_acknowledged phone: ')
})

t.test('[GW-OBS-6] the sender was too fast, or refused: it never left the node, or came back', async (t) => {
  const node = await startApp(t, { ...ENV, MAX_MESSAGES_PER_SECOND: '1' })
  const ann = await node.connect('ann')
  node.services.im.behave = () => ({ errorCode: 7 })
  await t.rejects(ann.send('bob', 'bad words', { msgId: 'm1' }))
  await t.rejects(ann.send('bob', 'hi', { msgId: 'm2' }))
  ann.write({ type: 'send_msg', msg_id: 'm3', recipient: 'bob' })
  await ann.waitFor((frame) => frame['msg_id'] === 'm3', 'the refusal')
  t.strictSame((await explained(node, 'm1')).steps.slice(1), ['node-1 upstream phone: ', 'node-1 refused phone: SENSITIVE_CONTENT'])
  t.strictSame((await explained(node, 'm2')).steps, ['node-1 sent phone: for bob', 'node-1 refused phone: RATE_LIMIT_EXCEEDED'])
  t.strictSame((await explained(node, 'm3')).steps, ['node-1 sent phone: ', 'node-1 refused phone: INVALID_MESSAGE'])
})

t.test('a group\'s message is one entry with its counts, and one for a group that is not known', async (t) => {
  const node = await startApp(t, ENV)
  node.services.users.groups.set('group_1', ['ann', 'bob', 'zoe'])
  const [ann] = [await node.connect('ann'), await node.connect('bob'), await node.connect('bob', { deviceId: 'laptop' })]
  const produce = async (groupId: string, msgId: string): Promise<void> => {
    await node.broker.produce('group_msg', groupId, JSON.stringify({ msg_id: msgId, group_id: groupId, sender_id: 'zoe', content: 'hi', message_type: 'text', sequence_number: 1, timestamp: 1 }))
  }
  await produce('group_2', 'g0')
  await produce('group_1', 'g1')
  await ann.message('g1')
  t.strictSame((await explained(node, 'g1')).steps, ['node-1 group_received : from zoe', 'node-1 group_delivered : 3 of 3 sockets took it'])
  t.strictSame((await explained(node, 'group_1')).steps.length, 2, 'a group is asked for by its id')
  while ((await explained(node, 'g0')).code === EXIT_NO) await new Promise(setImmediate)
  t.strictSame((await explained(node, 'g0')).steps, ['node-1 group_received : from zoe', 'node-1 group_passed_over : group_not_found'])
})

t.test('what nobody remembers is said so, with how far back the nodes go, and ends with 1', async (t) => {
  const node = await startApp(t, { ...ENV, EXPLAIN_ENTRIES: '2' })
  t.match(await run(explainCommand, node, ['m1']), { code: EXIT_NO, out: 'Nothing is remembered of m1.\nnode-1 remembers nothing.\n' })
  const ann = await node.connect('ann')
  for (const msgId of ['m1', 'm2', 'm3']) await ann.send('bob', 'hi', { msgId })
  t.match(await run(explainCommand, node, ['m1']), { code: EXIT_NO, out: /^Nothing is remembered of m1\.\nnode-1 remembers back to \d{4}-\S+Z\.\n$/ })
  t.equal((await explained(node, 'm2')).code, EXIT_OK)
  const off = await startApp(t, { ...ENV, EXPLAIN_ENTRIES: '0' })
  await (await off.connect('ann')).send('bob', 'hi', { msgId: 'm1' })
  t.match(await run(explainCommand, off, ['m1']), { code: EXIT_NO, out: /node-1 remembers nothing/ })
})

t.test('the admin port asks who it is', async (t) => {
  const node = await startApp(t, ENV)
  for (const command of [explainCommand, disconnectCommand] as const) {
    t.match(await run(command, node, ['ann'], {}), { code: EXIT_REFUSED, out: '', err: /refuses: the admin token is required/ })
    t.match(await run(command, node, ['ann'], { ADMIN_TOKEN: 'another-token-0123456789' }), { code: EXIT_REFUSED })
  }
})

async function cluster (t: Test): Promise<TestApp[]> {
  const world = await startWorld()
  const nodes = await Promise.all(['node-a', 'node-b', 'node-c'].map((name) => startNode(world, { ...ENV, GATEWAY_NODE_ID: name, ACK_TIMEOUT: '300ms' })))
  t.teardown(async () => {
    await Promise.all(nodes.map((node) => node.close()))
    world.services.stop()
  })
  return nodes
}

t.test('[GW-OBS-6] over several nodes any of them tells the whole way, and names the one that does not answer', async (t) => {
  const [a, b, c] = await cluster(t) as [TestApp, TestApp, TestApp]
  const mute = await b.connect('bob', { autoAck: false })
  await imCaller(t, a).push({ msgId: 'm1', recipientId: 'bob', senderId: 'ann' })
  const { steps, nodes } = await explained(c, 'm1')
  t.strictSame(nodes.map(({ node_id: id, oldest_at: oldest, error }) => [id, typeof oldest, error]), [['node-a', 'number', undefined], ['node-b', 'number', undefined], ['node-c', 'object', undefined]])
  t.strictSame(steps.toSorted(), [
    'node-a push_answered : acknowledged by 0 of 1 devices', 'node-a push_received : from ann', 'node-a reported phone: node-b: ACK_TIMEOUT',
    'node-b ack_timeout phone: ', 'node-b push_answered : acknowledged by 0 of 1 devices', 'node-b push_received : from ann', 'node-b queued phone: ', 'node-b written phone: '
  ].toSorted(), 'what each of them saw')
  t.match(await run(connectionsCommand, b, ['--user', 'bob']), { code: EXIT_OK, out: /node-b .* bob +phone +open .*\n1 listed of 1/ })
  t.match(await run(disconnectCommand, a, ['bob', '--reason', 'test']), { code: EXIT_OK, out: '1 socket closed\n' })
  t.match(await mute.closed(), { code: 4403, reason: 'disconnected' })
  t.match(await run(disconnectCommand, a, ['bob', '--json']), { code: EXIT_NO, out: /"disconnected": 0/ })
  // Its key stays in etcd: it answers nobody.
  const { kv } = a
  await kv.batch([{ when: [], then: { put: '/registry/nodes/node-x', value: JSON.stringify({ grpc: '127.0.0.1:1', version: '0', at: 1, start: 'x', connects_per_s: 1 }), leaseId: await kv.grantLease(60) } }])
  let answer = await run(explainCommand, a, ['m1'])
  while (!answer.out.includes('node-x')) answer = await run(explainCommand, a, ['m1'])
  t.match(answer.out, /node-x does not answer \(.+\): what it remembers is missing here\.\n/)
})

t.test('a drain is started, watched, waited for and called off', async (t) => {
  const node = await startApp(t, ENV)
  await node.connect('ann')
  t.match(await run(drainCommand, node, ['--status']), { code: EXIT_OK, out: /^ADMIN +PHASE +CLOSED +REMAINING +DEADLINE\nhttp.* off +0 +1\n$/ })
  const quick: Command = (args, io, env) => drainCommand(args, io, env, { pollMs: 1, nowMs: () => performance.now() })
  t.match(await run(quick, node, ['--wait']), { code: EXIT_OK, out: / held +1 +0 / })
  t.match(await run(drainCommand, node, ['--cancel', '--json']), { code: EXIT_OK, out: /"phase": "off"/ })
  t.match(await run(drainCommand, node, ['--cancel', '--wait']), { code: 64, err: /exclude each other/ })
})
