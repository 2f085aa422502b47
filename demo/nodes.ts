/** The nodes of a demo that stays up: each can be killed or drained, and starts again by itself, as under an orchestrator. */
import type { Clock, Logger, Timer } from '../src/ports.ts'
import type { Gateway } from './gateway.ts'
import type { NodeState } from './live-state.ts'
import type { World } from './world.ts'

export interface NodesOptions {
  readonly world: Pick<World, 'startGateway' | 'kill' | 'stop'>
  /** How long a node that has ended stays away. */
  readonly restartDelayMs: number
  readonly clock: Clock
  readonly logger: Logger
}

interface Node {
  gateway: Gateway
  state: NodeState
  timer: Timer | undefined
}

export class Nodes {
  readonly #options: NodesOptions
  readonly #nodes = new Map<string, Node>()
  /** Ends and starts that are under way. */
  readonly #work = new Set<Promise<void>>()
  #isClosed = false

  constructor (options: NodesOptions) {
    this.#options = options
  }

  add (gateway: Gateway): void {
    this.#nodes.set(gateway.nodeId, { gateway, state: 'up', timer: undefined })
  }

  get all (): ReadonlyArray<{ readonly gateway: Gateway, readonly state: NodeState }> {
    return [...this.#nodes.values()]
  }

  /** Those that take clients. */
  get serving (): readonly Gateway[] {
    return this.all.flatMap(({ gateway, state }) => state === 'up' ? gateway : [])
  }

  /** As `kill -9` would; false where no such node is up. */
  kill (nodeId: string): boolean {
    return this.#end(nodeId, 'down', (gateway) => this.#options.world.kill(gateway))
  }

  /** As SIGTERM would; false where no such node is up. */
  drain (nodeId: string): boolean {
    return this.#end(nodeId, 'draining', (gateway) => this.#options.world.stop(gateway))
  }

  /** No node starts again; never rejects. */
  async close (): Promise<void> {
    this.#isClosed = true
    for (const { timer } of this.#nodes.values()) if (timer !== undefined) this.#options.clock.clearTimer(timer)
    await Promise.all(this.#work)
  }

  #end (nodeId: string, state: NodeState, end: (gateway: Gateway) => Promise<void>): boolean {
    const node = this.#nodes.get(nodeId)
    if (node?.state !== 'up' || this.#isClosed) return false
    node.state = state
    this.#run(node, 'a node did not end as it should', () => end(node.gateway), () => { this.#startLater(node) })
    return true
  }

  #startLater (node: Node): void {
    const { clock, restartDelayMs } = this.#options
    node.state = 'down'
    if (!this.#isClosed) node.timer = clock.setTimer(() => { this.#start(node) }, restartDelayMs)
  }

  #start (node: Node): void {
    const { nodeId, port, grpc, admin } = node.gateway
    node.state = 'starting'
    this.#run(node, 'a node did not start', async () => {
      node.gateway = await this.#options.world.startGateway(nodeId, { ws: port, grpc: Number(grpc.slice(grpc.lastIndexOf(':') + 1)), admin })
      node.state = 'up'
    }, () => { if (node.state !== 'up') this.#startLater(node) })
  }

  #run ({ gateway }: Node, fault: string, work: () => Promise<void>, after: () => void): void {
    const done = work()
      .catch((error: unknown) => { this.#options.logger.warn({ err: error, node: gateway.nodeId }, fault) })
      .finally(() => {
        this.#work.delete(done)
        after()
      })
    this.#work.add(done)
  }
}
