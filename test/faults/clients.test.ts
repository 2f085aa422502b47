/** What clients do to each other and to themselves. */
import { setTimeout as pause } from 'node:timers/promises'
import { performance } from 'node:perf_hooks'
import { residentBytes } from '../../bench/lib/machine.ts'
import { DemoClient } from '../../demo/client.ts'
import type { PushMessageRequest } from '../../src/generated/gateway/v1/gateway.ts'
import { USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'
import type { FaultWorld } from './harness/fault-world.ts'
import { GroupTraffic } from './harness/group-traffic.ts'
import { quantileMs } from './harness/knock.ts'
import { ManualClient } from './harness/manual-client.ts'
import { MIB } from './harness/process-figures.ts'
import { RegistryTruth, type Live } from './harness/registry-truth.ts'
import { isLong, PATIENCE_MS, row, TTL_MS } from './harness/row.ts'

const ROUNDS = isLong ? 1_000 : 400
/** Rounds of different users run side by side. */
const LANES = 4
const USERS_A_LANE = 6
const DEVICES = ['phone', 'tablet', 'web']
const KILL_EACH = 150
/** A lease, or what a node takes to notice that a client has vanished. */
const ORPHAN_MS = TTL_MS + 2_000
const TAKEOVER_MS = 1_000
const PUSH_DEADLINE_MS = 5_000
/** Share of the sockets that may vanish without a word, and when the node hears of it at the latest. */
const VANISHING = 0.3
const NOTICED_MS = isLong ? 90_000 : 4_000

interface Socket { readonly client: DemoClient, readonly live: Live, readonly hole: TcpProxy | undefined }
interface Device { readonly userId: string, readonly deviceId: string, sockets: Socket[] }

/** Rounds of connect, move, cut, vanish and kill. */
class Rounds {
  readonly counts = { connects: 0, moves: 0, cuts: 0, vanishes: 0, closes: 0, kills: 0, pushes: 0, neither: 0, both: 0, bothLate: 0 }
  readonly #world: FaultWorld
  readonly #truth: RegistryTruth
  readonly #random: () => number
  readonly #teardown: (end: () => void) => void
  /** Of each kill; what was under way then proves nothing. */
  readonly #kills: number[] = []
  #restarting: Promise<unknown> = Promise.resolve()
  #gate: Promise<void> = Promise.resolve()
  #rounds = 0
  #pushes = 0

  /** `teardown`: what is to be done at the end of the test. */
  constructor (world: FaultWorld, truth: RegistryTruth, teardown: (end: () => void) => void) {
    this.#world = world
    this.#truth = truth
    this.#teardown = teardown
    this.#random = world.random
  }

  /** One lane: its users are touched by nobody else. */
  async lane (lane: number, rounds: number): Promise<void> {
    const devices: Device[] = []
    for (let user = 0; user < USERS_A_LANE; user++) {
      const userId = `l${lane}u${user}-${this.#world.run}`
      this.#world.world.users.addUser(userId)
      for (const deviceId of DEVICES) devices.push({ userId, deviceId, sockets: [] })
    }
    for (let round = 1; round <= rounds; round++) {
      await this.#gate
      if (++this.#rounds % KILL_EACH === 0) {
        // Whoever goes on before all are up would leave too few of them to kill.
        this.#gate = this.#kill()
        await this.#gate
      }
      const device = this.#pick(devices)
      const step = this.#step(device)
      if (this.#random() < 0.6) await Promise.all([step, this.#push(devices.filter(({ userId }) => userId === device.userId), device)])
      else await step
    }
    for (const { sockets } of devices) for (const socket of sockets) await this.#close(socket)
  }

  /** Resolves when all nodes are up again. */
  async ended (): Promise<void> {
    await this.#restarting
  }

  async #step (device: Device): Promise<void> {
    device.sockets = device.sockets.filter(({ live }) => live.endedAtMs === undefined)
    const current = device.sockets.at(-1)
    const roll = this.#random()
    if (current === undefined) {
      this.counts.connects++
      await this.#connect(device)
    } else if (roll < 0.6) {
      this.counts.moves++
      await this.#connect(device)
    } else if (roll < 0.85) {
      this.#truth.ended(current.live)
      this.#lose(current)
      if (this.#random() < 0.5) await this.#connect(device)
    } else {
      this.counts.closes++
      await this.#close(current)
    }
  }

  /** The node sees the end at once, or much later. */
  #lose ({ client, hole }: Socket): void {
    if (hole === undefined) {
      this.counts.cuts++
    } else {
      this.counts.vanishes++
      hole.freeze()
      setTimeout(() => { hole.close() }, this.#random() * NOTICED_MS).unref()
    }
    client.terminate()
  }

  async #connect (device: Device): Promise<void> {
    const { userId, deviceId } = device
    const node = this.#pick(this.#world.nodes)
    const kills = this.#kills.length
    const isVanishing = this.#random() < VANISHING
    try {
      const hole = isVanishing ? await TcpProxy.to(`127.0.0.1:${node.port}`) : undefined
      this.#teardown(() => { hole?.close() })
      const client = await DemoClient.connect({ url: hole === undefined ? node.url : `ws://${hole.address}/ws`, token: this.#world.world.auth.mint(userId, deviceId).accessToken })
      const live = this.#truth.opened(userId, deviceId, String(client.welcome['connection_id']), node.nodeId)
      device.sockets.push({ client, live, hole })
      void client.closed(PATIENCE_MS * 10).then(() => { this.#truth.ended(live) }, () => {})
      if (!client.isOpen || !this.#world.nodes.includes(node)) this.#truth.ended(live)
    } catch (error) {
      if (this.#kills.length === kills) throw error
    }
  }

  async #close ({ client, live }: Socket): Promise<void> {
    this.#truth.ended(live)
    await client.close()
  }

  async #push (devices: readonly Device[], touched: Device): Promise<void> {
    const msgId = `p${this.#pushes++}`
    const kills = this.#kills.length
    const connected = devices.flatMap((device) => {
      const newest = device.sockets.at(-1)
      return newest === undefined || newest.live.endedAtMs !== undefined ? [] : [{ device, newest }]
    })
    if (connected.length === 0) return
    this.counts.pushes++
    const request: PushMessageRequest = {
      msgId, recipientId: touched.userId, deviceId: '', senderId: 'ledger', content: 'hi', messageType: 'text', sequenceNumber: 1n, timestamp: BigInt(Date.now()), conversationId: '', metadata: {}, excludeDeviceId: '', scope: 0
    }
    const isAnswered = await this.#pushByAny(request)
    if (this.#kills.length !== kills) return
    if (!isAnswered) throw new Error(`no node took ${msgId}`)
    for (const { device, newest } of connected) {
      const got = device.sockets.filter(({ client }) => client.count(msgId) > 0)
      // Cut or closed meanwhile: nobody is there to receive. Moved: one of the two is, at any moment.
      const wasThere = newest.live.endedAtMs === undefined || device.sockets.some(({ live }) => live.sinceMs > newest.live.sinceMs && live.endedAtMs === undefined && newest.live.endedAtMs !== undefined && live.sinceMs <= newest.live.endedAtMs)
      if (got.length === 0 && wasThere) this.counts.neither++
      if (got.length > 1) {
        this.counts.both++
        const [, newer] = got as [Socket, Socket]
        if (performance.now() - newer.live.sinceMs > TAKEOVER_MS) this.counts.bothLate++
      }
    }
  }

  /** As an IM Service would: by another node where its own channel to the first one is not back. */
  async #pushByAny (request: PushMessageRequest): Promise<boolean> {
    const first = Math.floor(this.#random() * this.#world.nodes.length)
    for (const node of [...this.#world.nodes.slice(first), ...this.#world.nodes.slice(0, first)]) {
      const answered = await this.#world.world.gatewayClient.pushMessage(node.grpc, request, PUSH_DEADLINE_MS).then(() => true, () => false)
      if (answered) return true
    }
    return false
  }

  /** Once all are up one goes at once; it comes back under its name and addresses. */
  async #kill (): Promise<void> {
    await this.ended()
    const victim = this.#pick(this.#world.nodes)
    this.counts.kills++
    this.#kills.push(performance.now())
    this.#truth.nodeEnds(victim.nodeId)
    await this.#world.kill(victim)
    // A welcome that had been written by then may have been read since.
    this.#truth.nodeEnds(victim.nodeId)
    this.#restarting = this.#world.startNode(victim.nodeId, {}, { ws: victim.port, grpc: Number(victim.grpc.split(':').at(-1)) })
    this.#restarting.catch(() => {})
  }

  #pick<T> (list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)] as T
  }
}

row('C5', '[GW-CON-6] the registry is true: no live key is missing, no key outlives its socket, no socket its key', { settings: { ACK_TIMEOUT: '1s' } }, async (t, world) => {
  const truth = new RegistryTruth(world.outside.kv, world.ledger, ORPHAN_MS)
  const rounds = new Rounds(world, truth, (end) => { t.teardown(end) })
  truth.start()
  await Promise.all(Array.from({ length: LANES }, (_, lane) => rounds.lane(lane, ROUNDS / LANES)))
  await rounds.ended()
  await eventually(async () => (await world.outside.kv.range(USERS, { prefix: true })).entries.length === 0, ORPHAN_MS)
  await truth.stop()
  const { faults, ...findings } = truth.findings
  t.match(truth.findings, { missing: 0, orphans: 0, faults: [] })
  t.ok(findings.longestForeignMs <= TAKEOVER_MS, `no socket outlives its key by more than a second: ${findings.longestForeignMs} ms`)
  t.match(rounds.counts, { neither: 0, bothLate: 0 })
  t.ok(rounds.counts.kills === Math.floor(ROUNDS / KILL_EACH) && rounds.counts.moves > ROUNDS / 4 && rounds.counts.vanishes > 0)
  return { ...findings, ...rounds.counts }
})

const ACK_TIMEOUT_MS = 5_000
/** How late a time-out may be told; in CI the machine is shared. */
const ACK_TIMEOUT_SLACK_MS = isLong ? 100 : 300

row('C3', '[GW-ACK-2] an acknowledgement that is lost, late, repeated, foreign or of nothing has the effect that it should', { nodes: ['node-a'] }, async (t, world) => {
  const [node] = world.nodes
  if (node === undefined) throw new Error('no node')
  const nameOf = (name: string): string => `${name}-${world.run}`
  const connect = (name: string): Promise<ManualClient> => ManualClient.connect(t, world, nameOf(name), node.url, PATIENCE_MS)
  const [, late, twice, victim, stranger] = [await connect('lost'), await connect('late'), await connect('twice'), await connect('robbed'), await connect('stranger')] as const
  const kinds = ['late', 'repeated', 'foreign', 'unknown']
  const counted = (): Promise<number[]> => Promise.all(kinds.map((kind) => world.count('acks_ignored_total', `kind="${kind}"`)))
  const before = await counted()
  const [lost, tooLate, acked, robbed] = await Promise.all([
    world.push(node, nameOf('lost'), 'p-lost'),
    world.push(node, nameOf('late'), 'p-late'),
    (async () => {
      const push = world.push(node, nameOf('twice'), 'p-twice')
      await twice.received('p-twice', PATIENCE_MS)
      twice.acknowledge('p-twice')
      twice.acknowledge('p-twice')
      return await push
    })(),
    (async () => {
      const push = world.push(node, nameOf('robbed'), 'p-robbed')
      await victim.received('p-robbed', PATIENCE_MS)
      stranger.acknowledge('p-robbed')
      stranger.acknowledge('p-none')
      return await push
    })()
  ])
  late.acknowledge('p-late')
  const since = async (): Promise<number[]> => (await counted()).map((count, i) => count - (before[i] ?? 0))
  await eventually(async () => (await since()).every((count) => count > 0), PATIENCE_MS).catch(() => {})
  t.match([lost, tooLate, acked, robbed], [{ outcome: 'ACK_TIMEOUT' }, { outcome: 'ACK_TIMEOUT' }, { outcome: 'ACKED' }, { outcome: 'ACK_TIMEOUT' }])
  t.strictSame(await since(), [1, 1, 1, 1], kinds.join(', '))
  for (const { tookMs } of [lost, tooLate, robbed]) t.ok(Math.abs(tookMs - ACK_TIMEOUT_MS) <= ACK_TIMEOUT_SLACK_MS, `told after ${tookMs} ms`)
  return { lostMs: lost.tookMs, lateMs: tooLate.tookMs, ackedMs: acked.tookMs, foreignMs: robbed.tookMs }
})

row('C4', '[GW-ACK-3] a message that is pushed again while it waits is written once, and both callers are answered', { nodes: ['node-a'] }, async (t, world) => {
  const [node] = world.nodes
  if (node === undefined) throw new Error('no node')
  const user = `twice-${world.run}`
  const client = await ManualClient.connect(t, world, user, node.url, PATIENCE_MS)
  const pushes = [world.push(node, user, 'p-same'), world.push(node, user, 'p-same')]
  await client.received('p-same', PATIENCE_MS)
  // Both wait by now, however slow the machine.
  await eventually(async () => await world.count('pending_pushes') === 2, PATIENCE_MS)
  client.acknowledge('p-same')
  const outcomes = (await Promise.all(pushes)).map(({ outcome }) => outcome)
  t.strictSame(outcomes, ['ACKED', 'ACKED'])
  t.strictSame(client.messages, ['p-same'], 'it came once')
  return { callers: pushes.length, frames: client.messages.length }
})

const HALF_OPEN = 20
const [BEAT_MS, SILENT_MS] = isLong ? [30_000, 90_000] : [2_000, 8_000]
/** The heartbeat's clock ticks each second; in CI the machine is shared. */
const SWEEP_MS = isLong ? 1_100 : 2_000
const OUTBOX_BYTES = MIB

row('C1', '[GW-CON-8] half-open clients: pushes to them end in time, they are closed at the heartbeat timeout and their keys go with them', { nodes: ['node-a'], settings: { HEARTBEAT_INTERVAL: `${BEAT_MS}ms`, HEARTBEAT_TIMEOUT: `${SILENT_MS}ms`, OUTBOX_BYTES: String(OUTBOX_BYTES) } }, async (t, world) => {
  const [node] = world.nodes
  if (node === undefined) throw new Error('no node')
  const hole = await TcpProxy.to(`127.0.0.1:${node.port}`)
  t.teardown(() => { hole.close() })
  const namesOf = (name: string): string[] => Array.from({ length: HALF_OPEN }, (_, i) => `${name}${i}-${world.run}`)
  const [half, whole] = [namesOf('half'), namesOf('whole')]
  const traffic = new GroupTraffic(world, 1, [...half, ...whole])
  const lost = await Promise.all(half.map((user) => ManualClient.connect(t, world, user, `ws://${hole.address}/ws`, PATIENCE_MS)))
  const neighbours = await world.connect(t, whole, PATIENCE_MS)
  traffic.start(50)
  await pause(1_000)
  const closed = (): Promise<number> => world.count('connections_closed_total', 'reason="heartbeat_timeout"')
  hole.freeze()
  const frozenMs = performance.now()
  for (const client of lost) client.vanished()
  const pushes = Promise.all(half.map((user) => world.push(node, user, `p-${user}`)))
  let bufferedBytes = 0
  await eventually(async () => {
    bufferedBytes = Math.max(bufferedBytes, await world.count('outbox_bytes'))
    return await closed() === HALF_OPEN
  }, PATIENCE_MS)
  const closedMs = Math.round(performance.now() - frozenMs)
  await eventually(async () => (await world.outside.kv.range(USERS, { prefix: true })).entries.length === whole.length, PATIENCE_MS)
  const unregisteredMs = Math.round(performance.now() - frozenMs)
  const answers = await pushes
  t.strictSame(answers.filter(({ outcome }) => outcome !== 'ACK_TIMEOUT'), [], 'each push ends in ACK_TIMEOUT')
  const pushMs = quantileMs(answers, 1)
  t.ok(pushMs <= ACK_TIMEOUT_MS + 2 * ACK_TIMEOUT_SLACK_MS, `after ${pushMs} ms at the latest`)
  t.ok(unregisteredMs <= SILENT_MS + SWEEP_MS, `closed after ${closedMs} ms, unregistered after ${unregisteredMs} ms`)
  t.ok(bufferedBytes <= HALF_OPEN * OUTBOX_BYTES, `${bufferedBytes} bytes waited at most`)
  await traffic.stop()
  const closes = neighbours.filter(({ sessions, state }) => sessions !== 1 || state !== 'open').length
  t.equal(closes, 0, 'nobody else was closed')
  return { halfOpen: HALF_OPEN, pushMs, closedMs, unregisteredMs, bufferedBytes, closes }
})

const SLOW = 20
const READERS = 5
const [CONTENT_BYTES, CONTENTS_A_SECOND] = [8_192, 100]
const SLOW_BYTES = 10 * MIB
/** As long as the slow ones are looked at, and until garbage has had its most. */
const MEASURED_MS = 15_000
/** Of the p99 of those who read: a tenth, and what a shared machine adds. */
const SLOWER = 1.1
const NOISE_MS = isLong ? 5 : 50

row('C2', '[GW-OUT-1] clients that do not read are closed as slow; they cost no more memory than their outboxes hold, and others nothing', { nodes: ['node-a'], settings: { OUTBOX_BYTES: String(OUTBOX_BYTES) } }, async (t, world) => {
  const [node] = world.nodes
  if (node?.pid === undefined) throw new Error('the row needs a node that is a process')
  const { pid } = node
  const namesOf = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}-${world.run}`)
  const [slow, reading] = [namesOf('slow', SLOW), namesOf('reads', READERS)]
  // They are in the same groups: whoever is closed in the middle of a message takes nothing from the others.
  const traffic = new GroupTraffic(world, 4, [...slow, ...reading], 'x'.repeat(CONTENT_BYTES))
  const sleepers = await Promise.all(slow.map((user) => ManualClient.connect(t, world, user, node.url, PATIENCE_MS)))
  const neighbours = await world.connect(t, reading, PATIENCE_MS)
  let pushes = 0
  const outcomes = new Set<string>()
  /** Pushes to the neighbours until that is true: their p99, and the most memory that the node had meanwhile. */
  const measure = async (isOver: () => Promise<boolean> | boolean): Promise<{ readonly p99Ms: number, readonly bytes: number }> => {
    const answers: Array<{ readonly tookMs: number }> = []
    let bytes = 0
    do {
      for (const untilMs = performance.now() + 250; performance.now() < untilMs;) {
        const answer = await world.push(node, reading[pushes % READERS] as string, `p${pushes++}`)
        outcomes.add(answer.outcome)
        answers.push(answer)
      }
      bytes = Math.max(bytes, residentBytes(pid))
    } while (!await isOver())
    return { p99Ms: quantileMs(answers, 0.99), bytes }
  }
  traffic.start(CONTENTS_A_SECOND)
  const firstMs = performance.now()
  const before = await measure(() => performance.now() > firstMs + MEASURED_MS)
  const recordsBefore = traffic.records
  for (const client of sleepers) {
    client.pause()
    client.vanished()
  }
  const pausedMs = performance.now()
  const closed = (): Promise<number> => world.count('connections_closed_total', 'reason="slow_consumer"')
  let closedMs = 0
  const during = await measure(async () => {
    if (closedMs === 0 && await closed() === SLOW) closedMs = Math.round(performance.now() - pausedMs)
    if (performance.now() > pausedMs + PATIENCE_MS) throw new Error(`${await closed()} of ${SLOW} slow readers were closed`)
    return closedMs > 0 && (traffic.records - recordsBefore) * CONTENT_BYTES >= SLOW_BYTES
  })
  await traffic.stop()
  t.strictSame(outcomes, new Set(['ACKED']), 'each push to a neighbour is acknowledged')
  const grownBytes = during.bytes - before.bytes
  t.ok(grownBytes <= SLOW * OUTBOX_BYTES, `${grownBytes} bytes more`)
  t.ok(during.p99Ms <= before.p99Ms * SLOWER + NOISE_MS, `the p99 was ${before.p99Ms} ms, and ${during.p99Ms} ms`)
  const closes = neighbours.filter(({ sessions, state }) => sessions !== 1 || state !== 'open').length
  t.equal(closes, 0, 'nobody else was closed')
  return { slow: SLOW, closedMs, grownMiB: Math.round(grownBytes / MIB), pushes, p99BeforeMs: before.p99Ms, p99Ms: during.p99Ms, closes }
})
