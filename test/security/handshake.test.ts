/** Lines 1-6 of SECURITY.md: what strangers do to the port before they have a session. */
import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { SECRET, startApp, tokenFor } from '../helpers/app.ts'
import { ask, cutOff, hold, logLines, upgrade } from '../helpers/attacker.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { FakeRegistry } from '../helpers/connections.ts'
import { startEdge } from '../helpers/edge.ts'
import { HeldIm } from '../helpers/fake-im.ts'
import { signToken } from '../helpers/tokens.ts'

const token = tokenFor('ann')

t.test('security 1: a page of another origin gets 403 before anybody looks at its token', async (t) => {
  const node = await startApp(t, { ALLOWED_ORIGINS: 'https://chat.example,https://*.good.example' })
  const from = (origin: string) => ask(node.port, upgrade({ token, headers: [`Origin: ${origin}`] }))
  for (const origin of ['https://evil.example', 'null', 'http://chat.example', 'https://chat.example:8443', 'https://chat.example.evil.example', 'https://evilgood.example', 'https://good.example', 'file://', '*', '']) {
    t.match(await from(origin), { status: 403, code: 'ORIGIN_NOT_ALLOWED' }, origin)
  }
  t.same(node.services.auth.asked, [])
  t.equal((await from('https://a.good.example')).status, 101)
})

t.test('security 2: a token travels as a header or a subprotocol, is not echoed, and stands in no log line', async (t) => {
  const { lines, logger } = logLines()
  const node = await startApp(t, {}, { logger })
  const protocols = await ask(node.port, upgrade({ headers: [`Sec-WebSocket-Protocol: bearer.${token}, im.v1.json`] }))
  t.match(protocols, { status: 101, head: /\r\nSec-WebSocket-Protocol: im\.v1\.json(\r\n|$)/i })
  t.notOk(protocols.head.includes('bearer'))
  t.equal((await ask(node.port, upgrade({ token }))).status, 101)
  const query = `?token=${token}`
  t.match(await ask(node.port, upgrade({ path: `/ws${query}` })), { status: 401, code: 'AUTH_REQUIRED' })
  const open = await startApp(t, { ALLOW_QUERY_TOKEN: 'true' }, { logger })
  t.equal((await ask(open.port, upgrade({ path: `/ws${query}` }))).status, 101)

  for (const path of [`/nowhere${query}`, `/metrics${query}`]) await fetch(`http://127.0.0.1:${node.port}${path}`)
  for (const parts of [{ path: `/nowhere${query}` }, { path: `/ws${query}`, headers: ['Origin: https://evil.example'] }, { token: `${token}x` }]) await ask(open.port, upgrade(parts))
  t.ok(lines.length > 0)
  const [, payload = '', signature = ''] = token.split('.')
  for (const part of [token, payload, signature]) t.same(lines.filter((line) => line.includes(part)), [])
})

t.test('security 3: what is no token of ours is refused by the node itself, whatever its header says; twice is never once', async (t) => {
  const node = await startApp(t)
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: 'ann', device_id: 'phone', iat: now, exp: now + 600 }
  const [head, , signature] = signToken(claims, SECRET).split('.') as [string, string, string]
  const bad: Record<string, string> = {
    unsigned: signToken(claims, undefined, { alg: 'none' }),
    'signed with another key': signToken(claims, 'x'.repeat(40)),
    'signed by another algorithm with our key': signToken(claims, SECRET, { alg: 'HS512' }),
    'said to be signed by another algorithm': signToken(claims, SECRET, { alg: 'RS256' }),
    'changed after it was signed': `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: 'bob' })).toString('base64url')}.${signature}`,
    'over 4 KiB': signToken({ ...claims, padding: 'x'.repeat(4_000) }, SECRET),
    expired: tokenFor('ann', { ttlS: -1 }),
    'without an end': signToken({ sub: 'ann', device_id: 'phone' }, SECRET),
    'with an end that is no number': signToken({ ...claims, exp: String(now + 600) }, SECRET),
    'without a user': signToken({ ...claims, sub: undefined }, SECRET),
    garbage: '..'
  }
  for (const [name, each] of Object.entries(bad)) t.equal((await ask(node.port, upgrade({ token: each }))).status, 401, name)
  t.same(node.services.auth.asked, [], 'the Auth Service is not asked')
  const twice = [
    { token, headers: [`Authorization: Bearer ${token}`] },
    { token, headers: ['Sec-WebSocket-Protocol: im.v1.json', 'Sec-WebSocket-Protocol: im.v1.json'] },
    { headers: [`Sec-WebSocket-Protocol: bearer.${token}, bearer.${tokenFor('bob')}`] },
    { token, headers: ['Origin: http://gateway.test', 'Origin: http://gateway.test'] },
    { token, path: '/ws?device_id=phone&device_id=phone' }
  ]
  for (const parts of twice) t.match(await ask(node.port, upgrade(parts)), { status: 400, code: 'INVALID_MESSAGE' })

  const { publicKey } = generateKeyPairSync('ed25519')
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const asymmetric = await startApp(t, { JWT_SECRET: '', JWT_PUBLIC_KEY: pem })
  t.equal((await ask(asymmetric.port, upgrade({ token: signToken(claims, pem) }))).status, 401, 'signed with the public key as a secret')
})

t.test('security 4: only GET /ws becomes a socket', async (t) => {
  const node = await startApp(t)
  for (const path of ['/', '/ws/', '/wss', '//ws', '/WS', '/ws%2F', '/healthz', '/metrics', '/ws/../healthz']) t.equal((await ask(node.port, upgrade({ path, token }))).status, 404, path)
  for (const method of ['POST', 'OPTIONS', 'HEAD']) t.equal((await ask(node.port, upgrade({ method, token }))).status, 404, method)
})

t.test('security 4: handshakes under way are bounded, in all and for each address; IPv6 counts by /64', async (t) => {
  const node = await startApp(t, { TRUSTED_PROXIES: '127.0.0.1', MAX_PENDING_HANDSHAKES: '3', MAX_PENDING_HANDSHAKES_PER_IP: '2' })
  node.services.auth.behave = () => ({ silent: true })
  const from = (address: string): string => upgrade({ token, headers: [`X-Forwarded-For: ${address}`] })
  const { guard } = node.app.gateway
  for (const address of ['2001:db8::1', '2001:db8::2']) await hold(t, node.port, from(address))
  await eventually(() => guard.pendingCount === 2, 2_000)
  t.match(await ask(node.port, from('2001:db8:0:0:ffff::3')), { status: 429, code: 'RATE_LIMIT_EXCEEDED' })
  await hold(t, node.port, from('192.0.2.1'))
  await eventually(() => guard.pendingCount === 3, 2_000)
  t.match(await ask(node.port, from('192.0.2.2')), { status: 503, code: 'OVERLOADED', head: /\r\nRetry-After: \d/ })
  node.services.stop()
})

t.test('security 4: a handshake that hangs is cut off', async (t) => {
  const { app, port } = await startEdge({ registry: new FakeRegistry(), im: new HeldIm(), authenticate: () => new Promise(() => {}), connections: { handshakeTimeoutMs: 200 } })
  t.teardown(() => app.close())
  t.ok(await cutOff(await hold(t, port, upgrade({ token }))) < 2_000)
})

t.test('security 4: open connections are bounded in all, and for each address where that is asked for', async (t) => {
  const small = await startApp(t, { MAX_CONNECTIONS: '1' })
  await small.connect('ann')
  t.match(await ask(small.port, upgrade({ token: tokenFor('bob') })), { status: 503, code: 'OVERLOADED', head: /\r\nretry-after: \d/i })
  const strict = await startApp(t, { MAX_CONNECTIONS_PER_IP: '1' })
  await strict.connect('ann')
  t.match(await ask(strict.port, upgrade({ token: tokenFor('bob') })), { status: 429, code: 'RATE_LIMIT_EXCEEDED' })
  t.equal(loadConfig({}, { requireServices: false }).limits.maxConnectionsPerIp, 0, 'off by default: many clients may share an address')
})

t.test('security 5: X-Forwarded-For of a peer that is not trusted changes nothing', async (t) => {
  for (const proxies of ['', '192.0.2.0/24']) {
    const node = await startApp(t, { TRUSTED_PROXIES: proxies, HANDSHAKES_PER_IP: '2' })
    const answers = []
    for (const address of ['198.51.100.1', '198.51.100.2', '198.51.100.3']) answers.push(await ask(node.port, upgrade({ token, headers: [`X-Forwarded-For: ${address}`] })))
    t.match(answers, [{ status: 101 }, { status: 101 }, { status: 429, code: 'RATE_LIMIT_EXCEEDED' }])
  }
  const guarded = await startApp(t, { MAX_CONNECTIONS_PER_IP: '1' })
  await hold(t, guarded.port, upgrade({ token, headers: ['X-Forwarded-For: 198.51.100.1'] }))
  await eventually(() => guarded.app.gateway.hub.connectionCount === 1, 2_000)
  t.equal((await ask(guarded.port, upgrade({ token, headers: ['X-Forwarded-For: 198.51.100.2'] }))).status, 429)
  for (const everybody of ['true', '*', 'all']) t.throws(() => loadConfig({ TRUSTED_PROXIES: everybody }, { requireServices: false }), ConfigError, everybody)
})

t.test('security 6: heads are bounded, and so are requests on a socket and sockets of a node', async (t) => {
  const node = await startApp(t, { MAX_CONNECTIONS: '1' })
  t.equal((await ask(node.port, upgrade({ token, headers: [`X: ${'x'.repeat(8_192)}`] }))).status, 431)

  const greedy = await hold(t, node.port, 'GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1_010))
  let text = ''
  greedy.on('data', (chunk: Buffer) => { text += chunk.toString('latin1') })
  await eventually(() => /HTTP\/1\.1 503 /.test(text), 3_000)
  t.equal(text.split('HTTP/1.1 404 ').length - 1, 1_000)

  const sockets = [greedy, ...await Promise.all(Array.from({ length: 256 }, () => hold(t, node.port)))]
  t.ok(await cutOff(await hold(t, node.port)) < 2_000)
  t.notOk(sockets.some(({ closed }) => closed), 'those within the limit stay')
})

t.test('security 6: a head that never ends is cut off after 5 s, one that was never begun as well', async (t) => {
  const node = await startApp(t)
  const slow = [await hold(t, node.port, 'GET /ws HTTP/1.1\r\nHost: x\r\nX: '), await hold(t, node.port)]
  for (const ms of await Promise.all(slow.map(cutOff))) t.ok(ms < 7_000, `${Math.round(ms)} ms`)
})
