/**
 * Gateways as processes on real etcd, Redis and Kafka, stand-in services that can be slowed and cut off, and a ledger of
 * what all of them did.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { ImClient } from '../../../client/src/index.ts'
import type { Gateway } from '../../../demo/gateway.ts'
import { Outcome, Scope } from '../../../src/generated/gateway/v1/gateway.ts'
import { parseKey, parseRoute, USERS } from '../../../src/registry/records.ts'
import { eventually } from '../../helpers/bus-conformance.ts'
import { startNodes, type Nodes, type NodesOptions } from '../../helpers/node-processes.ts'
import { Population } from '../../helpers/population.ts'
import { TcpProxy } from '../../helpers/tcp-proxy.ts'
import { BOUNDS } from './checker.ts'
import { inspect, type Command } from './inspect.ts'
import { Ledger } from './ledger.ts'
import { openFiles } from './process-figures.ts'
import { recordedOutside, recordedSocket, type BeforeAnswer } from './recorders.ts'
import { seededRandom } from '../../../rehearse/random.ts'

/** What can be cut off from the gateways. */
export type Line = 'etcd' | 'auth' | 'im' | 'user'

export interface FaultWorldOptions extends Pick<NodesOptions, 'kafkaProperties'> {
  readonly name: string
  readonly seed: number
  readonly nodes?: readonly string[]
  readonly ttlMs: number
  readonly tokenTtlMs?: number
  /** Whether `inspect` can look into the nodes. */
  readonly inspected?: boolean
  /** Of all nodes. */
  readonly settings?: Readonly<Record<string, string>>
  /** Lines that go through a proxy. */
  readonly lines?: readonly Line[]
}

/** ACK_TIMEOUT and what a gateway takes off a caller's deadline. */
const PUSH_DEADLINE_MS = 6_000
const SECOND_SIGNAL_MS = 100
const SNAPSHOT_MS = 1_000
const INSPECTED = { NODE_OPTIONS: '--inspect=127.0.0.1:0' }
const INSPECTOR = /^Debugger listening on (ws:\S+)/
/** By when a node without clients has nothing under way. */
const QUIET_MS = 10_000
const ADDRESSES = { auth: 'AUTH_SERVICE_ADDR', im: 'IM_SERVICE_ADDR', user: 'USER_SERVICE_ADDR' } as const
/** What a process that ends by itself says at last: pino's `fatal`, or Node's own words. */
const FAILURE = /"level":60|^(?:Uncaught|node:internal)|UnhandledPromiseRejection|FATAL ERROR/
const OUTCOMES = new Map<number, string>(Object.entries(Outcome).map(([name, value]) => [Number(value), name.replace('OUTCOME_', '')]))
/** Gauges that are 0 where nothing is under way. */
const WAITING = /^im_gateway_(?:connections|pending_pushes|sends_in_flight|outbox_bytes|pending_handshakes|registry_repairs|waiting_group_records) (\d+)$/gm

export class FaultWorld {
  readonly ledger: Ledger
  readonly seed: number
  readonly random: () => number
  readonly lines: ReadonlyMap<Line, TcpProxy>
  /** Set by a row: what the IM Service does between keeping a message and its answer. */
  beforeAnswer: BeforeAnswer | undefined
  readonly #all: Nodes
  readonly #settings: Readonly<Record<string, string>>
  readonly #expected: Map<string, string>
  /** Open files of each process when it had started. */
  readonly #firstFiles = new Map<number, number>()
  readonly #clients: Array<{ close (): void }> = []
  /** Of the nodes' inspectors, by node. */
  readonly #inspectors: ReadonlyMap<string, string>
  #isWatching = true
  #watching: Promise<void> = Promise.resolve()

  private constructor (all: Nodes, ledger: Ledger, seed: number, lines: ReadonlyMap<Line, TcpProxy>, settings: Readonly<Record<string, string>>, expected: Map<string, string>, inspectors: ReadonlyMap<string, string>) {
    this.#all = all
    this.ledger = ledger
    this.seed = seed
    this.random = seededRandom(seed)
    this.lines = lines
    this.#settings = settings
    this.#expected = expected
    this.#inspectors = inspectors
  }

  /** Ends with the test. */
  static async start (t: Test, { name, seed, nodes = ['node-a', 'node-b', 'node-c'], ttlMs, tokenTtlMs, inspected = false, settings = {}, lines = [], ...ofServices }: FaultWorldOptions): Promise<FaultWorld> {
    const ledger = new Ledger(name)
    const proxies = new Map<Line, TcpProxy>()
    const expected = new Map<string, string>()
    const inspectors = new Map<string, string>()
    /** The world comes after what it is made of. */
    const later: { world?: FaultWorld } = {}
    t.teardown(() => { for (const proxy of proxies.values()) proxy.close() })
    const all = await startNodes(t, [], {
      ...ofServices,
      ttlMs,
      ...(tokenTtlMs !== undefined && { tokenTtlMs }),
      settings: { ...(inspected && INSPECTED), ...settings },
      throughProxy: async (address) => {
        if (!lines.includes('etcd')) return address
        proxies.set('etcd', await TcpProxy.to(address))
        return proxies.get('etcd')?.address ?? ''
      },
      around: (outside) => recordedOutside(outside, ledger, () => later.world?.beforeAnswer),
      watch: {
        onLine: (node, line) => {
          const inspector = INSPECTOR.exec(line)?.[1]
          if (inspector !== undefined) inspectors.set(node, inspector)
          if (FAILURE.test(line)) ledger.say({ kind: 'failure', node, line })
        },
        onEnd: (node, how) => { ledger.say({ kind: 'exited', node, how, expected: expected.get(node) ?? '0' }) },
        onPush: ({ recipientId, msgId }, response, startedMs) => {
          const devices = response?.devices.map(({ deviceId, outcome }) => ({ device: deviceId, outcome: OUTCOMES.get(outcome) ?? 'UNSPECIFIED' }))
          ledger.say({ kind: 'pushed', user: recipientId, msgId, startedMs, devices })
        }
      }
    })
    const own: Record<string, string> = {}
    for (const line of lines) {
      if (line === 'etcd') continue
      proxies.set(line, await TcpProxy.to(all.world.gatewayEnv[ADDRESSES[line]] ?? ''))
      own[ADDRESSES[line]] = proxies.get(line)?.address ?? ''
    }
    const world = later.world = new FaultWorld(all, ledger, seed, proxies, own, expected, inspectors)
    for (const node of nodes) await world.startNode(node)
    world.#watching = world.#watch()
    t.teardown(() => world.stopWatching())
    return world
  }

  get nodes (): Gateway[] { return this.#all.nodes }
  get services () { return this.#all.services }
  get world () { return this.#all.world }
  get outside () { return this.#all.outside }
  get run (): string { return this.#all.run }
  /** The row has ended, or failed. */
  get isOver (): boolean { return !this.#isWatching }

  line (name: Line): TcpProxy {
    const proxy = this.lines.get(name)
    if (proxy === undefined) throw new Error(`${name} does not go through a proxy`)
    return proxy
  }

  async startNode (nodeId: string, settings: Readonly<Record<string, string>> = {}, ports = { ws: 0, grpc: 0 }): Promise<Gateway> {
    this.#expected.set(nodeId, '0')
    const gateway = await this.world.startGateway(nodeId, ports, { ...this.#settings, ...settings })
    this.nodes.push(gateway)
    await this.#sample(gateway)
    return gateway
  }

  /** `kill -9`. */
  async kill (gateway: Gateway): Promise<void> {
    this.nodes.splice(this.nodes.indexOf(gateway), 1)
    this.#expected.set(gateway.nodeId, 'SIGKILL')
    await this.world.kill(gateway)
  }

  /** SIGTERM; rejects where it does not end with 0. */
  async stop (gateway: Gateway): Promise<void> {
    this.nodes.splice(this.nodes.indexOf(gateway), 1)
    await this.world.stop(gateway)
  }

  /** SIGTERM, and once more while it drains; resolves to the milliseconds from the second to its end. */
  async stopTwice (gateway: Gateway): Promise<number> {
    const { nodeId, pid } = gateway
    if (pid === undefined) throw new Error(`${nodeId} is no process of its own`)
    this.nodes.splice(this.nodes.indexOf(gateway), 1)
    this.#expected.set(nodeId, '1')
    process.kill(pid, 'SIGTERM')
    await pause(SECOND_SIGNAL_MS)
    const startedMs = performance.now()
    // That it does not end with 0 is as it should be, and in the ledger.
    await this.world.stop(gateway).catch(() => {})
    return Math.round(performance.now() - startedMs)
  }

  /** Looks into the process of a node, which has to be `inspected`. */
  async inspect<T> ({ nodeId }: Gateway, look: (command: Command) => Promise<T>): Promise<T> {
    return await inspect(this.#inspectors.get(nodeId) ?? '', look)
  }

  /** People who write to a friend and to their group; connected when it resolves. `urls`: of where they connect; default: all nodes. */
  async populate (t: Test, sizes: { readonly people: number, readonly groups: number, readonly groupSize: number }, patienceMs: number, urls?: () => readonly string[]): Promise<Population> {
    const { world, outside, run, nodes, ledger, random } = this
    const population = new Population({ world, outside, run, random, ...sizes, urls: urls ?? (() => nodes.map(({ url }) => url)), socket: (user, device) => recordedSocket(ledger, user, device), onGroup: (group, members) => { ledger.say({ kind: 'group', group, members }) } })
    this.closeAtEnd(t, population)
    await population.open(patienceMs)
    return population
  }

  /** Clients of these users, one device each, connected to `url` or by turns to all nodes when it resolves; they end with the test. */
  async connect (t: Test, users: readonly string[], patienceMs: number, url?: string): Promise<ImClient[]> {
    const { world, nodes, ledger, random } = this
    const clients = users.map((user, i) => new ImClient({
      url: () => url ?? nodes[i % nodes.length]?.url ?? '',
      token: () => world.auth.mint(user, 'phone').accessToken,
      WebSocket: recordedSocket(ledger, user, 'phone'),
      random
    }))
    for (const client of clients) {
      this.closeAtEnd(t, client)
      client.start()
    }
    await eventually(() => clients.every(({ state }) => state === 'open'), patienceMs)
    return clients
  }

  /** Before the nodes end, and with the test where it fails. */
  closeAtEnd (t: Test, client: { close (): void }): void {
    this.#clients.push(client)
    t.teardown(() => { client.close() })
  }

  /** A push as the IM Service would make it, at one node: the outcome of the user's one device, and how long it took. */
  async push (gateway: Gateway, user: string, msgId: string): Promise<{ readonly outcome: string, readonly tookMs: number }> {
    const startedMs = performance.now()
    const request = { msgId, recipientId: user, deviceId: '', senderId: 'faults', content: 'hi', messageType: 'text', sequenceNumber: 1n, timestamp: BigInt(Date.now()), conversationId: '', metadata: {}, excludeDeviceId: '', scope: Scope.CLUSTER }
    const { devices } = await this.world.push(gateway.grpc, request, PUSH_DEADLINE_MS)
    if (devices.length !== 1) throw new Error(`${user} has ${devices.length} devices`)
    return { outcome: OUTCOMES.get(devices[0]?.outcome ?? 0) ?? '', tookMs: Math.round(performance.now() - startedMs) }
  }

  /** Between the two the registry may be wrong; `during` ends when the fault does. */
  async strike (during: () => Promise<void>): Promise<void> {
    this.ledger.say({ kind: 'struck' })
    await during()
    this.ledger.say({ kind: 'healed' })
  }

  /** All clients leave; what each process holds then is told, and how it ends. */
  async end (): Promise<void> {
    for (const client of this.#clients) client.close()
    await eventually(async () => (await Promise.all(this.nodes.map((node) => this.#isQuiet(node)))).every(Boolean), QUIET_MS).catch(() => {})
    for (const node of this.nodes) await this.#sample(node)
    // How they end is in the ledger.
    await Promise.allSettled(this.nodes.slice().map((node) => this.stop(node)))
  }

  async #sample (node: Gateway): Promise<void> {
    const { nodeId, pid } = node
    if (pid === undefined) throw new Error(`${nodeId} is no process of its own`)
    const fds = openFiles(pid)
    if (!this.#firstFiles.has(pid)) this.#firstFiles.set(pid, fds)
    this.ledger.say({ kind: 'sample', node: nodeId, pid, fds, waiting: await this.#waiting(node) })
  }

  /** A socket is closed a moment after its connection is gone. */
  async #isQuiet (node: Gateway): Promise<boolean> {
    const { pid = 0 } = node
    return await this.#waiting(node) === 0 && openFiles(pid) <= (this.#firstFiles.get(pid) ?? 0) + BOUNDS.fds
  }

  async #waiting ({ port }: Gateway): Promise<number> {
    return [...(await this.metrics(port)).matchAll(WAITING)].reduce((sum, [, value]) => sum + Number(value), 0)
  }

  async metrics (port: number): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  }

  /** The sum of a metric's series on all nodes; `labels`: what they have to contain, as exposed. */
  async count (name: string, ...labels: string[]): Promise<number> {
    return (await Promise.all(this.nodes.map((node) => this.countOn(node, name, ...labels)))).reduce((sum, count) => sum + count, 0)
  }

  /** The same of one node. */
  async countOn ({ port }: Gateway, name: string, ...labels: string[]): Promise<number> {
    let sum = 0
    for (const line of (await this.metrics(port)).split('\n')) {
      if (line.startsWith(`im_gateway_${name}`) && labels.every((label) => line.includes(label))) sum += Number(line.slice(line.lastIndexOf(' ')))
    }
    return sum
  }

  /** A last snapshot, and no more. */
  async stopWatching (): Promise<void> {
    if (!this.#isWatching) return
    this.#isWatching = false
    await this.#watching
    await this.snapshot()
  }

  async #watch (): Promise<void> {
    while (this.#isWatching) {
      await this.snapshot()
      await pause(SNAPSHOT_MS)
    }
  }

  /** What etcd holds goes into the ledger; nothing where it does not answer. */
  async snapshot (): Promise<void> {
    try {
      const atMs = performance.now()
      const { entries } = await this.outside.kv.range(USERS, { prefix: true })
      const routes: Record<string, string> = {}
      for (const { key, value } of entries) {
        const parsed = parseKey(key)
        if (parsed?.kind === 'user') routes[`${parsed.userId} ${parsed.deviceId}`] = parseRoute(value)?.conn ?? ''
      }
      this.ledger.say({ kind: 'registry', routes, atMs })
    } catch {
      // It is what the fault took away.
    }
  }
}
