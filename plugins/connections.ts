/** Owns the WebSocket server: guard, socket driver and the core of the gateway behind them; decorates `gateway`. */
import { randomInt } from 'node:crypto'
import fp from 'fastify-plugin'
import websocket from '@fastify/websocket'
import proxyAddr from '@fastify/proxy-addr'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Clock } from '../src/ports.ts'
import { RETRY_SPREAD_S } from '../src/errors.ts'
import { SUBPROTOCOL } from '../src/protocol/subprotocol.ts'
import type { Accepted } from '../src/connections/sessions.ts'
import { createCore, type Core, type CoreOptions } from '../src/core.ts'
import { UpgradeGuard } from './lib/upgrade-guard.ts'
import { socketOf, wsSockets } from './lib/ws-driver.ts'

declare module 'fastify' {
  interface FastifyInstance {
    gateway: Core & {
      readonly guard: UpgradeGuard
      /** Makes a connection of an upgraded socket; its listeners are attached before this returns. */
      accept (ws: WebSocket, request: IncomingMessage, accepted: Accepted): void
    }
  }
}

export interface ConnectionsOptions {
  readonly clock: Clock
  readonly core: Omit<CoreOptions, 'driver' | 'clock' | 'meter' | 'logger' | 'tracer' | 'registry' | 'authenticator' | 'im' | 'imPolicy'>
  readonly path: string
  readonly maxMessageBytes: number
  readonly closeTimeoutMs: number
  readonly handshakeTimeoutMs: number
  readonly maxPendingHandshakes: number
  readonly maxPendingHandshakesPerAddress: number
  readonly maxConnectionsPerAddress: number
  /** CIDR blocks of proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[]
}

// Limits of the protocol layer: text frames of a few kilobytes need no more, and a flood of tiny parts costs memory.
export const MAX_FRAGMENTS = 16
const MAX_BUFFERED_CHUNKS = 1024

export default fp<ConnectionsOptions>(async function connections (fastify, options) {
  if (options.maxMessageBytes < 1) throw new RangeError('maxMessageBytes has to be at least 1')
  const { clock } = options
  const trusted = proxyAddr.compile([...options.trustedProxies])
  const guard = new UpgradeGuard({
    clock,
    meter: fastify.meter,
    path: options.path,
    handshakeTimeoutMs: options.handshakeTimeoutMs,
    maxPending: options.maxPendingHandshakes,
    maxPendingPerAddress: options.maxPendingHandshakesPerAddress,
    maxConnectionsPerAddress: options.maxConnectionsPerAddress,
    addressOf: (request) => proxyAddr(request, trusted),
    retryAfterSeconds: () => randomInt(1, RETRY_SPREAD_S + 1)
  })
  const sockets = wsSockets()
  let isClosing = false
  const core = createCore({
    ...options.core,
    driver: sockets.driver,
    clock,
    meter: fastify.meter,
    logger: fastify.log,
    tracer: fastify.tracer,
    registry: fastify.registry,
    authenticator: fastify.authenticator,
    im: fastify.im,
    imPolicy: fastify.imPolicy
  })
  sockets.bind({
    onFrame: (connection, data, isBinary) => { core.inbound.onFrame(connection, data, isBinary) },
    onControl: (connection) => core.inbound.onControl(connection),
    onDrained: (connection) => { core.sessions.onSocketDrained(connection) },
    onClosing: (connection) => { core.outbox.finish(connection) },
    onClosed: (connection, kind) => { core.sessions.onSocketClosed(connection, kind) }
  })
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => { guard.handle(request, socket, head) }

  await fastify.register(websocket, {
    options: {
      server: guard as never, // emits `upgrade` as a server does, which is all that is asked of it
      maxPayload: options.maxMessageBytes,
      maxFragments: MAX_FRAGMENTS,
      maxBufferedChunks: MAX_BUFFERED_CHUNKS,
      closeTimeout: options.closeTimeoutMs,
      clientTracking: false,
      autoPong: false,
      WebSocket: sockets.WebSocket,
      perMessageDeflate: false,
      handleProtocols: (protocols: Set<string>) => protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false
    } as never,
    preClose: (done) => {
      isClosing = true
      fastify.server.removeListener('upgrade', onUpgrade)
      // Whoever is still here was not drained: the app is closed without a shutdown.
      for (const connection of core.hub.all.slice()) core.sessions.close(connection, 'shutdown')
      done()
    }
  })
  // The last moment before the answer is written; it leaves with the welcome, or with the close frame.
  fastify.websocketServer.on('headers', (_headers: string[], { socket }: IncomingMessage) => { socket.cork() })
  fastify.server.on('upgrade', onUpgrade)
  fastify.addHook('onClose', async () => { core.stop() })
  fastify.decorate('gateway', {
    ...core,
    guard,
    accept (ws: WebSocket, request: IncomingMessage, accepted: Accepted) {
      guard.done(request.socket)
      const connection = core.sessions.accept(socketOf(ws), accepted)
      sockets.attach(ws, connection)
      // Its handshake was under way when the others were closed.
      if (isClosing) core.sessions.close(connection, 'shutdown')
    }
  })
  core.start()
}, { name: 'connections', fastify: '5.x', dependencies: ['metrics', 'registry', 'upstream', 'auth'] })
