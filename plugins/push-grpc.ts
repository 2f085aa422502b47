/** Serves gateway.v1.GatewayService to the IM Service and to the other nodes: pushes, receipts, presence, disconnects, explanations. */
import fp from 'fastify-plugin'
import type { Clock, Logger, Meter } from '../src/ports.ts'
import { isLoopback } from '../src/config/addresses.ts'
import type { Presence } from '../src/delivery/presence.ts'
import type { Push } from '../src/delivery/push.ts'
import type { Explainer } from '../src/explain/explainer.ts'
import { GatewayServiceDefinition } from '../src/generated/gateway/v1/gateway.ts'
import { areChecked, callerCheck, serverCredentials, type GrpcCredentials } from './lib/grpc-credentials.ts'
import { GrpcGuard } from './lib/grpc-guard.ts'
import { logGrpcTo } from './lib/grpc-log.ts'
import { GrpcServer } from './lib/grpc-server.ts'
import { PushHandlers, pushService } from './lib/push-handlers.ts'

declare module 'fastify' {
  interface FastifyInstance {
    pushServer: {
      /** The port that is listened on. */
      readonly port: number
      /** What gRPC health says. It says true from ready to close by itself. */
      setServing (isServing: boolean): void
    }
  }
}

export interface PushGrpcOptions extends GrpcCredentials {
  readonly host: string
  readonly port: number
  readonly reflection: boolean
  readonly maxConnectionAgeMs: number
  /** What calls under way have to end in when the server closes. */
  readonly closeGraceMs?: number
  /** Whether the callers' trace context is looked for. */
  readonly isTraced?: boolean
  readonly push: Pick<Push, 'deliver' | 'deliverReceipt'>
  readonly presence: Pick<Presence, 'presence' | 'disconnect'>
  readonly explainer: Pick<Explainer, 'explain'>
  readonly clock: Clock
  readonly meter: Meter
  readonly logger: Logger
}

const CLOSE_GRACE_MS = 5_000
/** After its stream's age: for the last answers. */
const LAST_ANSWERS_MS = 30_000

export default fp<PushGrpcOptions>(async function pushGrpc (fastify, options) {
  const { maxConnectionAgeMs, meter } = options
  if (!areChecked(options) && !isLoopback(options.host)) throw new RangeError('a host that is not loopback needs authToken or tls.ca')
  if (options.tls?.ca !== undefined && options.tls.allowedSans.length === 0) throw new RangeError('tls.ca needs allowedSans')

  logGrpcTo(options.logger)
  const { fullName } = GatewayServiceDefinition
  const maxStreamAgeMs = maxConnectionAgeMs / 2
  const handlers = new PushHandlers({ ...options, maxStreamAgeMs })
  const guard = new GrpcGuard({ isAllowed: callerCheck(options), meter, ownPrefix: `/${fullName}/` })
  const server = new GrpcServer({
    ...options,
    credentials: serverCredentials(options),
    interceptors: [guard.interceptor],
    service: pushService,
    implementation: handlers.implementation,
    serviceName: fullName,
    reflect: options.reflection ? 'gateway/v1/gateway.proto' : undefined,
    maxConnectionAgeGraceMs: maxStreamAgeMs + LAST_ANSWERS_MS
  })
  const port = await server.listen()
  fastify.decorate('pushServer', { port, setServing: (isServing: boolean) => { server.setServing(isServing) } })

  fastify.addHook('onReady', async () => {
    guard.isOpen = true
    server.setServing(true)
  })
  fastify.addHook('onClose', async () => {
    server.setServing(false)
    guard.isOpen = false
    guard.endOthers()
    handlers.finishStreams()
    await server.close(options.closeGraceMs ?? CLOSE_GRACE_MS, () => { guard.endAll() })
  })
}, { name: 'push-grpc', fastify: '5.x' })
