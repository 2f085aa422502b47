/** One gateway, built and ended the way the production entry does it. */
import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'
import { build } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import { MemoryKv } from '../src/embedded/memory-kv.ts'
import { Lifecycle } from '../src/lifecycle.ts'
import type { Clock } from '../src/ports.ts'
import { serve } from '../src/serve.ts'
import type { GatewayAdapters } from './outside.ts'
import type { Directory } from './services/directory.ts'

/** 0 takes a free one. */
export interface Ports {
  readonly ws: number
  readonly grpc: number
  /** Left out: the node has none. */
  readonly admin?: number | undefined
}

export interface GatewayOptions {
  readonly nodeId: string
  readonly ports: Ports
  /** Addresses, credentials and settings. */
  readonly env: Readonly<Record<string, string>>
  readonly adapters: GatewayAdapters
  readonly directory: Directory
  readonly clock: Clock
  readonly logger: FastifyBaseLogger
}

/** A gateway that serves. */
export interface Gateway {
  readonly nodeId: string
  /** `ws://127.0.0.1:8080/ws`. */
  readonly url: string
  readonly port: number
  /** gRPC, `host:port`. */
  readonly grpc: string
  /** The port for operators. */
  readonly admin: number | undefined
  /** Of a process of its own. */
  readonly pid?: number | undefined
  /** Drains it as a signal would; rejects where that is not done within DRAIN_TIMEOUT. */
  close (): Promise<void>
  /** Ends it as `kill -9` would: nobody is told, and what it registered is left to its leases. */
  kill (): Promise<void>
}

const READY_TIMEOUT_MS = 60_000
const READY_POLL_MS = 50

/** Resolves once it lets clients in; rejects where a port is taken or the node does not get ready in a minute. */
export async function startGateway (options: GatewayOptions): Promise<Gateway> {
  const { nodeId, ports, directory, clock, logger } = options
  const config = loadConfig({
    GRPC_REFLECTION: 'true',
    ...options.env,
    GATEWAY_NODE_ID: nodeId,
    WS_HOST: '127.0.0.1',
    WS_PORT: String(ports.ws),
    GRPC_HOST: '127.0.0.1',
    GRPC_PORT: String(ports.grpc),
    ...adminEnv(ports)
  }, { requireServices: false })
  const lifecycle = new Lifecycle({ clock, logger, drainDelayMs: config.drain.delayMs, drainTimeoutMs: config.drain.timeoutMs })
  let gateway: Gateway | undefined
  await lifecycle.start(async () => {
    const app = await build(config, { ...options.adapters, logger: logger.child({ node: nodeId }) })
    return await serve(app, { host: config.ws.host, port: config.ws.port }, async () => {
      const port = portOf(app)
      await untilReady(`http://127.0.0.1:${port}/readyz`)
      const grpc = await directory.gateway(nodeId)
      if (grpc === undefined) throw new Error(`${nodeId} is not in the registry`)
      gateway = { nodeId, url: `ws://127.0.0.1:${port}/ws`, port, grpc, admin: ports.admin === undefined ? undefined : app.admin.address?.port, close: () => lifecycle.end({ signal: 'SIGTERM' }), kill: () => cutOff(app, options.adapters) }
    })
  })
  if (gateway === undefined) throw new Error('the gateway did not start')
  return gateway
}

/** As near as a node among others of its process comes to a sudden death. */
async function cutOff (app: FastifyInstance, { kv }: GatewayAdapters): Promise<void> {
  if (kv instanceof MemoryKv) kv.cut()
  for (const { socket } of app.gateway.hub.all.slice()) (socket as unknown as WebSocket).terminate()
  await app.close()
}

/** A node lets nobody in before its group consumer has joined: some seconds with Kafka. */
export async function untilReady (url: string): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS
  for (;;) {
    const response = await fetch(url, { signal: AbortSignal.timeout(READY_TIMEOUT_MS) })
    const body = await response.text()
    if (response.ok) return
    if (performance.now() > deadline) throw new Error(`the gateway is not ready: ${body}`)
    await pause(READY_POLL_MS)
  }
}

export function adminEnv ({ admin }: Ports): Record<string, string> {
  return admin === undefined ? {} : { ADMIN_PORT: String(admin) }
}

export function portOf (app: FastifyInstance): number {
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('the server does not listen')
  return address.port
}
