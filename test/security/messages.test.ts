/** Lines 10-15 of SECURITY.md: what a client with a valid token sends that it should not. */
import t, { type Test } from 'tap'
import type { DemoClient, ServerFrame } from '../../demo/client.ts'
import { ERRORS } from '../../src/errors.ts'
import { AuthErrorCode } from '../../src/generated/auth/v1/auth.ts'
import { Outcome } from '../../src/generated/gateway/v1/gateway.ts'
import { startApp, tokenFor, type TestApp } from '../helpers/app.ts'
import { ask, closeCode, upgrade } from '../helpers/attacker.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'
import { OPCODE, RawClient } from '../helpers/raw-client.ts'

const token = tokenFor('ann')
const message = { type: 'send_msg', msg_id: 'm1', recipient: 'bob', content: 'hi', timestamp: 1 }

/** A session that sends texts of any kind, and what came back. */
async function rawSession (t: Test, node: TestApp) {
  const answers: ServerFrame[] = []
  const client = await RawClient.connect({ port: node.port, token, onFrame: (_client, opcode, payload) => { if (opcode === OPCODE.text) answers.push(JSON.parse(payload.toString()) as ServerFrame) } })
  t.teardown(() => { client.reset() })
  return async (text: string): Promise<ServerFrame | undefined> => {
    const before = answers.length
    client.write(OPCODE.text, text)
    await eventually(() => answers.length > before, 2_000)
    return answers.at(-1)
  }
}

/** The answer to a frame with this msg_id. */
async function answerTo (client: DemoClient, frame: Readonly<Record<string, unknown>>): Promise<ServerFrame> {
  const answer = client.waitFor((each) => each['msg_id'] === frame['msg_id'] && each.type !== 'message', 'the answer')
  client.write(frame)
  return await answer
}

t.test('security 10: a message is text and 10 KiB at most as a whole, in however many parts', async (t) => {
  const node = await startApp(t)
  t.equal(await closeCode(node.port, token, (client) => { client.write(OPCODE.binary, '{}') }), 1003)
  t.equal(await closeCode(node.port, token, (client) => { client.write(OPCODE.text, 'x'.repeat(10_241)) }), 1009)
  const part = (first: number): Buffer => Buffer.concat([Buffer.from([first, 0x80 | 126, 0x10, 0x00, 0, 0, 0, 0]), Buffer.alloc(4_096, ' ')])
  t.equal(await closeCode(node.port, token, ({ socket }) => { socket.write(Buffer.concat([part(0x01), part(0x00), part(0x00)])) }), 1009)
})

t.test('security 10: what is too deep, too wide or poisoned is refused, unknown fields go no further', async (t) => {
  const node = await startApp(t)
  const say = await rawSession(t, node)
  const body = JSON.stringify(message).slice(0, -1)
  const bad = [
    '['.repeat(10_000), `${body},"metadata":${'{"a":'.repeat(1_500)}1${'}'.repeat(1_500)}}`,
    `${body},"metadata":${JSON.stringify(Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, 'v'])))}}`,
    `${body},"__proto__":{"polluted":true}}`, `${body},"metadata":{"__proto__":"x"}}`, `${body},"constructor":{"prototype":{"polluted":true}}}`, `${body},"content":1}`
  ]
  for (const text of bad) t.match(await say(text), { type: 'error', error_code: 'INVALID_MESSAGE' }, text.slice(0, 120))
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
  t.same(node.services.im.requests, [])
  t.match(await say(`${body},"metadata":{"a":"b"},"admin":true,"sequence_number":9}`), { type: 'ack', msg_id: 'm1' })
  const [request] = node.services.im.requests
  t.same(request?.message.metadata, { a: 'b' })
  t.notOk(JSON.stringify(request?.message).includes('admin'))
})

t.test('security 11: a user has one rate over all devices, and a flood ends its connection', async (t) => {
  const node = await startApp(t, { MAX_MESSAGES_PER_SECOND: '5' })
  const devices = [await node.connect('ann'), await node.connect('ann', { deviceId: 'laptop' })]
  const started = performance.now()
  const results = await Promise.allSettled(devices.flatMap((device) => Array.from({ length: 15 }, () => device.send('bob', 'hi'))))
  const allowed = 5 + 5 * (performance.now() - started) / 1_000
  t.ok(node.services.im.requests.length <= allowed, `${node.services.im.requests.length} of 30`)
  t.match(results.find(({ status }) => status === 'rejected'), { reason: { code: 'RATE_LIMIT_EXCEEDED' } })
  const flood = (opcode: number, payload: string) => (client: RawClient): void => { for (let n = 0; n < 400 && client.socket.writable; n++) client.write(opcode, payload) }
  for (const [opcode, payload] of [[OPCODE.ping, ''], [OPCODE.pong, ''], [OPCODE.text, JSON.stringify({ type: 'ack', msg_id: 'x' })]] as const) {
    t.equal(await closeCode(node.port, tokenFor('eve'), flood(opcode, payload)), 4002)
  }
  t.ok(devices.every(({ isOpen }) => isOpen))
})

t.test('security 12: nobody acknowledges for another, not even another device of the same user', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, ACK_TIMEOUT: '400ms' })
  const service = imCaller(t, node)
  const phone = await node.connect('ann', { autoAck: false })
  const spies = [await node.connect('ann', { deviceId: 'laptop', autoAck: false }), await node.connect('mallory')]
  const report = service.push({ deviceId: 'phone' })
  await phone.message('p1')
  for (const spy of spies) {
    spy.acknowledge('p1')
    spy.acknowledge('p0')
  }
  t.match(await report, { success: false, devices: [{ deviceId: 'phone', outcome: Outcome.OUTCOME_ACK_TIMEOUT }] })
  t.equal(await node.metric('im_gateway_acks_ignored_total{kind="foreign"}'), 2)
  t.equal(await node.metric('im_gateway_acks_ignored_total{kind="unknown"}'), 2)
  t.ok(spies.every(({ isOpen, frames }) => isOpen && frames.length === 1), 'an ack is never answered')
})

t.test('security 13: a msg_id has a form and belongs to its sender, whom the token names and nothing else', async (t) => {
  const node = await startApp(t)
  const { im } = node.services
  const [ann, bob] = [await node.connect('ann'), await node.connect('bob')]
  for (const id of ['', 'a b', 'a/b', 'ü', 'x'.repeat(65), '../m1', 7, null, { $gt: '' }]) {
    const answer = ann.waitFor(({ type }) => type === 'error', 'an error')
    ann.write({ ...message, msg_id: id })
    t.match(await answer, { error_code: 'INVALID_MESSAGE' }, String(id))
  }
  t.same(im.requests, [])
  im.behave = () => ({ delayMs: 100 })
  const claims = { sender: 'root', sender_id: 'root', user_id: 'root', device_id: 'tv', sender_device_id: 'tv', timestamp: 9e15 }
  const answers = await Promise.all([ann, bob].map((client) => answerTo(client, { ...message, ...claims, recipient: 'eve' })))
  t.match(answers, [{ type: 'ack' }, { type: 'ack' }])
  t.same(im.requests.map(({ message: { senderId, senderDeviceId, msgId } }) => [senderId, senderDeviceId, msgId]).sort(), [['ann', 'phone', 'm1'], ['bob', 'phone', 'm1']])
  t.ok(answers.every(({ timestamp }) => timestamp === 1_700_000_000_000), 'the time is the IM Service\'s')
})

t.test('security 14: a sequence number comes from the IM Service alone, and is never rounded', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER })
  const service = imCaller(t, node)
  const ann = await node.connect('ann')
  t.match(await answerTo(ann, { ...message, sequence_number: 4711 }), { type: 'ack', sequence_number: 1 })
  await service.push({ sequenceNumber: 2n ** 53n - 1n })
  t.equal((await ann.message('p1'))['sequence_number'], 2 ** 53 - 1)
  await t.rejects(service.push({ msgId: 'p2', sequenceNumber: 2n ** 53n }))
  node.services.im.behave = () => ({ sequenceNumber: 2n ** 53n })
  t.match(await answerTo(ann, { ...message, msg_id: 'm2' }), { type: 'error', error_code: 'INTERNAL_ERROR' })
  t.equal(ann.count('p2'), 0)
})

t.test('security 15: an error says what the table says, and nothing of what is behind it', async (t) => {
  const node = await startApp(t)
  const ann = await node.connect('ann')
  const { im, auth } = node.services
  const answers: ServerFrame[] = []
  let n = 0
  for (const behaviour of [{ errorCode: 7 }, { errorCode: 12 }, { errorCode: 99 }, { status: 13 }, { status: 2 }, { status: 16 }, { status: 7 }] as const) {
    im.behave = () => behaviour as ReturnType<typeof im.behave>
    answers.push(await answerTo(ann, { ...message, msg_id: `e${n++}` }))
  }
  const say = await rawSession(t, node)
  for (const text of ['{', '{"type":"sudo"}', '{"type":"send_msg","msg_id":"e","recipient":"\\u0000"}']) answers.push(await say(text) as ServerFrame)
  const behaviours: ReturnType<typeof auth.behave>[] = [{ valid: false, errorCode: AuthErrorCode.AUTH_ERROR_CODE_INTERNAL_ERROR, errorMessage: 'secret detail' }, { status: 13 }]
  for (const behaviour of behaviours) {
    auth.behave = () => behaviour
    answers.push({ type: 'error', ...JSON.parse((await ask(node.port, upgrade({ token: tokenFor('eve') }))).body) as object })
  }
  for (const { type, error_code: code, error_message: text, ...rest } of answers) {
    t.equal(type, 'error')
    t.equal(text, ERRORS[code as keyof typeof ERRORS]?.text, String(code))
    t.same(Object.keys(rest).filter((name) => !['msg_id', 'retryable', 'retry_after_ms', 'timestamp'].includes(name)), [])
  }
  t.notOk(/secret detail|told to fail|127\.0\.0\.1/.test(JSON.stringify(answers)))
})
