/**
 * Between the page's clients and the nodes, as a load balancer is: each connection goes to the node that has the fewest.
 * What it carries it can cut and slow, user by user, so that faults of a network are seen as a client sees them.
 */
import type { IncomingMessage, Server } from 'node:http'
import { connect } from 'node:net'
import { pipeline, Transform, type Duplex } from 'node:stream'
import type { Clock } from '../src/ports.ts'
import type { Gateway } from './gateway.ts'

export interface EdgeProxyOptions {
  /** The nodes that take clients now. */
  readonly nodes: () => ReadonlyArray<Pick<Gateway, 'nodeId' | 'port'>>
  readonly clock: Clock
}

interface Way { readonly userId: string, readonly nodeId: string, readonly client: Duplex }

/** A slow client is given one piece of what the node writes in this time. */
export const SLOW_PIECE_MS = 800
const PATH = /^\/ws\/([^/?]+)$/
const LOOPBACK = '127.0.0.1'

export class EdgeProxy {
  readonly #options: EdgeProxyOptions
  readonly #ways = new Set<Way>()
  readonly #slow = new Set<string>()

  constructor (options: EdgeProxyOptions) {
    this.#options = options
  }

  /** From now on the server's upgrades of `/ws/{user}` are carried to a node; all others are refused. */
  attach (server: Server): void {
    server.on('upgrade', (request, client, head) => { this.#carry(request, client, head) })
  }

  get slowUsers (): ReadonlySet<string> { return this.#slow }

  /** Without a word to either side. Returns how many connections that were. */
  cut (userId: string): number {
    const ways = [...this.#ways].filter((way) => way.userId === userId)
    for (const { client } of ways) client.destroy()
    return ways.length
  }

  /** From the next piece on. */
  setSlow (userId: string, isSlow: boolean): void {
    if (isSlow) this.#slow.add(userId)
    else this.#slow.delete(userId)
  }

  close (): void {
    for (const { client } of this.#ways) client.destroy()
  }

  #carry (request: IncomingMessage, client: Duplex, head: Buffer): void {
    client.on('error', ignore)
    const userId = userOf(request.url ?? '')
    const target = this.#emptiest()
    if (userId === undefined || target === undefined) {
      client.end(`HTTP/1.1 ${userId === undefined ? '404 Not Found' : '503 Service Unavailable'}\r\nConnection: close\r\n\r\n`)
      return
    }
    const way: Way = { userId, nodeId: target.nodeId, client }
    this.#ways.add(way)
    client.on('close', () => { this.#ways.delete(way) })
    const node = connect(target.port, LOOPBACK)
    node.on('error', ignore)
    node.write(requestTo('/ws', request), 'latin1')
    node.write(head)
    pipeline(client, node, ignore)
    pipeline(node, this.#pace(userId), client, ignore)
  }

  #emptiest (): Pick<Gateway, 'nodeId' | 'port'> | undefined {
    const load = new Map<string, number>()
    for (const { nodeId } of this.#ways) load.set(nodeId, (load.get(nodeId) ?? 0) + 1)
    return [...this.#options.nodes()].sort((a, b) => (load.get(a.nodeId) ?? 0) - (load.get(b.nodeId) ?? 0))[0]
  }

  /** Holds little itself: what a slow client is not given stays with the node. */
  #pace (userId: string): Transform {
    return new Transform({
      transform: (piece: Buffer, _, done) => {
        if (this.#slow.has(userId)) this.#options.clock.setTimer(() => { done(null, piece) }, SLOW_PIECE_MS)
        else done(null, piece)
      }
    })
  }
}

/** The streams' ends are told by their closing. */
function ignore (): void {}

function userOf (url: string): string | undefined {
  try {
    const user = PATH.exec(url)?.[1]
    return user === undefined ? undefined : decodeURIComponent(user)
  } catch {
    return undefined
  }
}

/** The request as it came, but for the path: the node compares Host and Origin. */
function requestTo (path: string, { rawHeaders }: IncomingMessage): string {
  const lines = [`GET ${path} HTTP/1.1`]
  for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i] ?? ''}: ${rawHeaders[i + 1] ?? ''}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}
