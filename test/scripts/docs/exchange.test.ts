/** What the reference pages say of frames, refusals and HTTP answers, tried on a whole node: both directions. */
import { readFileSync } from 'node:fs'
import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import t, { type Test } from 'tap'
import { CLIENT_FRAMES } from '../../../scripts/docs/client-frames.ts'
import { ERROR_TEXTS, REFUSALS } from '../../../scripts/docs/codes.ts'
import { HTTP_ROUTES } from '../../../scripts/docs/http-routes.ts'
import { EXAMPLE_ANSWER, EXAMPLE_TOKEN, EXAMPLE_UPGRADE } from '../../../scripts/docs/protocol-page.ts'
import { SERVER_FRAMES } from '../../../scripts/docs/server-frames.ts'
import { ERRORS, type ErrorCode } from '../../../src/errors.ts'
import { IMErrorCode } from '../../../src/generated/im/v1/im.ts'
import { decode } from '../../../src/protocol/decode.ts'
import { COUNTERS, GAUGES, HISTOGRAMS } from '../../../src/metrics.ts'
import { startApp, tokenFor, type TestApp } from '../../helpers/app.ts'
import { ask, upgrade } from '../../helpers/attacker.ts'
import { BEARER, imCaller } from '../../helpers/im-caller.ts'

const ajv = new Ajv({ strict: false, allErrors: true })
addFormats.default(ajv)
const checks = new Map(Object.entries(SERVER_FRAMES).map(([type, { schema }]) => [type, ajv.compile(closed(schema) as object)]))

/** The same schema, but an object has no field that it does not name. */
function closed (schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]): [string, unknown] => [key, closed(value)]))
  return 'properties' in schema ? { ...copy, additionalProperties: false } : copy
}

/** Frames that a node sent, against the page. */
function assertDocumented (t: Test, frames: ReadonlyArray<Readonly<Record<string, unknown>>>): void {
  for (const frame of frames) {
    const check = checks.get(String(frame['type'])) as ValidateFunction
    t.ok(check(frame), `${String(frame['type'])}: ${ajv.errorsText(check.errors)} in ${JSON.stringify(frame)}`)
  }
}

t.test('each frame of a client is taken by a node as the page shows it, and each frame of a node is as the page says', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, DRAIN_TIMEOUT: '3s' })
  node.services.users.groups.set('group_friends', ['ann', 'bob'])
  const im = imCaller(t, node)
  const ann = await node.connect('ann', { autoAck: false })

  for (const example of CLIENT_FRAMES.send_msg.examples as Array<{ msg_id: string }>) {
    const answer = ann.waitFor((frame) => frame['msg_id'] === example.msg_id, 'the answer')
    ann.write(example)
    t.match(await answer, { type: 'ack', sequence_number: 1 })
  }
  t.match(node.services.im.requests.map(({ kind, message }) => ({ kind, message })), [
    { kind: 'private', message: { content: 'Hello Bob' } }, { kind: 'group', message: { messageType: 2, metadata: { reply_to: 'c1-1' } } }
  ])

  for (const example of CLIENT_FRAMES.ack.examples as Array<{ msg_id?: string, msg_ids?: string[] }>) {
    const ids = example.msg_ids ?? [example.msg_id ?? '']
    const reports = ids.map((msgId) => im.push({ msgId, metadata: { a: 'b' } }))
    for (const id of ids) await ann.message(id)
    ann.write(example)
    for (const report of await Promise.all(reports)) t.equal(report.deliveredCount, 1, 'acknowledged')
  }

  const beat = ann.waitFor(({ type }) => type === 'heartbeat', 'the answer')
  ann.write(CLIENT_FRAMES.heartbeat.examples[0] as object)
  t.match(await beat, { client_timestamp: (CLIENT_FRAMES.heartbeat.examples[0] as { timestamp: number }).timestamp })

  ann.write(CLIENT_FRAMES.auth.examples[0] as object)
  t.match(await ann.waitFor(({ type }) => type === 'error', 'the refusal'), { error_code: 'INVALID_TOKEN', msg_id: undefined })
  ann.write({ ...CLIENT_FRAMES.auth.examples[0], token: tokenFor('ann') })
  await ann.next('auth')

  await node.broker.produce('group_msg', 'group_friends', JSON.stringify({ msg_id: 'g1', group_id: 'group_friends', sender_id: 'bob', content: 'all', message_type: 'text', sequence_number: 1, timestamp: 1 }))
  t.notOk('ack_required' in await ann.message('g1'))
  await node.broker.produce('membership_change', 'group_friends', JSON.stringify({ group_id: 'group_friends', user_id: 'ann', event_type: 'leave', timestamp: 1 }))
  await ann.next('membership_change')
  await im.receipt({})
  await ann.next('read_receipt')
  void node.app.drain.start({ delayMs: 0, timeoutMs: 3_000 })
  await ann.next('shutdown')
  t.match(await ann.closed(), { code: 1012 })

  t.same(new Set(ann.frames.map(({ type }) => type)), new Set(Object.keys(SERVER_FRAMES)), 'every type came')
  assertDocumented(t, ann.frames)
  const exposed = await node.app.metrics.expose()
  const page = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')
  for (const [, name = '', type = ''] of exposed.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    if (/^(process|nodejs)_/.test(name)) continue
    const short = name.replace('im_gateway_', '')
    t.ok(page.includes(`| \`${short}\` |`), `${name} is on the page`)
    t.ok(short in { counter: COUNTERS, gauge: GAUGES, histogram: HISTOGRAMS }[type as 'counter'], `${name} is a ${type}`)
  }
})

t.test('the examples of the page are frames of the protocol', async (t) => {
  for (const [type, { examples }] of Object.entries(CLIENT_FRAMES)) {
    for (const example of examples) t.match(decode(JSON.stringify(example)), { ok: true, frame: { type } }, JSON.stringify(example))
  }
  assertDocumented(t, Object.values(SERVER_FRAMES).flatMap(({ examples }) => examples) as Array<Record<string, unknown>>)
})

t.test('the handshake of the page is answered as it shows', async (t) => {
  const node = await startApp(t)
  const text = `${EXAMPLE_UPGRADE.join('\r\n')}\r\n\r\n`.replace(EXAMPLE_TOKEN, tokenFor('ann', { deviceId: null }))
  const { head } = await ask(node.port, text)
  t.strictSame(head.split('\r\n').filter((line) => line !== ''), EXAMPLE_ANSWER)
})

const IM_REFUSALS: Readonly<Partial<Record<ErrorCode, IMErrorCode>>> = {
  ROUTING_ERROR: IMErrorCode.IM_ERROR_CODE_KAFKA_ERROR,
  CONTENT_TOO_LONG: IMErrorCode.IM_ERROR_CODE_CONTENT_TOO_LONG,
  SENDER_NOT_FOUND: IMErrorCode.IM_ERROR_CODE_SENDER_NOT_FOUND,
  RECIPIENT_NOT_FOUND: IMErrorCode.IM_ERROR_CODE_RECIPIENT_NOT_FOUND,
  GROUP_NOT_FOUND: IMErrorCode.IM_ERROR_CODE_GROUP_NOT_FOUND,
  NOT_GROUP_MEMBER: IMErrorCode.IM_ERROR_CODE_NOT_GROUP_MEMBER,
  SENSITIVE_CONTENT: IMErrorCode.IM_ERROR_CODE_SENSITIVE_CONTENT,
  INTERNAL_ERROR: IMErrorCode.IM_ERROR_CODE_INTERNAL_ERROR
}

t.test('each code that the page calls one of frames comes in a frame, retryable or final as it says', async (t) => {
  const node = await startApp(t, { MAX_MESSAGES_PER_SECOND: '20', IM_TIMEOUT: '400ms', IM_ATTEMPT_TIMEOUT: '100ms' })
  const expired = tokenFor('ann', { ttlS: -10 })
  const send = { type: 'send_msg', recipient: 'bob', content: 'hi', timestamp: 1 }
  const frames = new Map<string, Record<string, unknown>>()
  const provoke = async (frame: object): Promise<void> => {
    // A user of its own for each: the bucket is the user's.
    const client = await node.connect(`ann-${frames.size}`)
    client.write(frame)
    const error = await client.next('error')
    frames.set(String(error['error_code']), error)
    await client.close()
  }
  await provoke({ type: 'send_msg' })
  await provoke({ type: 'dance' })
  await provoke({ ...send, msg_id: 'm1', recipient: '' })
  await provoke({ type: 'auth', token: 'x.y.z' })
  await provoke({ type: 'auth', token: expired })
  for (const code of Object.values(IM_REFUSALS)) {
    node.services.im.behave = () => ({ errorCode: code })
    await provoke({ ...send, msg_id: `m-${code}` })
  }
  node.services.im.behave = () => ({ silent: true })
  await provoke({ ...send, msg_id: 'm-silent' })
  node.services.im.offersStream = false
  node.services.im.behave = () => ({ status: 8 })
  endStreams(node)
  await provoke({ ...send, msg_id: 'm-full' })
  node.services.im.behave = () => ({ status: 14 })
  await provoke({ ...send, msg_id: 'm-away' })
  node.services.im.behave = () => undefined
  const eager = await node.connect('eager')
  for (let n = 0; n < 40; n++) eager.write({ ...send, msg_id: `fast-${n}` })
  const limited = await eager.next('error')
  t.ok(Number(limited['retry_after_ms']) > 0)
  frames.set(String(limited['error_code']), limited)
  await revoke(node, 'ann')
  const renewing = await node.connect('ann', { issuedAtS: Math.floor(Date.now() / 1000) + 5 })
  renewing.write({ type: 'auth', token: tokenFor('ann', { issuedAtS: 1, ttlS: Math.floor(Date.now() / 1000) + 3_600 }) })
  const revoked = await renewing.next('error')
  frames.set(String(revoked['error_code']), revoked)

  const documented = Object.entries(ERROR_TEXTS).filter(([, { where }]) => where.includes('frame')).map(([code]) => code)
  t.strictSame([...frames.keys()].sort(), documented.sort())
  assertDocumented(t, [...frames.values()])
  for (const [code, frame] of frames) {
    const { text, retryable } = ERRORS[code as ErrorCode]
    t.match(frame, { error_message: text, retryable }, code)
  }
})

/** Tokens that are issued up to now; the node has seen it. */
async function revoke (node: TestApp, userId: string): Promise<void> {
  const witness = await node.connect(userId, { deviceId: 'witness' })
  await node.kv.batch([{ when: [], then: { put: `/registry/revoked/${userId}/*`, value: JSON.stringify({ before: Date.now() + 1_000, at: Date.now() }), leaseId: await node.kv.grantLease(60) } }])
  await witness.closed()
}

/** The streams to the IM Service are over, so that the next message finds out that it offers none. */
function endStreams (node: TestApp): void {
  const { im } = node.services
  for (const stream of im.streams) stream.emit('error', { code: 14, details: 'told to end' })
  im.streams.clear()
}

t.test('each refusal of the table is answered with its status, code, headers and body', async (t) => {
  const env = { GRPC_AUTH_TOKEN: BEARER, ALLOW_QUERY_TOKEN: 'true', ALLOWED_ORIGINS: 'https://app.example' }
  const answers: Array<Awaited<ReturnType<typeof ask>>> = []
  const refuse = async (node: TestApp, request: string): Promise<void> => { answers.push(await ask(node.port, request)) }
  const node = await startApp(t, env)
  const token = tokenFor('ann')

  await refuse(node, upgrade({ path: '/other', token }))
  await refuse(node, upgrade({ token }).replace('Upgrade: websocket', 'Upgrade: h2c'))
  await refuse(node, upgrade({ token }).replace(/Sec-WebSocket-Key: \S+/, 'Sec-WebSocket-Key: short'))
  await refuse(node, upgrade({ token }).replace('Version: 13', 'Version: 8'))
  await refuse(node, upgrade({ token, headers: ['Authorization: Bearer again'] }))
  await refuse(node, upgrade({ token, headers: ['Origin: https://evil.example'] }))
  await refuse(node, upgrade())
  await refuse(node, upgrade({ token: 'x.y.z' }))
  await refuse(node, upgrade({ token, path: '/ws?device_id=no%20good' }))
  await refuse(node, upgrade({ token: tokenFor('ann', { ttlS: -10 }) }))
  await refuse(node, upgrade({ token: tokenFor('ann', { deviceId: null }) }))
  await revoke(node, 'zoe')
  await refuse(node, upgrade({ token: tokenFor('zoe') }))

  const small = await startApp(t, { MAX_CONNECTIONS: '1' })
  await small.connect('ann')
  await refuse(small, upgrade({ token }))
  const strict = await startApp(t, { HANDSHAKES_PER_IP: '2', HANDSHAKES_PER_USER: '1', MAX_DEVICES_PER_USER: '1' })
  await strict.connect('ann')
  await refuse(strict, upgrade({ token }))
  await refuse(strict, upgrade({ token: tokenFor('bob') }))
  const single = await startApp(t, { MAX_DEVICES_PER_USER: '1', AUTH_TIMEOUT: '200ms' })
  await single.connect('ann')
  await refuse(single, upgrade({ token: tokenFor('ann', { deviceId: 'laptop' }) }))
  single.services.stop()
  await refuse(single, upgrade({ token: tokenFor('bob') }))
  const leaving = await startApp(t)
  await leaving.app.drain.start({ delayMs: 0, timeoutMs: 1_000 })
  await refuse(leaving, upgrade({ token }))

  for (const { status, code, head, body } of answers) {
    const name = `${status} ${code}`
    const rows = REFUSALS.filter((row) => row.status === status && (row.code ?? '') === code)
    t.ok(rows.length > 0, `${name} is in the table`)
    const retryAfter = /^retry-after: (\d+)\r$/im.exec(head)?.[1]
    t.equal(retryAfter !== undefined, rows.some((row) => row.retryAfter !== undefined), `${name}: Retry-After`)
    t.equal(/^www-authenticate: Bearer/im.test(head), status === 401, `${name}: WWW-Authenticate`)
    t.equal(/^upgrade: websocket\r$/im.test(head), status === 426, `${name}: Upgrade`)
    if (code === '') t.equal(body, '', 'no body')
    else t.same(JSON.parse(body), { error_code: code, error_message: ERRORS[code as ErrorCode].text })
  }
  const seen = new Set(answers.map(({ code }) => code))
  t.strictSame([...seen].filter((code) => code !== '').sort(), Object.entries(ERROR_TEXTS).filter(([, { where }]) => where.includes('upgrade')).map(([code]) => code).sort(), 'every code of upgrades was seen')
  for (const [code, { where }] of Object.entries(ERROR_TEXTS)) {
    const statuses = new Set(REFUSALS.filter((row) => row.code === code).map(({ status }) => status))
    t.same([...statuses], where.includes('upgrade') ? [ERRORS[code as ErrorCode].httpStatus] : [], `${code}: the status of the table`)
  }
  t.equal((await node.connect('ann')).isOpen, true, 'and a good one is let in')
})

interface Document { readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object, readonly example?: unknown }>> }>> }>>>> }

t.test('each HTTP route answers as docs/openapi.json says', async (t) => {
  const { paths } = JSON.parse(readFileSync(new URL('../../../docs/openapi.json', import.meta.url), 'utf8')) as Document
  const node = await startApp(t, { ADMIN_PORT: '0', DRAIN_TIMEOUT: '2s' })
  await node.connect('ann')
  const admin = node.app.admin.address?.port ?? 0
  const told = new Set<string>()
  const request = async (port: number, method: string, path: string, headers: Record<string, string> = {}): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers })
    const [url = ''] = path.split('?')
    const name = `${method} ${path} ${response.status}`
    const documented = paths[url]?.[method.toLowerCase()]?.responses[String(response.status)]
    if (documented === undefined) throw new Error(`${name} is not documented`)
    told.add(`${method} ${url} ${response.status}`)
    const text = await response.text()
    const type = String(response.headers.get('content-type')).replace(/^(application\/json);.*/, '$1')
    const media = documented.content?.[type]
    if (media === undefined) throw new Error(`${name}: ${type} is not documented`)
    const check = ajv.compile(closed(media.schema) as object)
    const body: unknown = type === 'application/json' ? JSON.parse(text) : text
    t.ok(check(body), `${name}: ${ajv.errorsText(check.errors)} in ${text.slice(0, 200)}`)
  }
  for (const port of [node.port, admin]) for (const path of ['/healthz', '/readyz', '/metrics']) await request(port, 'GET', path)
  await request(node.port, 'GET', '/ws')
  for (const path of ['/connections?user=ann&device=phone&limit=5', '/connections?limit=0', '/drain']) await request(admin, 'GET', path)
  for (const path of ['/explain?user=ann', '/explain', '/explain?msg_id=m%20']) await request(admin, 'GET', path)
  for (const path of ['/connections?user=nobody', '/connections']) await request(admin, 'DELETE', path)
  await request(admin, 'GET', '/drain', { origin: 'https://evil.example' })
  await request(admin, 'POST', '/drain')
  await request(admin, 'GET', '/drain')
  await request(node.port, 'GET', '/readyz')
  await request(admin, 'DELETE', '/drain')
  void node.app.drain.start({ delayMs: 0, timeoutMs: 1_000, final: true })
  await request(admin, 'DELETE', '/drain')
  const guarded = await startApp(t, { ADMIN_PORT: '0', ADMIN_TOKEN: 'operator-token-0123456789' })
  await request(guarded.app.admin.address?.port ?? 0, 'GET', '/connections')

  for (const [name, { response }] of Object.entries(HTTP_ROUTES)) {
    const [method = '', url = ''] = name.split(' ')
    t.ok([...told].some((each) => each.startsWith(`${method} ${url} `)), `${name} was asked`)
    for (const [status, { content = {} }] of Object.entries(paths[url]?.[method.toLowerCase()]?.responses ?? {})) {
      t.ok(status in response, `${name} ${status}`)
      for (const { schema, example } of Object.values(content)) {
        if (example !== undefined) t.ok(ajv.compile(closed(schema) as object)(example), `the example of ${name} ${status}`)
      }
    }
  }
})
