import t from 'tap'
import type { Gateway, Ports } from '../../demo/gateway.ts'
import { Nodes } from '../../demo/nodes.ts'
import { FakeLogger } from '../helpers/fakes.ts'
import { ManualClock } from '../helpers/manual-clock.ts'

const RESTART_MS = 3_000

function gateway (nodeId: string, port: number): Gateway {
  return { nodeId, url: `ws://127.0.0.1:${port}/ws`, port, grpc: `127.0.0.1:${port + 1}`, admin: port + 2, close: async () => {}, kill: async () => {} }
}

function makeNodes () {
  const clock = new ManualClock()
  const logger = new FakeLogger()
  const calls: string[] = []
  const faults: string[] = []
  const call = async (text: string): Promise<void> => {
    calls.push(text)
    const fault = faults.shift()
    if (fault !== undefined) throw new Error(fault)
  }
  const world = {
    startGateway: async (nodeId: string, { ws, grpc, admin }: Ports = { ws: 0, grpc: 0 }) => {
      await call(`start ${nodeId} ${ws} ${grpc} ${admin ?? 0}`)
      return gateway(nodeId, ws)
    },
    kill: ({ nodeId }: Gateway) => call(`kill ${nodeId}`),
    stop: ({ nodeId }: Gateway) => call(`stop ${nodeId}`)
  }
  const nodes = new Nodes({ world, restartDelayMs: RESTART_MS, clock, logger })
  nodes.add(gateway('a', 1_000))
  nodes.add(gateway('b', 2_000))
  const states = (): string => nodes.all.map(({ state }) => state).join(' ')
  return { nodes, clock, logger, calls, faults, states }
}

t.test('a node that was killed takes no clients, and starts again on its ports', async (t) => {
  const { nodes, clock, calls, states } = makeNodes()
  t.equal(nodes.kill('a'), true)
  t.equal(states(), 'down up')
  t.strictSame(nodes.serving.map(({ nodeId }) => nodeId), ['b'])
  await clock.run(RESTART_MS - 1)
  t.strictSame(calls, ['kill a'])
  await clock.run(1)
  t.strictSame(calls, ['kill a', 'start a 1000 1001 1002'])
  t.equal(states(), 'up up')
})

t.test('a node that drains is told to end once, whatever is asked of it meanwhile', async (t) => {
  const { nodes, clock, calls, states } = makeNodes()
  t.equal(nodes.drain('b'), true)
  t.equal(states(), 'up draining')
  t.equal(nodes.drain('b'), false)
  t.equal(nodes.kill('b'), false)
  t.equal(nodes.kill('c'), false)
  await clock.run(0)
  t.equal(states(), 'up down')
  await clock.run(RESTART_MS)
  t.strictSame(calls, ['stop b', 'start b 2000 2001 2002'])
  t.equal(states(), 'up up')
})

t.test('a start that fails is tried again, and said', async (t) => {
  const { nodes, clock, faults, logger, calls, states } = makeNodes()
  nodes.kill('a')
  await clock.run(0)
  faults.push('the port is taken')
  await clock.run(RESTART_MS)
  t.equal(states(), 'down up')
  t.match(logger.lines, [{ level: 'warn', facts: { node: 'a', err: { message: 'the port is taken' } } }])
  await clock.run(RESTART_MS)
  t.equal(calls.length, 3)
  t.equal(states(), 'up up')
})

t.test('after the end nothing starts any more', async (t) => {
  const { nodes, clock, calls } = makeNodes()
  nodes.kill('a')
  await clock.run(0)
  nodes.drain('b')
  await nodes.close()
  await clock.run(RESTART_MS)
  t.strictSame(calls, ['kill a', 'stop b'])
  t.equal(clock.pendingTimers, 0)
  t.equal(nodes.kill('b'), false)
})
