/** How the commands find and ask admin ports; what a node answers is in test/flows/explain.test.ts. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import Type from 'typebox'
import { adminPorts, AdminPort } from '../../bin/admin-port.ts'
import { connectionsCommand, disconnectCommand } from '../../bin/commands/connections.ts'
import { configCommand } from '../../bin/commands/config.ts'
import { drainCommand } from '../../bin/commands/drain.ts'
import { explainCommand } from '../../bin/commands/explain.ts'
import { tokenCommand } from '../../bin/commands/token.ts'
import { EXIT_CONFIG, EXIT_NO, EXIT_OK, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_USAGE } from '../../bin/exit-codes.ts'
import { checkClientCommand } from '../../conformance/command.ts'
import { freePort } from '../helpers/free-port.ts'

async function server (t: Test, status: number, body: string) {
  const asked: string[] = []
  const http = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`)
    response.writeHead(status).end(body)
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { http.close() })
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, asked }
}

async function run (command: typeof explainCommand, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  let [out, err] = ['', '']
  const code = await command(args, { out: (text) => { out += text }, err: (text) => { err += text } }, env)
  return { code, out, err }
}

t.test('the ports are those that are named, else that of the environment', async (t) => {
  const urls = (named: string[] | undefined, env: Record<string, string>): string[] => adminPorts(named, env).map(({ url }) => url)
  t.strictSame(urls(['http://10.0.0.1:9090', 'https://gw/'], {}), ['http://10.0.0.1:9090', 'https://gw/'])
  t.strictSame(urls(undefined, { ADMIN_PORT: '9090' }), ['http://127.0.0.1:9090'])
  t.strictSame(urls(undefined, { ADMIN_PORT: '9090', ADMIN_HOST: '0.0.0.0' }), ['http://127.0.0.1:9090'])
  t.strictSame(urls(undefined, { ADMIN_PORT: '9090', ADMIN_HOST: '::1', WS_PORT: 'nonsense' }), ['http://[::1]:9090'], 'other faults are not its own')
  t.throws(() => urls(undefined, {}), { exitCode: EXIT_CONFIG, message: /which node/ })
  t.throws(() => urls(undefined, { ADMIN_PORT: 'x' }), { exitCode: EXIT_CONFIG, message: /ADMIN_PORT/ })
  t.throws(() => urls(undefined, { ADMIN_PORT: '1', ADMIN_TOKEN_FILE: '/no/such/file' }), { exitCode: EXIT_CONFIG, message: /ADMIN_TOKEN_FILE/ })
  for (const bad of ['10.0.0.1:9090', 'ftp://x', 'x']) t.throws(() => urls([bad], {}), RangeError, bad)
})

t.test('the token goes with each question, and ids are escaped', async (t) => {
  const { url, asked } = await server(t, 200, '{"a":1}')
  const answer = Type.Object({ a: Type.Number() })
  t.strictSame(await new AdminPort(url, 'secret').ask('GET', '/explain', { answer, query: { user: 'a b&c=d', msg_id: undefined } }), { status: 200, body: { a: 1 } })
  await new AdminPort(url, undefined).ask('POST', '/drain', { answer })
  t.strictSame(asked, ['GET /explain?user=a+b%26c%3Dd Bearer secret', 'POST /drain undefined'])
})

t.test('what stands before the paths of an address stays there', async (t) => {
  const { url, asked } = await server(t, 200, '{"total":0,"listed":0,"connections":[]}')
  for (const prefix of ['/', '/gw', '/gw/a/']) await run(connectionsCommand, ['--admin', `${url}${prefix}`])
  t.strictSame(asked, ['GET /connections undefined', 'GET /gw/connections undefined', 'GET /gw/a/connections undefined'])
})

t.test('each kind of failure has its exit code', async (t) => {
  for (const [status, body, code, words] of [
    [401, '{"error":"the admin token is required"}', EXIT_REFUSED, /the admin token is required/], [403, '{"error":"no"}', EXIT_REFUSED, /no/], [404, 'nothing here', EXIT_UNAVAILABLE, /answers 404: nothing here/],
    [503, '{"error":"a node does not answer"}', EXIT_UNAVAILABLE, /a node does not answer/], [400, '{"message":"querystring/limit must be >= 1"}', EXIT_USAGE, /limit must be/], [200, '<html>', EXIT_UNAVAILABLE, /no admin port of this version: its answer must be object/], [200, '{"status":"ok"}', EXIT_UNAVAILABLE, /no admin port/], [200, 'null', EXIT_UNAVAILABLE, /no admin port/], [302, '', EXIT_UNAVAILABLE, /302|redirect/]
  ] as const) {
    const { url } = await server(t, status, body)
    t.match(await run(connectionsCommand, ['--admin', url]), { code, out: '', err: words }, String(status))
  }
  t.match(await run(connectionsCommand, ['--admin', `http://127.0.0.1:${await freePort()}`]), { code: EXIT_UNAVAILABLE, err: /does not answer: .*ECONNREFUSED/ })
})

t.test('an answer that is read otherwise than it is meant is none, and its fault is named', async (t) => {
  const connection = { node_id: 'n', connection_id: 'c', user_id: 'u', device_id: 'd', state: 'open', opened_at: 0, queued_bytes: 0, paused: false }
  const event = { at: 1, node_id: 'n1', step: 'sent', msg_id: 'm1', user_id: 'ann', device_id: 'd', detail: '' }
  for (const [command, args, body, fault] of [
    [connectionsCommand, [], { total: 1, connections: 'many' }, '/connections must be array'],
    [connectionsCommand, [], { total: 1, connections: [null] }, '/connections/0 must be object'],
    [connectionsCommand, [], { total: 1, connections: [{ ...connection, user_id: 7 }] }, '/connections/0/user_id must be string'],
    [connectionsCommand, [], { total: 1, connections: [], unanswered: 'w1' }, '/unanswered must be array'],
    [disconnectCommand, ['ann'], { disconnected: '2' }, '/disconnected must be number'],
    [drainCommand, [], { phase: 7, closed: 0, remaining: 0 }, '/phase must be string'],
    [drainCommand, ['--cancel'], { phase: 'off', closed: 0 }, ' must have required properties remaining'],
    [explainCommand, ['m1'], { events: {}, nodes: [] }, '/events must be array'],
    [explainCommand, ['m1'], { events: [{ ...event, detail: null }], nodes: [] }, '/events/0/detail must be string'],
    [explainCommand, ['m1'], { events: [], nodes: [{ node_id: 'n1' }] }, '/nodes/0 must have required properties']
  ] as const) {
    const { url } = await server(t, 200, JSON.stringify(body))
    t.match(await run(command, ['--admin', url, ...args]), { code: EXIT_UNAVAILABLE, out: '', err: new RegExp(`^${url} is no admin port of this version: its answer${fault}`) }, fault)
  }
})

t.test('lists of several nodes are one list, and nothing in an id moves the cursor', async (t) => {
  const list = (user: string): string => JSON.stringify({ total: 2, listed: 1, connections: [{ node_id: 'n', connection_id: 'c', user_id: user, device_id: 'd', state: 'open', opened_at: 0, queued_bytes: 7, paused: true }] })
  const [one, two] = [await server(t, 200, list('ann')), await server(t, 200, list('b\u001b[2Job'))]
  const { code, out } = await run(connectionsCommand, ['--admin', one.url, '--admin', two.url, '--user', 'u', '--device', 'd', '--limit', '5'])
  t.equal(code, EXIT_OK)
  t.match(out, /^NODE .*\nn +c +ann +d +open, not read +1970-01-01T00:00:00\.000Z +7\nn +c +b\ufffd\[2Job .*\n2 listed of 4 that are connected\n$/)
  t.strictSame(one.asked, ['GET /connections?user=u&device=d&limit=5 undefined'])
  const none = await server(t, 200, '{"total":3,"listed":0,"connections":[]}')
  t.match(await run(connectionsCommand, ['--admin', none.url]), { code: EXIT_NO, out: '0 listed of 3 that are connected\n' })
})

t.test('a way that several ports tell is told once, and what is no message is looked for as a user', async (t) => {
  const event = { at: 1, node_id: 'n1', step: 'sent', msg_id: 'm1', user_id: 'ann', device_id: 'd', detail: 'for bob' }
  const seen = await server(t, 200, JSON.stringify({ events: [event], nodes: [{ node_id: 'n1', oldest_at: 1, left_off: 3 }, { node_id: 'n2', oldest_at: null, left_off: 0, error: 'gone' }] }))
  const also = await server(t, 200, JSON.stringify({ events: [event], nodes: [{ node_id: 'n1', oldest_at: 1, left_off: 3 }, { node_id: 'n2', oldest_at: null, left_off: 0 }] }))
  const { out, code } = await run(explainCommand, ['--admin', seen.url, '--admin', also.url, 'm1'])
  t.equal(code, EXIT_OK)
  t.equal(out.match(/for bob/g)?.length, 1)
  t.match(out, /n1 remembers back to 1970-01-01T00:00:00\.001Z, and 3 older entries that are left out here\.\nn2 remembers nothing\.\n$/)
  const empty = await server(t, 200, JSON.stringify({ events: [], nodes: [{ node_id: 'n1', oldest_at: null, left_off: 0 }] }))
  await run(explainCommand, ['--admin', empty.url, 'ann'])
  await run(explainCommand, ['--admin', empty.url, 'Ann Lee'])
  await run(explainCommand, ['--admin', empty.url, '--message', 'ann'])
  t.strictSame(empty.asked.map((line) => line.split(' ')[1]), ['/explain?msg_id=ann', '/explain?user=ann', '/explain?user=Ann+Lee', '/explain?msg_id=ann'])
  t.match(await run(explainCommand, ['--message', '--user', 'ann']), { code: EXIT_USAGE })
  t.match(await run(explainCommand, []), { code: EXIT_USAGE, err: /^an argument is missing\n\nUsage: im-gateway explain/ })
  t.match(await run(explainCommand, ['m1', 'm2']), { code: EXIT_USAGE, err: /^what is m2\?\n\nUsage: im-gateway explain/ })
})

t.test('a node that does not answer hides nothing of the others, and is named', async (t) => {
  const dead = `http://127.0.0.1:${await freePort()}`
  const connection = { node_id: 'n1', connection_id: 'c', user_id: 'ann', device_id: 'd', state: 'open', opened_at: 0, idle_ms: 61_500, queued_bytes: 7, paused: false }
  const drain = { phase: 'closing', total: 3, closed: 1, remaining: 2 }
  const cases = [
    [connectionsCommand, [], { total: 1, listed: 1, connections: [connection] }, /ann .* 61s +7\n1 listed of 1 that are connected\nhttp.* does not answer: .*: what it knows is missing here\.\n$/],
    [disconnectCommand, ['ann'], { disconnected: 2 }, /^4 sockets closed\nhttp.* does not answer: .*\n$/],
    [drainCommand, [], drain, /closing .*\nhttp.* closing .*\nhttp.* does not answer: .*\n$/]
  ] as const
  for (const [command, words, body, told] of cases) {
    const [one, two] = [await server(t, 200, JSON.stringify(body)), await server(t, 200, JSON.stringify({ ...body, ...('connections' in body && { total: 0, listed: 0, connections: [] }) }))]
    const ports = ['--admin', one.url, '--admin', dead, '--admin', two.url]
    t.match(await run(command, [...ports, ...words]), { code: EXIT_UNAVAILABLE, err: '', out: told })
    const { code, out } = await run(command, ['--json', ...ports, ...words])
    const answer = JSON.parse(out) as { readonly unanswered?: object[] } | object[]
    t.match([code, Array.isArray(answer) ? answer.slice(2) : answer.unanswered], [EXIT_UNAVAILABLE, [{ admin: dead, error: /ECONNREFUSED/ }]])
    t.equal(two.asked.length, 2, 'those behind it are asked')
    t.match(await run(command, ['--admin', dead, '--admin', dead, ...words]), { code: EXIT_UNAVAILABLE, out: '', err: /does not answer.*; .*does not answer/ })
  }
  const event = { at: 1, node_id: 'n1', step: 'sent', msg_id: 'm1', user_id: 'ann', device_id: 'd', detail: 'for bob' }
  const seen = await server(t, 200, JSON.stringify({ events: [event], nodes: [{ node_id: 'n1', oldest_at: 1, left_off: 0 }] }))
  const empty = await server(t, 200, JSON.stringify({ events: [], nodes: [{ node_id: 'n2', oldest_at: null, left_off: 0 }] }))
  t.match(await run(explainCommand, ['--admin', dead, '--admin', seen.url, 'm1']), { code: EXIT_OK, out: /for bob\n.*\nhttp.* does not answer/ })
  t.match(await run(explainCommand, ['--admin', dead, '--admin', empty.url, 'm1']), { code: EXIT_UNAVAILABLE, out: /^Nothing is remembered of m1/ }, 'the silent one may know')
  const worker = await server(t, 200, JSON.stringify({ total: 0, listed: 0, connections: [], unanswered: ['w1'] }))
  t.match(await run(connectionsCommand, ['--admin', worker.url]), { code: EXIT_UNAVAILABLE, out: /: worker w1 does not answer: what it knows is missing here/ })
  const refusing = await server(t, 401, '{"error":"the admin token is required"}')
  t.match(await run(connectionsCommand, ['--admin', dead, '--admin', refusing.url]), { code: EXIT_REFUSED })
})

t.test('a port that refuses ends a disconnect, which says what was closed before', async (t) => {
  const body = '{"disconnected":2}'
  for (const [status, code] of [[401, EXIT_REFUSED], [400, EXIT_USAGE]] as const) {
    const [one, refusing, last] = [await server(t, 200, body), await server(t, status, '{"error":"no"}'), await server(t, 200, body)]
    const ports = ['--admin', one.url, '--admin', refusing.url, '--admin', last.url]
    t.match(await run(disconnectCommand, [...ports, 'ann']), { code, out: '', err: /: no \(2 sockets closed before\)\n/ })
    t.strictSame(last.asked, [], 'it is not asked')
    t.match(JSON.parse((await run(disconnectCommand, ['--json', ...ports, 'ann'])).out), { error: /\(2 sockets closed before\)$/, exit_code: code })
    t.notMatch((await run(disconnectCommand, ['--admin', refusing.url, '--admin', one.url, 'ann'])).err, /closed before/)
  }
})

t.test('what is looked for goes to the node in its own units', async (t) => {
  const { url, asked } = await server(t, 200, '{"total":3,"listed":0,"connections":[]}')
  await run(connectionsCommand, ['--admin', url, '--node', 'n1', '--state', 'open', '--paused', '--queued', '64KB', '--older', '1h', '--younger', '1m30s', '--idle', '0'])
  t.strictSame(asked, ['GET /connections?node=n1&state=open&paused=true&min_queued_bytes=65536&min_age_ms=3600000&max_age_ms=90000&min_idle_ms=0 undefined'])
  for (const [option, bad] of [['--queued', 'much'], ['--older', '1d'], ['--younger', '-1s'], ['--idle', 'long']] as const) {
    t.match(await run(connectionsCommand, ['--admin', url, `${option}=${bad}`]), { code: EXIT_USAGE, err: new RegExp(`^${option} ${bad}: it is a (?:size|time) like`) })
  }
})

t.test('with --json whatever happens is JSON', async (t) => {
  const dead = `http://127.0.0.1:${await freePort()}`
  const refusing = await server(t, 401, '{"error":"the admin token is required"}')
  const commands = [
    [connectionsCommand, ['--json', '--limit', 'x', '--admin', 'nonsense'], EXIT_USAGE], [connectionsCommand, ['--json', '--color', 'red'], EXIT_USAGE], [connectionsCommand, ['--json', 'word'], EXIT_USAGE], [connectionsCommand, ['--json'], EXIT_CONFIG],
    [connectionsCommand, ['--json', '--admin', dead], EXIT_UNAVAILABLE], [connectionsCommand, ['--json', '--admin', refusing.url], EXIT_REFUSED], [explainCommand, ['--json'], EXIT_USAGE],
    [disconnectCommand, ['--json'], EXIT_USAGE], [drainCommand, ['--json', '--wait', '--cancel'], EXIT_USAGE], [configCommand('print-config'), ['--json', 'word'], EXIT_USAGE],
    [tokenCommand, ['--json', 'mint', 'ann'], EXIT_CONFIG], [tokenCommand, ['--json', 'inspect', 'x'], EXIT_USAGE], [checkClientCommand, ['--json', '--jobs', '99', '--', 'x'], EXIT_USAGE]
  ] as const
  for (const [command, args, code] of commands) {
    const ended = await run(command, args)
    t.match([ended.code, ended.err, JSON.parse(ended.out)], [code, '', { error: /./, exit_code: code }], args.join(' '))
  }
  const odd = await server(t, 200, JSON.stringify({ total: 1, listed: 1, connections: [{ node_id: 'n\u202e', connection_id: 'c', user_id: 'u', device_id: 'd', state: 'open', queued_bytes: 0, paused: false }] }))
  t.match(await run(connectionsCommand, ['--admin', odd.url]), { code: EXIT_OK, out: /n\ufffd/ }, 'a node that leaves a time out')
})
