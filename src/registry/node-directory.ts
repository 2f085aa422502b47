/** The addresses of the nodes, as the watch tells them; what it does not know is asked of etcd once. */
import type { Batcher } from './batcher.ts'
import { nodeKey, parseNode } from './records.ts'

export interface NodeDirectoryOptions {
  readonly batcher: Batcher
  /** How long etcd's answer is waited for, in milliseconds. */
  readonly timeoutMs: number
}

export class NodeDirectory {
  readonly #options: NodeDirectoryOptions
  #nodes = new Map<string, string>()
  #snapshot: Map<string, string> | undefined
  #live = false
  /** Reads under way, which later callers share. */
  readonly #reads = new Map<string, Promise<string | undefined>>()

  constructor (options: NodeDirectoryOptions) {
    this.#options = options
  }

  /** undefined: there is no such node. Rejects with SERVICE_UNAVAILABLE where nothing is known and etcd does not answer. */
  async address (nodeId: string): Promise<string | undefined> {
    const known = this.#nodes.get(nodeId)
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

  async #read (nodeId: string): Promise<string | undefined> {
    const { batcher, timeoutMs } = this.#options
    const key = nodeKey(nodeId)
    const { entries: [entry] } = await batcher.submit({ lane: key, operation: { when: [], then: undefined, otherwise: { read: key } }, timeoutMs })
    return entry && parseNode(entry.value)?.grpc
  }

  onLive (live: boolean): void {
    this.#live = live
  }

  onPut (nodeId: string, address: string): void {
    this.#nodes.set(nodeId, address)
  }

  onDelete (nodeId: string): void {
    this.#nodes.delete(nodeId)
  }

  onSnapshotStart (): void {
    this.#snapshot = new Map()
  }

  onSnapshotEntry (nodeId: string, address: string): void {
    this.#snapshot?.set(nodeId, address)
  }

  onSnapshotEnd (): void {
    this.#nodes = this.#snapshot ?? this.#nodes
    this.#snapshot = undefined
  }
}
