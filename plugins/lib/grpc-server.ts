/** A gRPC server with our limits, health and, where wanted, reflection. */
import { Server, type ServerCredentials, type ServerInterceptor, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js'
import { HealthImplementation } from 'grpc-health-check'
import type { Clock } from '../../src/ports.ts'
import { formatHostPort } from '../../src/config/addresses.ts'
import { settledWithin } from '../../src/wait.ts'
import { reflectionOf } from './grpc-reflection.ts'

export interface GrpcServerOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  readonly credentials: ServerCredentials
  readonly interceptors: ServerInterceptor[]
  readonly service: ServiceDefinition
  readonly implementation: UntypedServiceImplementation
  /** Full name of the service, for health. */
  readonly serviceName: string
  /** The proto file, below `proto/`, that reflection tells of; undefined: no reflection. */
  readonly reflect: string | undefined
  readonly maxConnectionAgeMs: number
  /** What streams have to end in, once their connection has reached its age. */
  readonly maxConnectionAgeGraceMs: number
  readonly clock: Clock
}

export const MAX_STREAM_MESSAGE_BYTES = 1_048_576
export const MAX_CONCURRENT_STREAMS = 1_000
const KEEPALIVE_TIME_MS = 30_000
const KEEPALIVE_TIMEOUT_MS = 10_000
/** For the statuses of calls that were ended, and the closing of their connections. */
const LAST_STATUS_MS = 500

export class GrpcServer {
  readonly #options: GrpcServerOptions
  readonly #server: Server
  readonly #health: HealthImplementation

  constructor (options: GrpcServerOptions) {
    this.#options = options
    this.#server = new Server({
      'grpc.max_receive_message_length': MAX_STREAM_MESSAGE_BYTES,
      'grpc.max_concurrent_streams': MAX_CONCURRENT_STREAMS,
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.max_connection_age_ms': options.maxConnectionAgeMs,
      'grpc.max_connection_age_grace_ms': options.maxConnectionAgeGraceMs,
      // Its tables grow without bound (grpc-node #1941, #1958).
      'grpc.enable_channelz': 0,
      interceptors: options.interceptors
    })
    this.#server.addService(options.service, options.implementation)
    this.#health = new HealthImplementation({ '': 'NOT_SERVING', [options.serviceName]: 'NOT_SERVING' })
    this.#health.addToServer(this.#server)
    if (options.reflect !== undefined) reflectionOf(options.reflect).addToServer(this.#server)
  }

  /** Resolves to the port. Rejects where it cannot be bound. */
  listen (): Promise<number> {
    const { host, port, credentials } = this.#options
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(formatHostPort(host, port), credentials, (error, bound) => {
        if (error === null) resolve(bound)
        else reject(error)
      })
    })
  }

  /** What health says. */
  setServing (isServing: boolean): void {
    for (const name of ['', this.#options.serviceName]) this.#health.setStatus(name, isServing ? 'SERVING' : 'NOT_SERVING')
  }

  /** No new connection or call; resolves when all calls have ended. Those that last longer than `graceMs` are ended by `end`. */
  async close (graceMs: number, end: () => void): Promise<void> {
    const { clock } = this.#options
    const ended = new Promise<void>((resolve) => { this.#server.tryShutdown(() => { resolve() }) })
    if (!await settledWithin(ended, graceMs, clock)) {
      end()
      await settledWithin(ended, LAST_STATUS_MS, clock)
    }
    this.#server.forceShutdown()
  }
}
