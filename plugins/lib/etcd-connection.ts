/**
 * The client of etcd, and its replacement. One endpoint is used at a time: at a failure the next one takes over, so that a
 * dead member costs one call and not every n-th. A client without an answer for 15 s is built anew: its channels may hang
 * on something that took the connection and never spoke (measured: for longer than a minute after the fault was over).
 */
import { InterceptingCall, type Interceptor } from '@grpc/grpc-js'
import { noop } from 'cockatiel'
import { Etcd3, type IOptions } from 'etcd3'
import type { Clock, Health } from '../../src/ports.ts'

/** PEM texts; an empty object is TLS with the system's certificates. */
export interface EtcdTls { readonly ca?: string | undefined, readonly cert?: string | undefined, readonly key?: string | undefined }

export interface EtcdConnectionOptions {
  /** `http://host:port` or `https://host:port`, all of one kind. */
  readonly endpoints: readonly string[]
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly tls?: EtcdTls | undefined
  /** Deadline of a call, in milliseconds. */
  readonly timeoutMs: number
  readonly clock: Clock
  readonly health: Health
}

const REBUILD_AFTER_MS = 15_000
const MIN_SWITCH_INTERVAL_MS = 500
/** etcd answers pings that come more often than every 5 s with GOAWAY. */
const KEEPALIVE_TIME_MS = 10_000
const KEEPALIVE_TIMEOUT_MS = 3_000
/** Some hundred thousand events of a watch, which take the loop half a second. A page of the registry is far below it. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024

export class EtcdConnection {
  readonly #options: EtcdConnectionOptions
  #client: Etcd3
  #endpoint = 0
  #openedMs: number
  #answeredMs: number
  #closed = false

  constructor (options: EtcdConnectionOptions) {
    if (options.endpoints.length === 0) throw new RangeError('etcd needs at least one endpoint')
    this.#options = options
    this.#openedMs = this.#answeredMs = options.clock.monotonicMs()
    this.#client = this.#open()
  }

  get client (): Etcd3 { return this.#client }
  get closed (): boolean { return this.#closed }

  /** etcd has answered. */
  answered (): void {
    this.#answeredMs = this.#options.clock.monotonicMs()
    this.#options.health.up('etcd')
  }

  /** A call of this client was not answered, or its watch broke. */
  failed (client: Etcd3, error: unknown): void {
    if (this.#closed || client !== this.#client) return
    this.#options.health.down('etcd', error instanceof Error ? error.message : String(error))
    const { clock, endpoints } = this.#options
    const nowMs = clock.monotonicMs()
    const mayMove = endpoints.length > 1 && nowMs - this.#openedMs >= MIN_SWITCH_INTERVAL_MS
    const isStuck = nowMs - Math.max(this.#openedMs, this.#answeredMs) >= REBUILD_AFTER_MS
    if (!mayMove && !isStuck) return
    this.#endpoint = (this.#endpoint + 1) % endpoints.length
    this.#openedMs = nowMs
    const earlier = this.#client
    this.#client = this.#open()
    earlier.close()
  }

  close (): void {
    this.#closed = true
    this.#client.close()
  }

  #open (): Etcd3 {
    const { endpoints, username, password, tls, timeoutMs } = this.#options
    const options: IOptions = {
      hosts: endpoints[this.#endpoint] ?? [],
      // A transaction is not repeated by anybody but the registry, which knows what may be; breakers would outlast the fault.
      faultHandling: { global: noop, host: () => noop },
      // grpc-js counts deadlines by the wall clock.
      defaultCallOptions: ({ isStream, service }) => isStream && service === 'Watch' ? { interceptors: [requireLeader] } : { deadline: Date.now() + timeoutMs },
      grpcOptions: {
        'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
        'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 1_000,
        'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
        'grpc.use_local_subchannel_pool': 1,
        'grpc.enable_channelz': 0
      },
      ...(username !== undefined && password !== undefined && { auth: { username, password } }),
      ...(tls !== undefined && { credentials: credentialsOf(tls) })
    }
    return new Etcd3(options)
  }
}

/** The library's type asks for a root certificate; without one grpc-js trusts those of the system. */
function credentialsOf ({ ca, cert, key }: EtcdTls): NonNullable<IOptions['credentials']> {
  return {
    ...(ca !== undefined && { rootCertificate: Buffer.from(ca) }),
    ...(key !== undefined && { privateKey: Buffer.from(key) }),
    ...(cert !== undefined && { certChain: Buffer.from(cert) })
  } as NonNullable<IOptions['credentials']>
}

/** A member that has lost the others ends its watches, instead of keeping them silent. */
const requireLeader: Interceptor = (options, nextCall) => new InterceptingCall(nextCall(options), {
  start (metadata, listener, next) {
    const own = metadata.clone()
    own.set('hasleader', 'true')
    next(own, listener)
  }
})
