import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import WebSocket, { WebSocketServer } from 'ws'
import { EdgeProxy, SLOW_PIECE_MS } from '../../demo/edge-proxy.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

async function listen (t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}

/** Nodes that say who they are and who asked, then repeat what they hear. */
async function makeProxy (t: Test, names: readonly string[]) {
  const clock = new ManualClock()
  const nodes = await Promise.all(names.map(async (nodeId) => {
    const server = createServer()
    const sockets = new WebSocketServer({ server, path: '/ws' })
    sockets.on('connection', (socket, { headers }) => {
      socket.send(`${nodeId} ${String(headers.authorization)}`)
      socket.on('message', (data) => { socket.send(String(data)) })
    })
    t.teardown(() => { for (const socket of sockets.clients) socket.terminate() })
    return { nodeId, port: await listen(t, server), sockets }
  }))
  const proxy = new EdgeProxy({ nodes: () => nodes, clock })
  const server = createServer()
  proxy.attach(server)
  const port = await listen(t, server)
  t.teardown(() => { proxy.close() })
  const connect = async (user: string) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/${user}`, { headers: { authorization: `Bearer ${user}` } })
    const heard: string[] = []
    socket.on('message', (data) => { heard.push(String(data)) })
    await once(socket, 'message')
    return { socket, heard }
  }
  return { proxy, clock, nodes, port, connect }
}

t.test('each connection goes to the node that has the fewest, with the headers that it came with', async (t) => {
  const { connect, nodes } = await makeProxy(t, ['a', 'b'])
  const [alice] = [await connect('alice'), await connect('bob')]
  const carol = await connect('carol')
  t.strictSame(carol.heard, ['a Bearer carol'])
  const gone = [...nodes[0]?.sockets.clients ?? []].map((socket) => once(socket, 'close'))
  alice.socket.terminate()
  carol.socket.terminate()
  await Promise.all(gone)
  t.strictSame((await connect('dave')).heard, ['a Bearer dave'])
})

t.test('a cut ends the connections of one user on both sides, without a close frame', async (t) => {
  const { proxy, nodes, connect } = await makeProxy(t, ['a'])
  const [alice, again, bob] = [await connect('alice'), await connect('alice'), await connect('bob')]
  const ofNode = [...nodes[0]?.sockets.clients ?? []]
  const closes = [alice.socket, again.socket, ...ofNode.slice(0, 2)].map(async (socket) => (await once(socket, 'close') as [number])[0])
  t.equal(proxy.cut('alice'), 2)
  t.strictSame(await Promise.all(closes), [1006, 1006, 1006, 1006])
  bob.socket.send('still here')
  await once(bob.socket, 'message')
  t.equal(bob.heard.at(-1), 'still here')
  t.equal(proxy.cut('alice'), 0)
})

t.test('a slow user is given one piece after the other, in order; nobody else waits', async (t) => {
  const { proxy, clock, connect } = await makeProxy(t, ['a'])
  const [alice, bob] = [await connect('alice'), await connect('bob')]
  proxy.setSlow('alice', true)
  t.strictSame([...proxy.slowUsers], ['alice'])
  alice.socket.send('one')
  bob.socket.send('two')
  await once(bob.socket, 'message')
  while (clock.pendingTimers === 0) await new Promise(setImmediate)
  t.equal(alice.heard.length, 1)
  clock.advance(SLOW_PIECE_MS)
  await once(alice.socket, 'message')
  proxy.setSlow('alice', false)
  alice.socket.send('three')
  await once(alice.socket, 'message')
  t.strictSame(alice.heard.slice(1), ['one', 'three'])
})

t.test('without a node there is 503; other paths are 404', async (t) => {
  const { port } = await makeProxy(t, [])
  for (const [path, status] of [['/ws/alice', 503], ['/ws', 404], ['/ws/%zz', 404], ['/', 404]] as const) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`)
    socket.on('error', () => {})
    const [, response] = await once(socket, 'unexpected-response') as [unknown, { readonly statusCode: number }]
    t.equal(response.statusCode, status, path)
    socket.terminate()
  }
})

t.test('a node that is gone ends the connection', async (t) => {
  const { nodes, port } = await makeProxy(t, ['a'])
  nodes[0]?.sockets.close()
  nodes.splice(0, 1, { ...nodes[0] as typeof nodes[number], port: 1 })
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/alice`)
  socket.on('error', () => {})
  t.equal(await new Promise((resolve) => { socket.on('close', resolve) }), 1006)
})
