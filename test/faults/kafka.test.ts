/** What befalls Kafka, or what it brings: no record that a connected member should get is missing. */
import kafkajs from 'kafkajs'
import type { Test } from 'tap'
import { eventually } from '../helpers/bus-conformance.ts'
import { gaps } from './harness/checker.ts'
import { pause, type FaultWorld } from './harness/fault-world.ts'
import { GroupTraffic } from './harness/group-traffic.ts'
import { isLong, PATIENCE_MS, row, type Figures } from './harness/row.ts'

const GROUPS = 20
const PER_SECOND = 1_000
const LISTENERS = 32
const TRAFFIC_MS = isLong ? 60_000 : 5_000

const names = (world: FaultWorld, count: number): string[] => Array.from({ length: count }, (_, i) => `k${i}-${world.run}`)
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
  const kafka = new kafkajs.Kafka({ brokers: [world.services.address('KAFKA_BROKERS')], logLevel: kafkajs.logLevel.NOTHING })
  const producer = kafka.producer({ allowAutoTopicCreation: false })
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

async function breakBroker (t: Test, world: FaultWorld, strike: () => Promise<void>, mend: () => Promise<void>): Promise<Figures> {
  const users = names(world, LISTENERS)
  const traffic = new GroupTraffic(world, GROUPS, users)
  await world.connect(t, users, PATIENCE_MS)
  traffic.start(PER_SECOND / 5)
  await pause(2_000)
  await strike()
  await mend()
  const mendedMs = performance.now()
  await eventually(() => heardSince(world, mendedMs).size === LISTENERS, PATIENCE_MS).catch(() => {})
  const heard = heardSince(world, mendedMs)
  const stallMs = Math.round(Math.max(...heard.values()) - mendedMs)
  t.ok(heard.size === LISTENERS && stallMs <= STALL_MS, `everybody hears again after ${stallMs} ms`)
  await pause(TRAFFIC_MS)
  await traffic.stop()
  await eventually(() => missing(world) === 0, PATIENCE_MS).catch(() => {})
  t.equal(missing(world), 0, 'no record is missing')
  return { records: traffic.records, lost: missing(world), stallMs, repeats: repeats(world) }
}

row('K1', '[GW-GRP-1] a broker that is killed costs a pause and no record', SHORT_SESSIONS, (t, world) => breakBroker(t, world, () => world.services.kill('kafka1'), () => world.services.restart('kafka')))

row('K2', '[GW-GRP-1] a broker that is frozen costs a pause and no record', SHORT_SESSIONS, (t, world) => breakBroker(t, world, async () => {
  await world.services.freeze('kafka1')
  await pause(FROZEN_MS)
}, () => world.services.thaw('kafka1')))

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
