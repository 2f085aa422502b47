import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { PassThrough, type Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import { addressKey, UpgradeGuard, type UpgradeGuardOptions } from '../../../plugins/lib/upgrade-guard.ts'
import { FakeMeter } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

interface World { guard: UpgradeGuard, clock: ManualClock, meter: FakeMeter, passed: Duplex[], server: Server, open (request: string): Promise<Socket> }

async function world (t: Test, options: Partial<UpgradeGuardOptions> = {}): Promise<World> {
  const clock = new ManualClock()
  const meter = new FakeMeter()
  const guard = new UpgradeGuard({
    clock, meter, path: '/ws', handshakeTimeoutMs: 5_000, maxPending: 3, maxPendingPerAddress: 2, maxConnectionsPerAddress: 0, addressOf: (request: IncomingMessage) => request.headers['x-address'] as string ?? 'a', retryAfterSeconds: () => 2, ...options
  })
  const passed: Duplex[] = []
  guard.on('upgrade', (_request: IncomingMessage, socket: Duplex) => { passed.push(socket) })
  const server: Server = createServer((_request, response) => { response.end('plain') })
  server.on('upgrade', (request, socket, head) => { guard.handle(request, socket, head) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const open = async (request: string): Promise<Socket> => {
    const socket = connectTcp(port, '127.0.0.1')
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    sockets.push(socket)
    socket.write(request)
    return socket
  }
  return { guard, clock, meter, passed, server, open }
}

const upgrade = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${headers}\r\n`

async function answer (socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk: string) => { text += chunk })
  if (!socket.closed) await once(socket, 'close')
  return text
}

t.test('only the exact path passes, any other is answered 404 and closed [GW-CON-10]', async (t) => {
  const { open, passed, meter } = await world(t)
  for (const path of ['/', '/wss', '/ws/', '/ws%2F', '/ws%zz', '//ws', '/healthz', '/ws#x', '/WS']) {
    t.match(await answer(await open(upgrade(path))), /^HTTP\/1\.1 404 [^]*Content-Length: 0/, path)
  }
  t.equal(passed.length, 0)
  t.equal(meter.counted('handshake_failures_total path'), 9)
})

t.test('a socket that was reset before its request was read has no address, and is let go', async (t) => {
  const { guard, passed } = await world(t, { addressOf: () => { throw new Error('it has no address') } })
  const socket = new PassThrough()
  guard.handle({ url: '/ws', method: 'GET', headers: { upgrade: 'websocket' }, socket: { remoteAddress: undefined } } as IncomingMessage, socket, Buffer.alloc(0))
  t.ok(socket.destroyed)
  t.equal(guard.pendingCount, 0)
  t.same(passed, [])
})

t.test('another protocol or method on the path is refused', async (t) => {
  const { open, passed } = await world(t)
  const h2c = await answer(await open('GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'))
  t.match(h2c, /^HTTP\/1\.1 426 [^]*Upgrade: websocket[^]*UPGRADE_REQUIRED/)
  t.match(await answer(await open('POST /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')), /^HTTP\/1\.1 404 /)
  t.equal(passed.length, 0)
})

t.test('a query does not hide the path', async (t) => {
  const { open, guard } = await world(t)
  await open(upgrade('/ws?device_id=1'))
  await once(guard, 'upgrade')
  t.equal(guard.pendingCount, 1)
})

t.test('pending handshakes are bounded per address and in all [GW-CON-10]', async (t) => {
  const { open, guard } = await world(t)
  for (const address of ['a', 'a']) {
    const came = once(guard, 'upgrade')
    await open(upgrade('/ws', `X-Address: ${address}\r\n`))
    await came
  }
  t.match(await answer(await open(upgrade('/ws', 'X-Address: a\r\n'))), /^HTTP\/1\.1 429 [^]*Retry-After: 2[^]*RATE_LIMIT_EXCEEDED/)
  const came = once(guard, 'upgrade')
  await open(upgrade('/ws', 'X-Address: b\r\n'))
  await came
  t.match(await answer(await open(upgrade('/ws', 'X-Address: c\r\n'))), /^HTTP\/1\.1 503 [^]*Retry-After: 2[^]*OVERLOADED/)
})

t.test('a handshake that is done, or whose socket is gone, makes room', async (t) => {
  const { open, guard, passed, clock } = await world(t, { maxPending: 1, maxPendingPerAddress: 1 })
  let came = once(guard, 'upgrade')
  const first = await open(upgrade('/ws'))
  await came
  guard.done(passed[0] as Duplex)
  guard.done(passed[0] as Duplex)
  t.equal(guard.pendingCount, 0)
  t.equal(clock.pendingTimers, 0)
  came = once(guard, 'upgrade')
  await open(upgrade('/ws'))
  await came
  const gone = once(passed[1] as Duplex, 'close')
  passed[1]?.destroy()
  await gone
  t.equal(guard.pendingCount, 0)
  t.equal(first.destroyed, false)
})

t.test('what is not done in time is destroyed, answered or not [GW-CON-10]', async (t) => {
  const { open, guard, clock, meter } = await world(t)
  const came = once(guard, 'upgrade')
  const socket = await open(upgrade('/ws'))
  await came
  const closed = answer(socket)
  clock.advance(4_999)
  t.equal(guard.pendingCount, 1)
  clock.advance(1)
  t.equal(await closed, '')
  t.equal(guard.pendingCount, 0)
  t.equal(meter.counted('handshake_failures_total timeout'), 1)
})

t.test('a refused peer that never closes is destroyed as well', async (t) => {
  const { open, clock, server } = await world(t)
  const accepted = once(server, 'connection')
  const socket = await open(upgrade('/nowhere'))
  socket.allowHalfOpen = true
  const [ours] = await accepted as [Socket]
  const [text] = await once(socket, 'data') as [string]
  t.match(text, /^HTTP\/1\.1 404/)
  const closed = once(ours, 'close')
  clock.advance(5_000)
  await closed
})

t.test('open connections of one address are bounded where a limit is set', async (t) => {
  const { open, guard, passed } = await world(t, { maxConnectionsPerAddress: 1 })
  let came = once(guard, 'upgrade')
  await open(upgrade('/ws'))
  await came
  guard.done(passed[0] as Duplex)
  t.match(await answer(await open(upgrade('/ws'))), /^HTTP\/1\.1 429 /)
  const gone = once(passed[0] as Duplex, 'close')
  passed[0]?.destroy()
  await gone
  came = once(guard, 'upgrade')
  await open(upgrade('/ws'))
  await came
})

t.test('the key of an address: IPv4 whole, IPv6 its /64, however it is written', async (t) => {
  t.equal(addressKey('10.0.0.1'), '10.0.0.1')
  t.equal(addressKey('::ffff:10.0.0.1'), '10.0.0.1')
  t.equal(addressKey('2001:db8:0:1:ffff::1'), '2001:db8:0:1::/64')
  t.equal(addressKey('2001:0DB8:0000:0001:0:0:0:2'), '2001:db8:0:1::/64')
  t.equal(addressKey('2001:db8::1'), '2001:db8:0:0::/64')
  t.equal(addressKey('::1'), '0:0:0:0::/64')
  t.equal(addressKey('2001:db8:1::'), '2001:db8:1:0::/64')
})
