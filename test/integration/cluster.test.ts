/** Three nodes, each a process, on real etcd, Redis and Kafka, under the messages of thousands of people who come back as the protocol asks. */
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { within } from '../../demo/client.ts'
import type { Gateway } from '../../demo/gateway.ts'
import { openReal } from '../../demo/outside-real.ts'
import { MemoryMessageStore } from '../../demo/stores/memory-message-store.ts'
import { World } from '../../demo/world.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { ROOT, USERS } from '../../src/registry/records.ts'
import { Population } from '../helpers/population.ts'
import { startService } from '../helpers/services.ts'

const PEOPLE = Number(process.env['TEST_PEOPLE'] ?? 3_000)
const PER_SECOND = Number(process.env['TEST_RATE'] ?? 1_000)
const PATIENCE_MS = 60_000
const mysqlUrl = process.env['MYSQL_URL'] ?? ''
if (mysqlUrl === '') throw new Error('MYSQL_URL is missing')
t.setTimeout(300_000)

async function startNodes (t: Test, names: readonly string[]) {
  const services = await startService(['etcd', 'redis', 'kafka'])
  t.teardown(() => services.stop())
  const run = `${process.pid.toString(36)}${Date.now().toString(36)}`
  const real = await openReal({ ...services.env, MYSQL_URL: mysqlUrl, KAFKA_GROUP_ID: `test-${run}` }, systemClock, pino({ level: 'silent' }))
  // What is looked at is the gateways: a thousand commits a second are not their work.
  const outside = { ...real, store: new MemoryMessageStore() }
  const world = await World.start({
    outside,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    accessTokenTtlMs: 3_600_000,
    refreshTokenTtlMs: 3_600_000,
    httpPort: 0,
    processes: true,
    gatewayEnv: { REGISTRY_TTL: '10s', REGISTRY_RENEW_INTERVAL: '3s', DRAIN_TIMEOUT: '20s', HANDSHAKES_PER_IP: '0', MAX_PENDING_HANDSHAKES_PER_IP: '5000', LOG_LEVEL: 'warn' }
  })
  t.teardown(() => within(world.close(), 'end', PATIENCE_MS))
  const nodes: Gateway[] = []
  for (const name of names) nodes.push(await world.startGateway(name))
  return { world, outside, nodes, run }
}

async function start (t: Test) {
  const { world, outside, nodes, run } = await startNodes(t, ['node-a', 'node-b', 'node-c'])
  const population = new Population({ world, outside, run, people: PEOPLE, groups: PEOPLE / 50, groupSize: 20, urls: () => nodes.map(({ url }) => url) })
  t.teardown(() => { population.close() })
  await population.open(PATIENCE_MS)
  return { world, outside, nodes, population }
}

t.test('[GW-END-1] a rolling restart loses nothing that was acknowledged, shows nothing twice, and leaves no key', async (t) => {
  const { world, outside, nodes, population } = await start(t)
  const roll = async (): Promise<void> => {
    for (const name of ['node-a', 'node-b', 'node-c']) {
      const leaving = nodes.find(({ nodeId }) => nodeId === name) as Gateway
      nodes.splice(nodes.indexOf(leaving), 1)
      await world.stop(leaving)
      nodes.push(await world.startGateway(name))
    }
  }
  await population.write(PER_SECOND, roll())
  const verdict = await population.verdict(PATIENCE_MS)
  t.comment(JSON.stringify(verdict))
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= PEOPLE, 'everybody had to come back')
  for (const node of nodes.splice(0)) await world.stop(node)
  population.close()
  t.strictSame((await outside.kv.range(ROOT, { prefix: true })).entries, [])
})

t.test('[GW-END-2] a node that is killed costs its clients some seconds and nobody an acknowledged message', async (t) => {
  const { world, outside, nodes, population } = await start(t)
  let servedAgainMs = 0
  const kill = async (): Promise<void> => {
    const victim = nodes.pop() as Gateway
    const started = performance.now()
    await world.kill(victim)
    while (!population.isOpen) await new Promise((resolve) => { setTimeout(resolve, 20) })
    servedAgainMs = Math.round(performance.now() - started)
    await new Promise((resolve) => { setTimeout(resolve, 5_000) })
  }
  await population.write(PER_SECOND, kill())
  const verdict = await population.verdict(PATIENCE_MS)
  t.comment(JSON.stringify({ ...verdict, servedAgainMs }))
  t.match(verdict, { lost: 0, duplicates: 0, outOfOrder: 0 })
  t.ok(verdict.returns >= PEOPLE / 4, 'a third had to come back')
  const held = (await outside.kv.range(USERS, { prefix: true })).entries.map(({ value }) => value)
  t.equal(held.length, PEOPLE, 'everybody is registered')
  t.notOk(held.some((value) => value.includes('node-c')), 'nobody with the dead node')
})

t.test('a second node with the id of one that lives does not start, and says who has it', async (t) => {
  const { world, nodes } = await startNodes(t, ['node-a'])
  const [holder] = nodes as [Gateway]
  await t.rejects(world.startGateway('node-a'), { message: new RegExp(`the node id node-a is taken by ${holder.grpc.replaceAll('.', '\\.')}`) })
  t.equal((await fetch(`http://127.0.0.1:${holder.port}/readyz`)).status, 200, 'the first one serves on')
  await world.kill(holder)
  const heir = await world.startGateway('node-a')
  t.equal(heir.nodeId, 'node-a', 'the id is free once its lease has expired')
})
