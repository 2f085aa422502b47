/** What the stand-in services read from and write to the gateways' registry: where users are, and whose tokens are void. */
import { encodeRevoked, NODES, nodeKey, parseKey, parseNode, parseRoute, revokedKey, userPrefix } from '../../src/registry/records.ts'
import type { KvStore } from '../../src/ports.ts'
import type { Whereabouts } from './delivery.ts'
import type { RegisteredDevice, RegistryView } from './registry-view.ts'

export class Directory {
  readonly #kv: KvStore
  readonly #view: RegistryView

  constructor (kv: KvStore, view: RegistryView) {
    this.#kv = kv
    this.#view = view
  }

  /** undefined: no device is connected. Rejects where the registry does not answer, or names no node that lives. */
  async locate (userId: string): Promise<Whereabouts | undefined> {
    // The view hears of a connection a moment after its client does: nobody is called offline on its word alone.
    const known = this.#view.isLive ? this.#view.devicesOf(userId) : undefined
    const nodeByDevice = known === undefined || known.size === 0 ? await this.#readDevices(userId) : known
    const deviceIds = [...nodeByDevice.keys()].sort()
    if (deviceIds.length === 0) return undefined
    const devicesByNode = new Map<string, number>()
    for (const node of nodeByDevice.values()) devicesByNode.set(node, (devicesByNode.get(node) ?? 0) + 1)
    // The node with the most devices, so that few pushes have to be forwarded; a dead node's routes outlive it for a while.
    for (const [node] of [...devicesByNode].sort(([, a], [, b]) => b - a)) {
      const gateway = await this.gateway(node)
      if (gateway !== undefined) return { gateway, deviceIds }
    }
    throw new Error('no live node holds the devices of the user')
  }

  /** The gRPC address of a node; undefined where it does not live. */
  async gateway (nodeId: string): Promise<string | undefined> {
    const known = this.#view.isLive ? this.#view.addressOf(nodeId) : undefined
    if (known !== undefined) return known
    const { entries } = await this.#kv.range(nodeKey(nodeId))
    return addressIn(entries[0]?.value)
  }

  /** The gRPC address of any live node; undefined where there is none. */
  async anyGateway (): Promise<string | undefined> {
    const { entries } = await this.#kv.range(NODES, { prefix: true, limit: 1 })
    return addressIn(entries[0]?.value)
  }

  /** Which nodes hold devices of the user. */
  async nodesOf (userId: string): Promise<ReadonlySet<string>> {
    const { entries } = await this.#kv.range(userPrefix(userId), { prefix: true })
    return new Set(entries.flatMap(({ value }) => parseRoute(value)?.node ?? []))
  }

  /** All devices that the registry's watch told of; a moment old. */
  devices (): readonly RegisteredDevice[] {
    return this.#view.devices()
  }

  async #readDevices (userId: string): Promise<ReadonlyMap<string, string>> {
    const nodeByDevice = new Map<string, string>()
    const { entries } = await this.#kv.range(userPrefix(userId), { prefix: true })
    for (const { key, value } of entries) {
      const parsed = parseKey(key)
      const node = parseRoute(value)?.node
      if (parsed?.kind === 'user' && node !== undefined) nodeByDevice.set(parsed.deviceId, node)
    }
    return nodeByDevice
  }

  /** Voids tokens issued before a moment, for as long as such a token may live. */
  async announceRevocation (userId: string, deviceId: string | undefined, beforeUnixMs: number, longestTokenMs: number): Promise<void> {
    const leaseId = await this.#kv.grantLease(Math.ceil(longestTokenMs / 1000))
    const put = revokedKey(userId, deviceId)
    const { results } = await this.#kv.batch([{ when: [], then: { put, value: encodeRevoked({ before: beforeUnixMs, at: beforeUnixMs }), leaseId } }])
    if (results[0]?.succeeded !== true) throw new Error('the revocation was not kept')
  }
}

function addressIn (value: string | undefined): string | undefined {
  return value === undefined ? undefined : parseNode(value)?.grpc
}
