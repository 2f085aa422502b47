/** Lines 18-21, 25 and 26 of SECURITY.md: logs, metrics, the gRPC and admin ports, the end of the process, compression. */
import { Client, credentials, Metadata, type ChannelCredentials } from '@grpc/grpc-js'
import { once } from 'node:events'
import { connect as connectHttp2, type Settings } from 'node:http2'
import t from 'tap'
import WebSocket from 'ws'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { GatewayServiceDefinition } from '../../src/generated/gateway/v1/gateway.ts'
import type { IMErrorCode } from '../../src/generated/im/v1/im.ts'
import { Lifecycle } from '../../src/lifecycle.ts'
import { methodDefinition } from '../../plugins/lib/grpc-service.ts'
import { startApp, tokenFor } from '../helpers/app.ts'
import { ask, closeCode, logLines, startProcess, upgrade } from '../helpers/attacker.ts'
import { createAuthority } from '../helpers/certificates.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { BEARER, imCaller } from '../helpers/im-caller.ts'

t.test('security 18: no input breaks a log line or makes one, and no message stands in one', async (t) => {
  const { lines, logger } = logLines()
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER }, { logger })
  const forged = '\n{"level":"fatal","forged":true}\n'
  const service = imCaller(t, node)
  const user = `u"${'\\'.repeat(100)}`
  const ann = await node.connect(user)
  await ask(node.port, upgrade({ token: tokenFor('eve'), headers: ['Origin: https://x"},{"forged":true}'] }))
  await ask(node.port, upgrade({ path: `/ws?device_id=${encodeURIComponent(forged)}`, token: tokenFor('eve', { deviceId: null }) }))
  await node.broker.produce('group_msg', forged, forged)
  node.services.im.behave = () => ({ status: 13 })
  await ann.send('bob', `the very content${forged}`).catch(() => {})
  await service.push({ recipientId: user, content: `the pushed content${forged}` })
  await fetch(`http://127.0.0.1:${node.port}/${encodeURIComponent(forged)}`)
  const client = new Client(`127.0.0.1:${node.app.pushServer.port}`, credentials.createInsecure())
  t.teardown(() => { client.close() })
  await unary(client, 'disconnect', { userId: user, deviceId: '', reason: forged, scope: 1 }, bearer(BEARER))
  const parsed = lines.join('').trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  t.equal(parsed.length, lines.length)
  t.ok(parsed.some((line) => line['reason'] === forged), 'what was said stands in its field')
  t.same(parsed.filter((line) => 'forged' in line), [])
  t.notOk(/(very|pushed) content/.test(lines.join('')))
})

t.test('security 19: no input becomes a label or makes the metrics grow', async (t) => {
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, MAX_MESSAGES_PER_SECOND: '1000' })
  const service = imCaller(t, node)
  const ann = await node.connect('ann-fuzz')
  for (let i = 0; i < 200; i++) {
    ann.write({ type: `fuzz${i}`, msg_id: `fuzz${i}` })
    ann.write({ type: 'ack', msg_id: `fuzz${i}` })
    ann.write({ type: 'send_msg', msg_id: `fuzz${i}`, recipient: i % 2 === 0 ? `fuzz${i}` : `group_fuzz${i}`, content: 'x', timestamp: 1 })
    await node.broker.produce('group_msg', `fuzz${i}`, `fuzz${i}`)
  }
  node.services.im.behave = () => ({ errorCode: 99 as IMErrorCode })
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    await Promise.all([`/fuzz${i}`, `/ws?device_id=fuzz${i}`].map((path) => ask(node.port, upgrade({ path, token: `fuzz${i}`, headers: [`Origin: https://fuzz${i}.example`] }))))
    await service.push({ msgId: `fuzz${i}`, recipientId: `fuzz${i}`, messageType: `fuzz${i}` }).catch(() => {})
  }))
  await ann.send('bob', 'the last').catch(() => {})
  const text = await node.app.metrics.expose()
  t.ok(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length < 500)
  t.notOk(/fuzz|127\.0\.0\.1/.test(text))
})

const { fullName, methods } = GatewayServiceDefinition

function bearer (token?: string): Metadata {
  const metadata = new Metadata()
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`)
  return metadata
}

/** Resolves to the status of a call, 0 where it is answered. */
function unary (client: Client, method: 'pushMessage' | 'getPresence' | 'disconnect' | string, request: object, metadata: Metadata): Promise<number> {
  const generic = methods[method as keyof typeof methods]
  const definition = generic === undefined ? undefined : methodDefinition(fullName, generic)
  const write = (definition?.requestSerialize ?? (() => Buffer.alloc(0))) as (value: object) => Buffer
  return new Promise((resolve) => {
    client.makeUnaryRequest(definition?.path ?? method, write, (bytes) => bytes, request, metadata, { deadline: Date.now() + 5_000 }, (error) => { resolve(error?.code ?? 0) })
  })
}

t.test('security 20: the gRPC port asks each caller who it is, tells of nothing else, and is bounded', async (t) => {
  const old = `the-one-before-${BEARER}`
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, GRPC_AUTH_TOKEN_PREVIOUS: old })
  const address = `127.0.0.1:${node.app.pushServer.port}`
  const client = new Client(address, credentials.createInsecure())
  t.teardown(() => { client.close() })
  const presence = { userIds: ['ann'] }
  for (const metadata of [bearer(), bearer(`${BEARER}x`), bearer('')]) t.equal(await unary(client, 'getPresence', presence, metadata), 16)
  for (const token of [BEARER, old]) t.equal(await unary(client, 'getPresence', presence, bearer(token)), 0)
  for (const path of ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', '/grpc.channelz.v1.Channelz/GetServers']) {
    t.equal(await unary(client, path, {}, bearer(BEARER)), 12, path)
  }
  t.equal(await unary(client, 'getPresence', { userIds: Array.from({ length: 70 }, () => 'x'.repeat(1_000)) }, bearer(BEARER)), 8, 'over 64 KiB')
  const stream = methodDefinition(fullName, methods.pushStream)
  const ended = await new Promise<number>((resolve) => {
    const call = client.makeBidiStreamRequest(stream.path, () => Buffer.alloc(1_048_577), (bytes) => bytes, bearer(BEARER))
    call.on('error', ({ code }: Error & { code?: number }) => { resolve(code ?? 0) }).resume()
    call.write({})
  })
  t.equal(ended, 8, 'over 1 MiB')
  const session = connectHttp2(`http://${address}`)
  const [settings] = await once(session, 'remoteSettings') as [Settings]
  session.destroy()
  t.equal(settings.maxConcurrentStreams, 1_000)
  for (const env of [{ GRPC_HOST: '0.0.0.0' }, { GRPC_HOST: '10.0.0.5' }]) t.throws(() => loadConfig(env, { requireServices: false }), ConfigError)
})

t.test('security 20: with mutual TLS a caller needs a certificate of our authority and an allowed name in it', async (t) => {
  const [authority, stranger] = [createAuthority(), createAuthority()]
  t.teardown(() => { authority.remove(); stranger.remove() })
  const server = authority.sign('IP:127.0.0.1')
  const node = await startApp(t, { GRPC_TLS_CERT: server.cert, GRPC_TLS_KEY: server.key, GRPC_TLS_CA: authority.ca, GRPC_TLS_ALLOWED_SANS: 'im.test,node.test' })
  const statusWith = async (channel: ChannelCredentials): Promise<number> => {
    const client = new Client(`127.0.0.1:${node.app.pushServer.port}`, channel)
    try {
      return await unary(client, 'getPresence', { userIds: ['ann'] }, bearer())
    } finally {
      client.close()
    }
  }
  const as = ({ cert, key }: { cert: string, key: string }) => credentials.createSsl(Buffer.from(authority.ca), Buffer.from(key), Buffer.from(cert))
  t.equal(await statusWith(as(authority.sign('DNS:im.test'))), 0)
  t.equal(await statusWith(as(authority.sign('DNS:other.test'))), 16, 'of our authority, with another name')
  const failing = await Promise.all([credentials.createSsl(Buffer.from(authority.ca)), as(stranger.sign('DNS:im.test')), credentials.createInsecure()].map(statusWith))
  t.same(failing, [14, 14, 14], 'without one, of another authority, without TLS')
})

t.test('security 21: admin routes are on a port of their own, for this machine or behind a token', async (t) => {
  const node = await startApp(t, { ADMIN_PORT: '0' })
  for (const path of ['/drain', '/connections', '/explain']) t.equal((await fetch(`http://127.0.0.1:${node.port}${path}`)).status, 404, path)
  t.equal(node.app.admin.address?.address, '127.0.0.1')
  t.throws(() => loadConfig({ ADMIN_PORT: '9000', ADMIN_HOST: '0.0.0.0' }, { requireServices: false }), ConfigError)
})

t.test('security 25: an uncaught error or rejection is logged, makes the node unready, drains it and ends it with 1', async (t) => {
  const ends = ['throws', 'rejects'].map((FAKE) => startProcess(t, { FAKE }))
  for (const { exit, output } of ends) {
    t.equal(await exit, 1)
    t.match(output(), /"level":"error".*"uncaught error, the node ends"/)
    t.match(output(), /\ndrain 0 5000\n/, 'five seconds, not the thirty of a shutdown')
  }
  const node = await startApp(t)
  const ann = await node.connect('ann')
  const lifecycle = new Lifecycle({ clock: systemClock, logger: new FakeLogger(), drainDelayMs: 0, drainTimeoutMs: 30_000 })
  let ready = 0
  await lifecycle.start(async () => ({ drain: node.app.drain, close: async () => { ready = (await fetch(`http://127.0.0.1:${node.port}/readyz`)).status } }))
  await lifecycle.end({ error: new Error('unexpected') })
  t.match(await ann.closed(), { code: 1012 })
  t.equal(ready, 503)
})

t.test('security 26: nothing is compressed, whatever a client offers', async (t) => {
  const node = await startApp(t)
  const token = tokenFor('ann')
  const { status, head } = await ask(node.port, upgrade({ token, headers: ['Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits'] }))
  t.equal(status, 101)
  t.notOk(/sec-websocket-extensions/i.test(head))
  // RSV1 of a frame that says it is compressed.
  t.equal(await closeCode(node.port, token, ({ socket }) => { socket.write(Buffer.from([0xc1, 0x80, 0, 0, 0, 0])) }), 1002)
  const socket = new WebSocket(node.url, { headers: { authorization: `Bearer ${token}` }, perMessageDeflate: true })
  await once(socket, 'open')
  t.equal(socket.extensions, '')
  socket.terminate()
})
