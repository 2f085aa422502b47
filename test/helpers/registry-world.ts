/** Nodes that share one store in this process, on one clock that stands still until a test runs it. */
import { MemoryKv } from '../../src/embedded/memory-kv.ts'
import { MemoryStore } from '../../src/embedded/memory-store.ts'
import type { Meter, RegistryListener, SessionRef } from '../../src/ports.ts'
import { ClusterRegistry, type ClusterRegistryOptions } from '../../src/registry/cluster-registry.ts'
import { deviceKey, encodeRoute, parseRoute } from '../../src/registry/records.ts'
import { FakeLogger, FakeMeter } from './fakes.ts'
import { ManualClock } from './manual-clock.ts'

export const TTL_MS = 20_000

export type NodeSettings = Partial<Omit<ClusterRegistryOptions, 'kv' | 'clock' | 'meter' | 'logger'>>

export class TestNode implements RegistryListener {
  readonly kv: MemoryKv
  readonly meter = new FakeMeter()
  readonly logger = new FakeLogger()
  readonly registry: ClusterRegistry
  readonly nodeId: string
  readonly startId: string
  /** Connection ids. */
  readonly replaced: string[] = []
  readonly revocations: unknown[][] = []
  readonly #world: RegistryWorld
  #serial = 0

  constructor (world: RegistryWorld, nodeId: string, settings: NodeSettings) {
    this.#world = world
    this.nodeId = nodeId
    this.startId = settings.startId ?? `start-${nodeId}`
    this.kv = new MemoryKv({ clock: world.clock, store: world.store })
    this.registry = new ClusterRegistry({
      kv: this.kv,
      clock: world.clock,
      meter: this.meter as Meter,
      logger: this.logger,
      nodeId,
      startId: this.startId,
      version: '1.0.0',
      maxDevicesPerUser: 5,
      ttlMs: TTL_MS,
      renewIntervalMs: 5_000,
      admissionTimeoutMs: 1_500,
      registrationTimeoutMs: 5_000,
      cacheTtlMs: 60_000,
      routeCacheEntries: 100,
      random: () => 0.5,
      ...settings
    })
    this.registry.listen(this)
  }

  onReplaced (connectionId: string): void {
    this.replaced.push(connectionId)
  }

  onRevoked (...args: unknown[]): void { this.revocations.push(args) }

  ref (userId: string, deviceId: string, connectionId = `${this.startId}.${(++this.#serial).toString(36)}`): SessionRef {
    return { connectionId, userId, deviceId, openedAtUnixMs: this.#world.clock.unixMs() }
  }

  value (session: SessionRef): string {
    return encodeRoute({ node: this.nodeId, conn: session.connectionId, at: session.openedAtUnixMs })
  }

  /** Admission and put, as an upgrade does them. */
  async connect (userId: string, deviceId: string): Promise<{ readonly outcome: string, readonly session: SessionRef }> {
    const session = this.ref(userId, deviceId)
    const admission = await this.registry.admit(userId, deviceId)
    return { session, outcome: admission.ok ? await this.registry.register(session, admission.revision) : admission.code }
  }
}

export class RegistryWorld {
  readonly clock = new ManualClock()
  readonly store = new MemoryStore({ clock: this.clock })
  /** A client beside those of the nodes: the operator's, or another system's. */
  readonly operator = new MemoryKv({ clock: this.clock, store: this.store })

  node (nodeId: string, settings: NodeSettings = {}): TestNode {
    return new TestNode(this, nodeId, settings)
  }

  async started (nodeId: string, settings: NodeSettings = {}): Promise<TestNode> {
    const node = this.node(nodeId, settings)
    await this.done(node.registry.start(`${nodeId}.example:9093`))
    await this.clock.run(10)
    return node
  }

  /** Runs the clock until the promise has settled. */
  async done<T> (promise: Promise<T>, withinMs = 60_000): Promise<T> {
    const state = { isDone: false }
    const outcome = promise.finally(() => { state.isDone = true })
    outcome.catch(() => {})
    for (let ms = 0; !state.isDone; ms += 2) {
      if (ms > withinMs) throw new Error(`not done after ${withinMs} ms`)
      await this.clock.run(2)
    }
    return await outcome
  }

  /** Connection ids by key, as the store has them. */
  get users (): Record<string, string> {
    const { entries } = this.store.range('/registry/users/', { prefix: true })
    return Object.fromEntries(entries.map(({ key, value }) => [key.slice('/registry/users/'.length), parseRoute(value)?.conn ?? value]))
  }

  async put (key: string, value: string): Promise<void> {
    const leaseId = await this.operator.grantLease(1_000_000)
    await this.operator.batch([{ when: [], then: { put: key, value, leaseId } }])
  }

  async remove (key: string): Promise<void> {
    await this.operator.batch([{ when: [], then: { remove: key } }])
  }

  /** As a node would that is not here. */
  async putRoute (userId: string, deviceId: string, connectionId: string): Promise<void> {
    await this.put(deviceKey(userId, deviceId), encodeRoute({ node: 'elsewhere', conn: connectionId, at: 1 }))
  }
}
