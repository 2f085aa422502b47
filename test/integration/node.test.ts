/**
 * A whole node on real services that are killed under its traffic, one after the other. Sockets stay, nothing that was
 * acknowledged is lost, and registry and groups are right again without help.
 */
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { DemoClient, within, type ServerFrame } from '../../demo/client.ts'
import type { Gateway } from '../../demo/gateway.ts'
import type { Outside } from '../../demo/outside.ts'
import { openReal } from '../../demo/outside-real.ts'
import { conversationOf } from '../../demo/stores/message-store.ts'
import { World } from '../../demo/world.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { parseRoute, USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { ChatTraffic, PATIENT } from '../helpers/chat-traffic.ts'
import { startService, type ServiceName, type Services } from '../helpers/services.ts'

const TTL_S = 4
const PATIENCE_MS = 40_000
const DURING_ACKS = 40
const PEOPLE = ['ann', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy'] as const
const GROUP_A = PEOPLE.slice(0, 5)
const GROUP_B = PEOPLE.slice(3, 9)
const mysqlUrl = process.env['MYSQL_URL'] ?? ''
if (mysqlUrl === '') throw new Error('MYSQL_URL is missing')

interface Chat {
  readonly services: Services
  readonly outside: Outside
  readonly world: World
  readonly gateway: Gateway
  readonly clients: ReadonlyMap<string, DemoClient>
  /** The name of a person or group in this run. */
  readonly id: (name: string) => string
  readonly traffic: ChatTraffic
}

async function startChat (t: Test): Promise<Chat> {
  const services = await startService(['etcd', 'redis', 'kafka'])
  t.teardown(() => services.stop())
  const logger = pino({ level: 'silent' })
  const run = `${process.pid.toString(36)}${Date.now().toString(36)}`
  const outside = await openReal({ ...services.env, MYSQL_URL: mysqlUrl, KAFKA_GROUP_ID: `test-${run}` }, systemClock, logger)
  const world = await World.start({
    outside,
    clock: systemClock,
    logger,
    accessTokenTtlMs: 600_000,
    refreshTokenTtlMs: 600_000,
    httpPort: 0,
    processes: false,
    gatewayEnv: { REGISTRY_TTL: `${TTL_S}s`, REGISTRY_RENEW_INTERVAL: '1s' }
  })
  t.teardown(() => within(world.close(), 'end', PATIENCE_MS))
  const gateway = await world.startGateway('node-1')
  const id = (name: string): string => `${name}-${run}`
  for (const name of PEOPLE) world.users.addUser(id(name))
  world.users.createGroup(id('group_a'), GROUP_A.map(id))
  world.users.createGroup(id('group_b'), GROUP_B.map(id))
  const clients = new Map<string, DemoClient>()
  for (const name of PEOPLE) clients.set(name, await DemoClient.connect({ url: gateway.url, token: world.auth.mint(id(name), 'phone').accessToken, ...PATIENT }))
  const traffic = new ChatTraffic(run)
  for (const [at, name] of PEOPLE.entries()) {
    const groups = [...(GROUP_A.includes(name) ? ['group_a'] : []), ...(GROUP_B.includes(name) ? ['group_b'] : [])]
    traffic.start(clients.get(name) as DemoClient, id(name), [PEOPLE[(at + 1) % PEOPLE.length] as string, ...groups].map(id))
  }
  return { services, outside, world, gateway, clients, id, traffic }
}

/** Resolves when so many more messages were acknowledged. */
async function acknowledgedMore (traffic: ChatTraffic, count = DURING_ACKS): Promise<void> {
  const wanted = traffic.acknowledged.length + count
  await eventually(() => traffic.acknowledged.length >= wanted, PATIENCE_MS)
}

async function dependency (gateway: Gateway, name: ServiceName): Promise<string | undefined> {
  const response = await fetch(`http://127.0.0.1:${gateway.port}/readyz`, { signal: AbortSignal.timeout(5_000) })
  const { dependencies } = await response.json() as { dependencies: Record<string, { state: string }> }
  return dependencies[name]?.state
}

/** What etcd says: connection ids by `user/device`. */
async function registered ({ outside }: Chat): Promise<Record<string, string | undefined>> {
  const { entries } = await outside.kv.range(USERS, { prefix: true })
  return Object.fromEntries(entries.map(({ key, value }) => [key.slice(USERS.length), parseRoute(value)?.node]))
}

/** Every socket that was opened is open, and nobody was told to go. */
function socketsStayed (t: Test, { clients }: Chat): void {
  for (const [name, client] of clients) {
    t.ok(client.isOpen, `${name} is connected`)
    t.notOk(client.frames.some((frame) => frame.type === 'shutdown'))
  }
}

/** The news may be there before whoever published it knows that it is published. */
async function told (client: DemoClient, what: 'join' | 'leave'): Promise<void> {
  const isIt = (frame: ServerFrame): boolean => frame.type === 'membership_change' && frame['event_type'] === what
  if (!client.frames.some(isIt)) await client.waitFor(isIt, `the ${what}`, PATIENCE_MS)
}

/** A newcomer connects, writes and is written to; a group that it joins reaches it, and one that it left does not. */
async function allIsRight (t: Test, chat: Chat, name: string): Promise<void> {
  const { world, gateway, clients, id } = chat
  world.users.addUser(id(name))
  const token = world.auth.mint(id(name), 'phone').accessToken
  let newcomer: DemoClient | undefined
  await eventually(async () => {
    newcomer = await DemoClient.connect({ url: gateway.url, token, ...PATIENT }).catch(() => undefined)
    return newcomer !== undefined
  }, PATIENCE_MS)
  if (newcomer === undefined) throw new Error('nobody connects')
  const bob = clients.get('bob') as DemoClient
  await newcomer.message((await bob.send(id(name), 'Welcome')).msgId)
  await bob.message((await newcomer.send(id('bob'), 'Thanks')).msgId)
  await world.users.join(id('group_a'), id(name))
  await told(newcomer, 'join')
  await newcomer.message((await bob.send(id('group_a'), 'One more')).msgId, PATIENCE_MS)
  await world.users.leave(id('group_a'), id(name))
  await told(newcomer, 'leave')
  const { msgId } = await bob.send(id('group_a'), 'One less')
  await (clients.get('ann') as DemoClient).message(msgId, PATIENCE_MS)
  t.equal(newcomer.count(msgId), 0)
  await newcomer.close()
  const truth = Object.fromEntries([...clients.keys()].map((each) => [`${id(each)}/phone`, 'node-1']))
  await eventually(async () => same(await registered(chat), truth), PATIENCE_MS)
  t.strictSame(await registered(chat), truth, 'the registry says what is so')
}

function same (a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  return Object.keys(a).length === Object.keys(b).length && Object.entries(b).every(([key, value]) => a[key] === value)
}

/** All that was acknowledged is kept under the number that the ack said; group messages reached every member. */
async function nothingIsLost (t: Test, { outside, traffic, clients, id }: Chat): Promise<void> {
  for (const { sender, recipient, msgId, sequenceNumber } of traffic.acknowledged) {
    const stored = await outside.store.find(sender, msgId)
    if (stored?.sequenceNumber !== BigInt(sequenceNumber)) t.fail(`${msgId} of ${conversationOf(sender, recipient, false)} is lost`)
  }
  // A private message that no device took within its 7 s of attempts waits in the history, and no longer on its way.
  await eventually(async () => (await outside.store.unfinished(1)).length === 0, PATIENCE_MS)
  const members: Array<readonly [group: string, names: readonly string[]]> = [[id('group_a'), GROUP_A], [id('group_b'), GROUP_B]]
  for (const [group, names] of members) {
    const sent = traffic.acknowledged.filter(({ recipient }) => recipient === group).map(({ msgId }) => msgId)
    t.ok(sent.length > 0)
    for (const name of names) {
      const client = clients.get(name) as DemoClient
      const missing = (): string[] => {
        const seen = new Set(client.frames.map((frame) => frame['msg_id']))
        return sent.filter((msgId) => !seen.has(msgId))
      }
      await eventually(() => missing().length === 0, PATIENCE_MS).catch(() => {})
      t.strictSame(missing(), [], `all messages of ${group} reached ${name}`)
    }
  }
}

t.test('etcd, Redis and Kafka are killed during traffic, one after the other', { timeout: 280_000 }, async (t) => {
  const chat = await startChat(t)
  const { services, traffic, gateway, world, id } = chat
  await acknowledgedMore(traffic)

  await services.kill('etcd1')
  await acknowledgedMore(traffic)
  await eventually(async () => await dependency(gateway, 'etcd') === 'down', PATIENCE_MS)
  world.users.addUser(id('late'))
  const refused = await DemoClient.connect({ url: gateway.url, token: world.auth.mint(id('late'), 'phone').accessToken }).catch((error: unknown) => error)
  t.match(refused, { name: 'RefusedError', status: 503, code: 'SERVICE_UNAVAILABLE' }, 'nobody gets in without the registry')
  // Longer than the TTL: the node counts its leases as lost, and registers everybody again.
  await new Promise((resolve) => { setTimeout(resolve, (TTL_S + 1) * 1_000) })
  await services.restart('etcd')
  await eventually(async () => await dependency(gateway, 'etcd') === 'up', PATIENCE_MS)
  await allIsRight(t, chat, 'after-etcd')
  socketsStayed(t, chat)

  await services.kill('redis1')
  await acknowledgedMore(traffic)
  await services.restart('redis')
  await eventually(async () => await dependency(gateway, 'redis') === 'up', PATIENCE_MS)
  await allIsRight(t, chat, 'after-redis')
  socketsStayed(t, chat)

  await services.kill('kafka1')
  await eventually(() => traffic.errors.length > 0, PATIENCE_MS)
  t.strictSame([...new Set(traffic.errors)].filter((code) => code !== 'SERVICE_UNAVAILABLE' && code !== 'DEADLINE_EXCEEDED'), [], 'a group message that the broker has not is not acknowledged')
  await eventually(async () => await dependency(gateway, 'kafka') === 'down', PATIENCE_MS)
  await services.restart('kafka')
  await eventually(async () => await dependency(gateway, 'kafka') === 'up', PATIENCE_MS)
  await allIsRight(t, chat, 'after-kafka')
  socketsStayed(t, chat)

  await acknowledgedMore(traffic)
  await traffic.stop()
  await nothingIsLost(t, chat)
  t.ok(traffic.acknowledged.length >= 4 * DURING_ACKS)
})
