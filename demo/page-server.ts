/**
 * The chat page beside the stand-in services: its files, what it is told live, and the faults that its buttons make.
 * Faults are PUTs: another site's page cannot send those without being asked first, and it is never allowed to.
 */
import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { Clock, Logger } from '../src/ports.ts'
import { EdgeProxy } from './edge-proxy.ts'
import { LiveEvents } from './live-events.ts'
import type { LiveState } from './live-state.ts'
import { Nodes } from './nodes.ts'
import type { Asset } from './page-assets.ts'
import type { World, WorldWatch } from './world.ts'

export interface PageServerOptions {
  readonly assets: ReadonlyMap<string, Asset>
  readonly clock: Clock
  readonly logger: Logger
  readonly restartDelayMs?: number
}

const RESTART_DELAY_MS = 3_000
/** Members that are drawn; of larger groups nothing is told. */
const MAX_MEMBERS = 50
const HEADERS = {
  'content-security-policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store'
}
const NodeFault = { params: Type.Object({ node: Type.String() }), body: Type.Object({ fault: Type.Union([Type.Literal('kill'), Type.Literal('drain')]) }) }
const UserFault = { params: Type.Object({ user: Type.String() }), body: Type.Object({ fault: Type.Union([Type.Literal('cut'), Type.Literal('slow'), Type.Literal('none')]) }) }

export class PageServer {
  /** For the world: pushes that were acknowledged become ticks. */
  readonly watch: WorldWatch
  readonly #options: PageServerOptions
  #parts: { readonly nodes: Nodes, readonly proxy: EdgeProxy, readonly events: LiveEvents } | undefined

  constructor (options: PageServerOptions) {
    this.#options = options
    this.watch = {
      onPush: ({ msgId, senderId, recipientId }, response) => {
        // Copies to the sender's other devices tell the sender nothing.
        if (response?.success === true && recipientId !== senderId) this.#parts?.events.delivered({ msg_id: msgId, sender: senderId, recipient: recipientId })
      }
    }
  }

  /** Puts the page on the world's HTTP side, before that listens. */
  mount (http: FastifyInstance, world: World): void {
    const { assets, clock, logger, restartDelayMs = RESTART_DELAY_MS } = this.#options
    const nodes = new Nodes({ world, restartDelayMs, clock, logger })
    const proxy = new EdgeProxy({ nodes: () => nodes.serving, clock })
    const events = new LiveEvents({ state: () => stateOf(world, nodes, proxy), clock })
    this.#parts = { nodes, proxy, events }
    proxy.attach(http.server)
    http.addHook('preClose', async () => {
      events.close()
      proxy.close()
    })
    http.register(async (scope) => { routes(scope, assets, { nodes, proxy, events }) })
  }

  /** The nodes that the page shows. */
  get nodes (): Nodes {
    if (this.#parts === undefined) throw new Error('the page is not mounted')
    return this.#parts.nodes
  }
}

function routes (scope: FastifyInstance, assets: ReadonlyMap<string, Asset>, { nodes, proxy, events }: { readonly nodes: Nodes, readonly proxy: EdgeProxy, readonly events: LiveEvents }): void {
  const app = scope.withTypeProvider<TypeBoxTypeProvider>()
  app.addHook('onSend', async (_, reply) => { reply.headers(HEADERS) })

  for (const [path, { type, body }] of assets) app.get(path, async (_, reply) => await reply.type(type).send(body))

  app.get('/events', async (_, reply) => {
    if (events.isFull) return await reply.code(503).send({ error: 'too many pages listen' })
    reply.hijack()
    events.add(reply.raw)
    return reply
  })

  app.put('/nodes/:node', { schema: NodeFault }, async (request, reply) => {
    const { params: { node }, body: { fault } } = request
    const isDone = fault === 'kill' ? nodes.kill(node) : nodes.drain(node)
    return isDone ? await reply.code(204).send() : await reply.code(409).send({ error: 'no such node is up' })
  })

  app.put('/people/:user', { schema: UserFault }, async (request, reply) => {
    const { params: { user }, body: { fault } } = request
    if (fault === 'cut') proxy.cut(user)
    else proxy.setSlow(user, fault === 'slow')
    return await reply.code(204).send()
  })
}

function stateOf ({ directory, users }: World, nodes: Nodes, proxy: EdgeProxy): LiveState {
  return {
    nodes: nodes.all.map(({ gateway: { nodeId, port }, state }) => ({ id: nodeId, state, address: `127.0.0.1:${port}` })),
    devices: directory.devices().map(({ userId, deviceId, nodeId }) => ({ user: userId, device: deviceId, node: nodeId })),
    groups: [...users.groups].flatMap(([id, members]) => members.length <= MAX_MEMBERS ? { id, members } : []),
    slow: [...proxy.slowUsers]
  }
}
