/** What the stand-in services read from and write to the gateways' registry: where users are, and whose tokens are void. */
import type { KvStore } from '../../src/ports.ts'
import type { Whereabouts } from './delivery.ts'

const USERS = '/registry/users/'
const NODES = '/registry/nodes/'
const REVOKED = '/registry/revoked/'

export class Directory {
  readonly #kv: KvStore

  constructor (kv: KvStore) {
    this.#kv = kv
  }

  /** undefined: no device is connected. Rejects where the registry does not answer, or names no node that lives. */
  async locate (userId: string): Promise<Whereabouts | undefined> {
    const prefix = `${USERS}${encodeURIComponent(userId)}/`
    const { entries } = await this.#kv.range(prefix, { prefix: true })
    if (entries.length === 0) return undefined
    const devicesByNode = new Map<string, number>()
    for (const { value } of entries) {
      const { node } = parse(value)
      if (typeof node === 'string') devicesByNode.set(node, (devicesByNode.get(node) ?? 0) + 1)
    }
    // The node with the most devices, so that few pushes have to be forwarded; a dead node's routes outlive it for a while.
    for (const [node] of [...devicesByNode].sort(([, a], [, b]) => b - a)) {
      const gateway = await this.#addressOf(`${NODES}${encodeURIComponent(node)}`)
      if (gateway !== undefined) return { gateway, deviceIds: entries.map(({ key }) => decodeURIComponent(key.slice(prefix.length))) }
    }
    throw new Error('no live node holds the devices of the user')
  }

  /** The gRPC address of a live node; undefined where there is none. */
  async anyGateway (): Promise<string | undefined> {
    const { entries } = await this.#kv.range(NODES, { prefix: true, limit: 1 })
    return addressIn(entries[0]?.value)
  }

  /** Voids tokens issued before a moment for as long as such a token may live. */
  async announceRevocation (userId: string, deviceId: string | undefined, beforeUnixMs: number, longestTokenMs: number): Promise<void> {
    const leaseId = await this.#kv.grantLease(Math.ceil(longestTokenMs / 1000))
    // `*` is no device id, so it cannot be mistaken for one.
    const key = `${REVOKED}${encodeURIComponent(userId)}/${deviceId === undefined ? '*' : encodeURIComponent(deviceId)}`
    const value = JSON.stringify({ before: beforeUnixMs, at: beforeUnixMs })
    const { results } = await this.#kv.batch([{ when: [], then: { put: key, value, leaseId } }])
    if (results[0]?.succeeded !== true) throw new Error('the revocation was not kept')
  }

  async #addressOf (key: string): Promise<string | undefined> {
    const { entries } = await this.#kv.range(key)
    return addressIn(entries[0]?.value)
  }
}

function addressIn (value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  const { grpc } = parse(value)
  return typeof grpc === 'string' ? grpc : undefined
}

function parse (value: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(value)
    return typeof parsed === 'object' && parsed !== null ? parsed as Record<string, unknown> : {}
  } catch {
    return {}
  }
}
