/** The nodes, as the watch tells them; an address that it does not know is asked of etcd once. */
import type { Room } from '../ports.ts'
import type { Batcher } from './batcher.ts'
import { readNode } from './reads.ts'
import { parseNode, type NodeRecord } from './records.ts'

export interface NodeDirectoryOptions {
  readonly nodeId: string
  readonly batcher: Batcher
  /** How long etcd's answer is waited for, in milliseconds. */
  readonly timeoutMs: number
  /** A node that was not there, or another process than before. */
  readonly onStarted: (address: string) => void
}

export class NodeDirectory {
  readonly #options: NodeDirectoryOptions
  #nodes = new Map<string, NodeRecord>()
  #snapshot: Map<string, NodeRecord> | undefined
  #live = false
  /** Reads under way, which later callers share. */
  readonly #reads = new Map<string, Promise<string | undefined>>()

  constructor (options: NodeDirectoryOptions) {
    this.#options = options
  }

  /** undefined: there is no such node. Rejects with SERVICE_UNAVAILABLE where nothing is known and etcd does not answer. */
  async address (nodeId: string): Promise<string | undefined> {
    const known = this.#nodes.get(nodeId)?.grpc
    if (known !== undefined && this.#live) return known
    try {
      let read = this.#reads.get(nodeId)
      if (read === undefined) this.#reads.set(nodeId, read = this.#read(nodeId).finally(() => { this.#reads.delete(nodeId) }))
      return await read
    } catch (error) {
      if (known === undefined) throw error
      return known
    }
  }

  /** The gRPC addresses of the nodes beside this one, as far as the watch has told them. */
  get others (): ReadonlyMap<string, string> {
    const others = new Map<string, string>()
    for (const [nodeId, { grpc }] of this.#nodes) if (nodeId !== this.#options.nodeId) others.set(nodeId, grpc)
    return others
  }

  /** What the nodes beside this one take, and how many of them take nobody. */
  get room (): Room {
    let [connectsPerSecond, draining] = [0, 0]
    for (const [nodeId, { connects_per_s: connects }] of this.#nodes) {
      if (nodeId === this.#options.nodeId) continue
      connectsPerSecond += connects
      if (connects === 0) draining++
    }
    return { connectsPerSecond, draining }
  }

  async #read (nodeId: string): Promise<string | undefined> {
    const { batcher, timeoutMs } = this.#options
    const { entries: [entry] } = await readNode(batcher, nodeId, timeoutMs)
    return entry && parseNode(entry.value)?.grpc
  }

  onLive (live: boolean): void {
    this.#live = live
  }

  onPut (nodeId: string, record: NodeRecord): void {
    const before = this.#nodes.get(nodeId)
    this.#nodes.set(nodeId, record)
    if (before?.start !== record.start) this.#options.onStarted(record.grpc)
  }

  onDelete (nodeId: string): void {
    this.#nodes.delete(nodeId)
  }

  onSnapshotStart (): void {
    this.#snapshot = new Map()
  }

  onSnapshotEntry (nodeId: string, record: NodeRecord): void {
    this.#snapshot?.set(nodeId, record)
  }

  onSnapshotEnd (): void {
    const before = this.#nodes
    this.#nodes = this.#snapshot ?? before
    this.#snapshot = undefined
    for (const [nodeId, { grpc, start }] of this.#nodes) if (before.get(nodeId)?.start !== start) this.#options.onStarted(grpc)
  }
}
