/** What befalls Kafka, or what it brings: no record that a connected member should get is missing. */
import { setTimeout as pause } from 'node:timers/promises'
import kafkajs, { type Kafka } from 'kafkajs'
import type { Test } from 'tap'
import { startGatewayProcess } from '../../demo/gateway-process.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { gaps } from './harness/checker.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { GroupTraffic } from './harness/group-traffic.ts'
import { isLong, PATIENCE_MS, row, TTL_MS, type Figures } from './harness/row.ts'

const GROUPS = 20
const PER_SECOND = 1_000
const LISTENERS = 32
const TRAFFIC_MS = isLong ? 60_000 : 5_000

const names = (world: FaultWorld, count: number): string[] => Array.from({ length: count }, (_, i) => `k${i}-${world.run}`)
const kafkaOf = (world: FaultWorld): Kafka => new kafkajs.Kafka({ brokers: [world.services.address('KAFKA_BROKERS')], logLevel: kafkajs.logLevel.NOTHING })
const missing = (world: FaultWorld): number => gaps(world.ledger.entries).reduce((sum, gap) => sum + gap.missing.length, 0)

row('K5', '[GW-GRP-1] a node that starts under traffic misses nothing that is produced once it lets clients in', { nodes: ['node-a'] }, async (t, world) => {
  const users = names(world, LISTENERS)
  const traffic = new GroupTraffic(world, GROUPS, users)
  traffic.start(PER_SECOND)
  await pause(1_000)
  const node = await world.startNode('node-b')
  const before = traffic.records
  await world.connect(t, users, PATIENCE_MS, node.url)
  await pause(TRAFFIC_MS)
  await traffic.stop()
  await eventually(() => missing(world) === 0, PATIENCE_MS).catch(() => {})
  const received = world.ledger.entries.filter(({ kind }) => kind === 'received').length
  t.equal(missing(world), 0, 'nothing is lost')
  t.ok(before > 0 && received > 0, 'there was traffic before and after')
  return { listeners: LISTENERS, records: traffic.records, received, lost: missing(world) }
})

/** Values that no gateway can read, by their kind. */
const POISON: ReadonlyArray<readonly [kind: string, value: (group: string) => string | null]> = [
  ['no JSON', () => '{"msg_id":'],
  ['huge', (group) => JSON.stringify({ msg_id: 'huge', group_id: group, sender_id: 'x', content: 'x'.repeat(500_000), message_type: 'text', sequence_number: 1, timestamp: 1 })],
  ['unknown type', (group) => JSON.stringify({ msg_id: 'type', group_id: group, sender_id: 'x', content: 'x', message_type: 'no such type', sequence_number: 1, timestamp: 1 })],
  ['null', () => null],
  ['wrong schema', () => '{"msg_id":5,"group_id":[]}']
]
const PASSED_OVER = ['bad_json', 'bad_shape', 'too_large', 'empty', 'key_mismatch']
const BAD_OF_100 = 1
/** Of twenty groups that each have a record every 20 ms. In CI the machine is shared. */
const SILENCE_MS = isLong ? 100 : 500

row('K3', '[GW-GRP-1] records that nobody can read are passed over and counted, and hold up nobody', { nodes: ['node-a', 'node-b'] }, async (t, world) => {
  const users = names(world, LISTENERS)
  const traffic = new GroupTraffic(world, GROUPS, users)
  const producer = kafkaOf(world).producer({ allowAutoTopicCreation: false })
  await producer.connect()
  t.teardown(() => producer.disconnect())
  await world.connect(t, users, PATIENCE_MS)
  traffic.start(PER_SECOND)
  await pause(1_000)
  let bad = 0
  const until = performance.now() + TRAFFIC_MS
  while (performance.now() < until) {
    const [, value] = POISON[bad % POISON.length] as (typeof POISON)[number]
    const group = traffic.groups[Math.floor(world.random() * GROUPS)] as string
    await producer.send({ topic: 'group_msg', acks: -1, messages: [{ key: group, value: value(group) }] })
    bad++
    await pause(1000 / (PER_SECOND * BAD_OF_100 / 100))
  }
  await traffic.stop()
  await eventually(() => missing(world) === 0, PATIENCE_MS).catch(() => {})
  const count = async (): Promise<number> => {
    let sum = 0
    for (const result of PASSED_OVER) sum += await world.count('group_records_total', 'topic="group_msg"', `result="${result}"`)
    return sum
  }
  await eventually(async () => await count() === bad * world.nodes.length, PATIENCE_MS).catch(() => {})
  const passedOver = await count()
  t.equal(passedOver, bad * world.nodes.length, 'each node counts each of them')
  t.equal(missing(world), 0, 'and all others are delivered')
  const silentMs = Math.round(longestSilence(world))
  t.ok(silentMs <= SILENCE_MS, `nobody heard nothing for longer than ${silentMs} ms`)
  return { records: traffic.records, bad, passedOver, lost: missing(world), silentMs }
})

const FROZEN_MS = isLong ? 45_000 : 12_000
const STALL_MS = 30_000

const SHORT_SESSIONS = { nodes: ['node-a', 'node-b'], settings: { KAFKA_SESSION_TIMEOUT: '6s' } }

/** Milliseconds from a moment until every listener has got a record that it had not had before. */
async function resumed (t: Test, world: FaultWorld, sinceMs: number, boundMs: number): Promise<number> {
  await eventually(() => heardSince(world, sinceMs).size === LISTENERS, PATIENCE_MS).catch(() => {})
  const heard = heardSince(world, sinceMs)
  const tookMs = Math.round(Math.max(...heard.values()) - sinceMs)
  t.ok(heard.size === LISTENERS && tookMs <= boundMs, `${heard.size} hear again, the last one after ${tookMs} ms`)
  return tookMs
}

/** What is still on its way arrives, and then nothing is missing. */
async function allArrives (t: Test, world: FaultWorld): Promise<void> {
  await eventually(() => missing(world) === 0, PATIENCE_MS).catch(() => {})
  t.equal(missing(world), 0, 'no record is missing')
}

/** `from`: whether the pause counts from the beginning of the fault or from its end. */
async function breakBroker (t: Test, world: FaultWorld, from: 'strike' | 'end', strike: () => Promise<void>, mend: () => Promise<void>): Promise<Figures> {
  const users = names(world, LISTENERS)
  const traffic = new GroupTraffic(world, GROUPS, users)
  await world.connect(t, users, PATIENCE_MS)
  traffic.start(PER_SECOND / 5)
  await pause(2_000)
  await strike()
  // What was on its way is there: whoever hears from here on hears of what was produced after it.
  await pause(500)
  const struckMs = performance.now()
  await mend()
  const stallMs = await resumed(t, world, from === 'strike' ? struckMs : performance.now(), STALL_MS)
  await pause(TRAFFIC_MS)
  await traffic.stop()
  await allArrives(t, world)
  return { records: traffic.records, lost: missing(world), stallMs, repeats: repeats(world) }
}

row('K1', '[GW-GRP-1] a broker that is killed costs a pause and no record', SHORT_SESSIONS, (t, world) => breakBroker(t, world, 'strike', () => world.services.kill('kafka1'), () => world.services.restart('kafka')))

row('K2', '[GW-GRP-1] a broker that is frozen costs a pause and no record', SHORT_SESSIONS, (t, world) => breakBroker(t, world, 'end', () => world.services.freeze('kafka1'), async () => {
  await pause(FROZEN_MS)
  await world.services.thaw('kafka1')
}))

/** Longer than the session of KAFKA_SESSION_TIMEOUT. */
const STALLED_MS = isLong ? 35_000 : 9_000

row('K4', '[GW-GRP-1] a second node with the same id is refused, and a node that stalls for longer than its session joins again: no record is missing', SHORT_SESSIONS, async (t, world) => {
  const users = names(world, LISTENERS)
  const traffic = new GroupTraffic(world, GROUPS, users)
  const clients = await world.connect(t, users, PATIENCE_MS)
  traffic.start(PER_SECOND / 5)
  const [node] = world.nodes
  if (node?.pid === undefined) throw new Error('the row needs a node that is a process')
  const { nodeId, grpc, pid } = node
  const started = performance.now()
  const end: { how?: string } = {}
  const rival = startGatewayProcess({ nodeId, ports: { ws: 0, grpc: 0 }, env: world.world.gatewayEnv, directory: world.world.directory, watch: { onEnd: (_, how) => { end.how = how } } })
  await t.rejects(rival, { message: new RegExp(`the node id ${nodeId} is taken by ${grpc.replaceAll('.', '\\.')}`) }, 'it says by whom')
  const refusedMs = Math.round(performance.now() - started)
  t.equal(end.how, '1')
  await world.strike(async () => {
    process.kill(pid, 'SIGSTOP')
    await pause(STALLED_MS)
    process.kill(pid, 'SIGCONT')
  })
  const stallMs = await resumed(t, world, performance.now(), STALL_MS)
  const lostLeases = await world.countOn(node, 'registry_leases_lost_total')
  t.ok(lostLeases > 0 || STALLED_MS < TTL_MS, 'it says that it was away for too long')
  await pause(TRAFFIC_MS)
  await traffic.stop()
  await allArrives(t, world)
  const closes = clients.filter(({ sessions, state }) => sessions !== 1 || state !== 'open').length
  t.equal(closes, 0, 'nobody was closed for it')
  return { records: traffic.records, lost: missing(world), repeats: repeats(world), refusedMs, stallMs, closes }
})

/** KAFKA_METADATA_MAX_AGE, and a join. */
const PICKED_UP_MS = 15_000
const NEW_EACH_MS = 100

row('K6', '[GW-GRP-1] partitions that are added are read from their first record on', { nodes: ['node-a', 'node-b'] }, async (t, world) => {
  const users = names(world, LISTENERS)
  const traffic = new GroupTraffic(world, GROUPS, users)
  const group = `group_new-${world.run}`
  world.world.users.createGroup(group, users)
  world.ledger.say({ kind: 'group', group, members: users })
  await world.connect(t, users, PATIENCE_MS)
  traffic.start(PER_SECOND / 5)
  const kafka = kafkaOf(world)
  const [admin, producer] = [kafka.admin(), kafka.producer({ allowAutoTopicCreation: false })]
  t.teardown(() => Promise.all([admin.disconnect(), producer.disconnect()]))
  await admin.connect()
  const [topic] = (await admin.fetchTopicMetadata({ topics: ['group_msg'] })).topics
  const before = topic?.partitions.length ?? 0
  await admin.createPartitions({ topicPartitions: [{ topic: 'group_msg', count: before * 2 }] })
  await producer.connect()
  const createdMs = performance.now()
  let sequence = 0
  while (performance.now() < createdMs + PICKED_UP_MS + TRAFFIC_MS) {
    const msgId = `n${++sequence}`
    const record = { msg_id: msgId, group_id: group, sender_id: 'traffic', content: 'hi', message_type: 'text', sequence_number: sequence, timestamp: Date.now() }
    const atMs = performance.now()
    await producer.send({ topic: 'group_msg', acks: -1, messages: [{ key: group, value: JSON.stringify(record), partition: before + sequence % before }] })
    world.ledger.say({ kind: 'produced', group, msgId, sequence, atMs })
    await pause(NEW_EACH_MS)
  }
  await traffic.stop()
  await allArrives(t, world)
  const longestMs = Math.round(longestWay(world, group))
  t.ok(longestMs > 0 && longestMs <= PICKED_UP_MS, `a record of a new partition came after ${longestMs} ms at the latest`)
  return { partitions: before * 2, records: traffic.records, newRecords: sequence, lost: missing(world), longestMs }
})

const READ_AGAIN_MS = 35_000
const DENIED_MS = isLong ? 60_000 : 15_000
const WITH_ACLS = () => ({ 'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'allow.everyone.if.no.acl.found': 'true' })

row('K7', '[GW-GRP-1] a consumer that may no longer read is started again until it may; the node stays ready and says that it is behind', { nodes: ['node-a', 'node-b'], kafkaProperties: WITH_ACLS }, async (t, world) => {
  const users = names(world, LISTENERS)
  const traffic = new GroupTraffic(world, GROUPS, users)
  await world.connect(t, users, PATIENCE_MS)
  traffic.start(PER_SECOND / 5)
  const admin = kafkaOf(world).admin()
  t.teardown(() => admin.disconnect())
  await admin.connect()
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
  const everybody = { resourceType: AclResourceTypes.TOPIC, resourceName: 'group_msg', resourcePatternType: ResourcePatternTypes.LITERAL, principal: 'User:*', host: '*' }
  const denial = { ...everybody, operation: AclOperationTypes.READ, permissionType: AclPermissionTypes.DENY }
  const degraded = (): Promise<number> => world.count('degraded{', 'dependency="kafka"')
  await pause(1_000)
  await admin.createAcls({ acl: [{ ...everybody, operation: AclOperationTypes.ALL, permissionType: AclPermissionTypes.ALLOW }, denial] })
  const deniedMs = performance.now()
  const seen = { notReady: 0, lag: 0 }
  await eventually(async () => await degraded() === world.nodes.length, PATIENCE_MS)
  const toldMs = Math.round(performance.now() - deniedMs)
  while (performance.now() < deniedMs + DENIED_MS) {
    for (const { port } of world.nodes) seen.notReady += Number((await fetch(`http://127.0.0.1:${port}/readyz`)).status !== 200)
    seen.lag = Math.max(seen.lag, await world.count('kafka_lag{', 'topic="group_msg"'))
    await pause(250)
  }
  await admin.deleteAcls({ filters: [denial] })
  const aliveMs = await resumed(t, world, performance.now(), READ_AGAIN_MS)
  await eventually(async () => await degraded() === 0, PATIENCE_MS)
  const restarts = await world.count('kafka_restarts_total')
  t.ok(restarts >= 2 * world.nodes.length, 'each was started again more than once')
  t.equal(seen.notReady, 0, 'ready all the while')
  t.ok(seen.lag > 0, 'the lag is told while nothing is read')
  await pause(TRAFFIC_MS)
  await traffic.stop()
  await allArrives(t, world)
  return { records: traffic.records, lost: missing(world), toldMs, aliveMs, restarts, ...seen }
})

/** The longest that a record of a group was on its way to one of its members. */
function longestWay (world: FaultWorld, group: string): number {
  const producedMs = new Map<number, number>()
  for (const entry of world.ledger.entries) if (entry.kind === 'produced' && entry.group === group) producedMs.set(entry.sequence, entry.atMs)
  let longest = 0
  for (const entry of world.ledger.entries) {
    if (entry.kind === 'received' && entry.recipient === group) longest = Math.max(longest, entry.atMs - (producedMs.get(entry.sequence) ?? -Infinity))
  }
  return longest
}

/** By connection: when it first got a record after that moment. */
function heardSince (world: FaultWorld, sinceMs: number): Map<string, number> {
  const heard = new Map<string, number>()
  for (const entry of world.ledger.entries) {
    if (entry.kind === 'received' && entry.atMs > sinceMs && !heard.has(entry.conn)) heard.set(entry.conn, entry.atMs)
  }
  return heard
}

/** Records that a connection got more than once. */
function repeats (world: FaultWorld): number {
  const received = world.ledger.entries.filter((entry) => entry.kind === 'received')
  return received.length - new Set(received.map(({ conn, recipient, sequence }) => `${conn} ${recipient} ${sequence}`)).size
}

/** The longest that a connection heard nothing of its twenty groups, between its first and its last record. */
function longestSilence (world: FaultWorld): number {
  const last = new Map<string, number>()
  let longest = 0
  for (const entry of world.ledger.entries) {
    if (entry.kind !== 'received') continue
    longest = Math.max(longest, entry.atMs - (last.get(entry.conn) ?? entry.atMs))
    last.set(entry.conn, entry.atMs)
  }
  return longest
}
