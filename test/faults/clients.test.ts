/** The registry beside the truth: a thousand rounds of connect, move, cut and kill on three processes and real etcd. */
import { performance } from 'node:perf_hooks'
import t from 'tap'
import { DemoClient } from '../../demo/client.ts'
import type { Gateway } from '../../demo/gateway.ts'
import type { PushMessageRequest } from '../../src/generated/gateway/v1/gateway.ts'
import { USERS } from '../../src/registry/records.ts'
import { eventually } from '../helpers/bus-conformance.ts'
import { Ledger, type Live } from '../helpers/ledger.ts'
import { PATIENCE_MS, REGISTRY_TTL_MS, startNodes, type Nodes } from '../helpers/node-processes.ts'

t.setTimeout(290_000)

const ROUNDS = 1_000
/** Rounds of different users run side by side. */
const LANES = 4
const USERS_A_LANE = 6
const DEVICES = ['phone', 'tablet', 'web']
const KILL_EACH = 150
const ORPHAN_MS = REGISTRY_TTL_MS + 2_000
const TAKEOVER_MS = 1_000
const PUSH_DEADLINE_MS = 5_000

interface Socket { readonly client: DemoClient, readonly live: Live }
interface Device { readonly userId: string, readonly deviceId: string, sockets: Socket[] }

/** Numbers of a seed, 0 up to 1: the minimal standard generator (Park and Miller 1988). */
function seeded (seed: number): () => number {
  let state = seed % 2_147_483_646 + 1
  return () => {
    state = state * 48_271 % 2_147_483_647
    return (state - 1) / 2_147_483_646
  }
}

class Rounds {
  readonly counts = { connects: 0, moves: 0, cuts: 0, closes: 0, kills: 0, pushes: 0, neither: 0, both: 0, bothLate: 0 }
  readonly #nodes: Nodes
  readonly #ledger: Ledger
  readonly #random: () => number
  /** Of each kill; what was under way then proves nothing. */
  readonly #kills: number[] = []
  #restarting: Promise<void> = Promise.resolve()
  #gate: Promise<void> = Promise.resolve()
  #rounds = 0
  #pushes = 0

  constructor (nodes: Nodes, ledger: Ledger, random: () => number) {
    this.#nodes = nodes
    this.#ledger = ledger
    this.#random = random
  }

  /** One lane: its users are touched by nobody else. */
  async lane (lane: number, rounds: number): Promise<void> {
    const devices: Device[] = []
    for (let user = 0; user < USERS_A_LANE; user++) {
      const userId = `l${lane}u${user}-${this.#nodes.run}`
      this.#nodes.world.users.addUser(userId)
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
      this.counts.cuts++
      this.#ledger.ended(current.live)
      current.client.terminate()
      if (this.#random() < 0.5) await this.#connect(device)
    } else {
      this.counts.closes++
      await this.#close(current)
    }
  }

  async #connect (device: Device): Promise<void> {
    const { userId, deviceId } = device
    const node = this.#pick(this.#nodes.nodes)
    const kills = this.#kills.length
    try {
      const client = await DemoClient.connect({ url: node.url, token: this.#nodes.world.auth.mint(userId, deviceId).accessToken })
      const live = this.#ledger.opened(userId, deviceId, String(client.welcome['connection_id']), node.nodeId)
      device.sockets.push({ client, live })
      void client.closed(PATIENCE_MS * 10).then(() => { this.#ledger.ended(live) }, () => {})
      if (!client.isOpen || !this.#nodes.nodes.includes(node)) this.#ledger.ended(live)
    } catch (error) {
      if (this.#kills.length === kills) throw error
    }
  }

  async #close ({ client, live }: Socket): Promise<void> {
    this.#ledger.ended(live)
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
    const first = Math.floor(this.#random() * this.#nodes.nodes.length)
    for (const node of [...this.#nodes.nodes.slice(first), ...this.#nodes.nodes.slice(0, first)]) {
      const answered = await this.#nodes.world.gatewayClient.pushMessage(node.grpc, request, PUSH_DEADLINE_MS).then(() => true, () => false)
      if (answered) return true
    }
    return false
  }

  /** Once all are up one goes at once; it comes back under its name and addresses. */
  async #kill (): Promise<void> {
    const { nodes, world } = this.#nodes
    await this.ended()
    const victim = this.#pick(nodes)
    this.counts.kills++
    this.#kills.push(performance.now())
    nodes.splice(nodes.indexOf(victim), 1)
    this.#ledger.nodeEnds(victim.nodeId)
    await world.kill(victim)
    // A welcome that had been written by then may have been read since.
    this.#ledger.nodeEnds(victim.nodeId)
    this.#restarting = world.startGateway(victim.nodeId, { ws: victim.port, grpc: Number(victim.grpc.split(':').at(-1)) }).then((node: Gateway) => { nodes.push(node) })
    this.#restarting.catch(() => {})
  }

  #pick<T> (list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)] as T
  }
}

t.test('[GW-CON-6] the registry is true: no live key is missing, no key outlives its socket, no socket its key', async (t) => {
  const seed = Number(process.env['FC_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`FC_SEED=${seed}`)
  const nodes = await startNodes(t, ['node-a', 'node-b', 'node-c'])
  const ledger = new Ledger(nodes.outside.kv, ORPHAN_MS)
  const rounds = new Rounds(nodes, ledger, seeded(seed))
  ledger.start()
  const started = performance.now()
  await Promise.all(Array.from({ length: LANES }, (_, lane) => rounds.lane(lane, ROUNDS / LANES)))
  const tookMs = Math.round(performance.now() - started)
  await rounds.ended()
  await eventually(async () => (await nodes.outside.kv.range(USERS, { prefix: true })).entries.length === 0, ORPHAN_MS)
  await ledger.stop()
  t.comment(JSON.stringify({ ...ledger.findings, ...rounds.counts, tookMs }))
  t.match(ledger.findings, { missing: 0, orphans: 0, faults: [] })
  t.ok(ledger.findings.longestForeignMs <= TAKEOVER_MS, `no socket outlives its key by more than a second: ${ledger.findings.longestForeignMs} ms`)
  t.match(rounds.counts, { neither: 0, bothLate: 0 })
  t.ok(rounds.counts.kills === Math.floor(ROUNDS / KILL_EACH) && rounds.counts.moves > ROUNDS / 4)
})
