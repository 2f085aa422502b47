/** Ten thousand connections come, do what clients do and worse, and go in every way there is: nothing of them stays. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { OPCODE, RawClient } from '../helpers/raw-client.ts'
import type { Figures } from './node-under-test.ts'
import { nodeArgs } from '../../demo/node-args.ts'

const CONNECTIONS = 10_000
const WARM_UP = 2_000
const AT_ONCE = 100
const MAX_HEAP_GROWTH_BYTES = 1_000_000
const SETTLE_MS = 10_000

interface Node { readonly port: number, figures (): Promise<Figures> }

async function startNode (t: Test): Promise<Node> {
  const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...env } = process.env
  const script = fileURLToPath(new URL('node-under-test.ts', import.meta.url))
  const child = spawn(process.execPath, ['--expose-gc', ...nodeArgs(script)], { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  t.teardown(() => { child.kill() })
  const answer = async (): Promise<unknown> => {
    const [value] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => { throw new Error('the node ended') })]) as [unknown]
    return value
  }
  const port = await answer() as number
  return {
    port,
    figures: async () => {
      child.send('figures')
      return await answer() as Figures
    }
  }
}

/** One life of a connection, from the request on; ends once its socket is closed. */
type Life = (port: number, user: string) => Promise<void>

let lastMsgId = 0
const say = (client: RawClient, recipient: string, msgId = `m${++lastMsgId}`): void => {
  client.send({ type: 'send_msg', msg_id: msgId, recipient, content: 'hi', timestamp: 1 })
}

/** Connects, does something, and counts the text frames that came; `frames` resolves once there were so many. */
async function open (port: number, token: string): Promise<{ client: RawClient, frames (count: number): Promise<void> }> {
  let seen = 0
  let wanted = Infinity
  let enough = (): void => {}
  const client = await RawClient.connect({ port, token, onFrame: (_client, opcode) => { if (opcode === OPCODE.text && ++seen >= wanted) enough() } })
  return {
    client,
    frames: (count) => new Promise((resolve) => {
      wanted = count
      enough = resolve
      if (seen >= count) resolve()
      void client.closed.then(resolve)
    })
  }
}

const closes = (act: (client: RawClient, frames: (count: number) => Promise<void>, user: string, port: number) => void | Promise<void>): Life => async (port, user) => {
  const { client, frames } = await open(port, `${user}/phone`)
  await act(client, frames, user, port)
  await client.closed
}

const LIVES: Readonly<Record<string, Life>> = {
  'closed by the client': closes((client) => { client.close() }),
  'reset by the client': closes((client) => { client.reset() }),
  'ended without a close frame': closes((client) => { client.socket.end() }),
  'closed by the node': closes((client) => { say(client, 'close') }),
  'sends and is answered': closes(async (client, frames) => {
    say(client, 'bob')
    say(client, 'group_1')
    say(client, 'refuse')
    await frames(4)
    client.close()
  }),
  'reset while its messages are upstream': closes(async (client, frames) => {
    for (let n = 0; n < 5; n++) say(client, 'slow')
    say(client, 'slow', `m${lastMsgId}`)
    say(client, 'bob')
    await frames(2)
    client.reset()
  }),
  'never acknowledges, closed by the client': closes(async (client, frames) => {
    say(client, 'push')
    await frames(5)
    client.close()
  }),
  'never acknowledges, reset': closes(async (client, frames) => {
    say(client, 'push')
    await frames(3)
    client.reset()
  }),
  'never acknowledges, closed by the node': closes(async (client, frames) => {
    say(client, 'push')
    await frames(5)
    say(client, 'close')
  }),
  'acknowledges some and what it never got': closes(async (client, frames) => {
    const msgId = `m${++lastMsgId}`
    say(client, 'push', msgId)
    await frames(5)
    client.send({ type: 'ack', msg_ids: [`${msgId}-0`, `${msgId}-0`, 'unknown'] })
    client.send({ type: 'heartbeat' })
    await frames(6)
    client.close()
  }),
  'replaced while pushes wait': closes(async (client, frames, user, port) => {
    say(client, 'push')
    await frames(5)
    const successor = await open(port, `${user}/phone`)
    await client.closed
    successor.client.close()
    await successor.client.closed
  }),
  'renews its token': closes(async (client, frames, user) => {
    client.send({ type: 'auth', token: `${user}/phone` })
    await frames(2)
    client.write(OPCODE.ping)
    client.close(1001)
  }),
  'sends a binary frame': closes((client) => { client.write(OPCODE.binary, 'x') }),
  'breaks the protocol': closes((client) => { client.write(3, 'x') }),
  'sends frames that are none of ours': closes((client) => { for (let n = 0; n < 20; n++) client.write(OPCODE.text, '{}') }),
  'registered late': async (port, user) => {
    const { client } = await open(port, `${user}/late`)
    client.close()
    await client.closed
  }
}

/** Seldom, and more than one connection of ten thousand each. */
const SELDOM: Readonly<Record<string, Life>> = {
  'refused for its token': async (port) => { await RawClient.open({ port, token: 'bad' }).client.closed },
  'stops reading and is closed as slow': closes(async (client) => {
    say(client, 'flood')
    client.socket.pause()
    await new Promise((resolve) => { setTimeout(resolve, 1_000) })
    client.reset()
  }),
  'gone before its welcome': async (port, user) => {
    const { client } = RawClient.open({ port, token: `${user}/late` })
    client.socket.on('data', () => { client.reset() })
    await client.closed
  },
  'gone before its answer': async (port, user) => {
    const { client } = RawClient.open({ port, token: `${user}/phone` })
    client.socket.once('connect', () => { client.socket.end() })
    await client.closed
  },
  'hung in its handshake': async (port, user) => { await RawClient.open({ port, token: `${user}/hung` }).client.closed }
}
const SELDOM_EVERY = 50

/** So many connections, a bounded number at once. */
async function run (port: number, connections: number): Promise<void> {
  const lives = Object.entries(LIVES)
  const seldom = Object.entries(SELDOM)
  let next = 0
  // A user each, who comes again and again: what is kept by user (the handshake limiter) is the same after as before.
  const work = async (worker: number): Promise<void> => {
    while (next < connections) {
      const at = next++
      const [name, life] = (at % SELDOM_EVERY === 0 ? seldom[at / SELDOM_EVERY % seldom.length] : lives[at % lives.length]) as [string, Life]
      await life(port, `u${worker}`).catch((error: unknown) => { throw new Error(`a connection that is ${name}`, { cause: error }) })
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => work(index)))
}

t.test('10,000 connections that opened and closed leave heap, descriptors, timers and every map as they were', async (t) => {
  const node = await startNode(t)
  await run(node.port, WARM_UP)
  await new Promise((resolve) => { setTimeout(resolve, 2_000) })
  const before = await node.figures()

  const open = await Promise.all(Array.from({ length: 20 }, (_, index) => RawClient.connect({ port: node.port, token: `u${index}/phone` })))
  const { held } = await node.figures()
  const own = ['connections', 'users', 'sessions', 'descriptors', 'Connection objects', 'UserEntry objects', 'WebSocket objects', 'Socket objects']
  t.same(own.map((what) => (held[what] ?? 0) - (before.held[what] ?? 0)), own.map(() => open.length), 'the figures show what is open')
  t.ok((held['Map entries'] ?? 0) >= (before.held['Map entries'] ?? 0) + open.length, 'and what maps hold of it')
  for (const client of open) client.close()
  await Promise.all(open.map((client) => client.closed))

  const startedAt = performance.now()
  await run(node.port, CONNECTIONS)
  t.comment(`${CONNECTIONS} connections in ${Math.round(performance.now() - startedAt)} ms`)
  let after = await node.figures()
  const end = performance.now() + SETTLE_MS
  while (performance.now() < end && (JSON.stringify(after.held) !== JSON.stringify(before.held))) {
    await new Promise((resolve) => { setTimeout(resolve, 200) })
    after = await node.figures()
  }
  t.same(after.held, before.held)
  const growth = after.heapBytes - before.heapBytes
  t.comment(`heap ${before.heapBytes} to ${after.heapBytes} bytes, ${growth} more; ${after.opened - before.opened} accepted`)
  t.ok(growth < MAX_HEAP_GROWTH_BYTES, `the heap grew by ${growth} bytes`)
  t.ok(after.opened - before.opened >= CONNECTIONS * 0.9)
})
