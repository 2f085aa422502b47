/**
 * Several channels to one service, each with connections of its own. Kept connected, watched, and replaced when they
 * degrade: a channel may fall into answering every call with a reset (grpc-node #3040) and does not come back by itself.
 */
import { Client, connectivityState, credentials, Metadata, status, type ChannelCredentials, type ChannelOptions, type MethodDefinition, type StatusObject } from '@grpc/grpc-js'
import { GatewayError } from '../../src/errors.ts'
import type { Clock } from '../../src/ports.ts'
import { grpcError } from './grpc-errors.ts'

/** PEM texts. Without `key` and `cert` the client shows no certificate of its own. */
export interface ClientTlsOptions { readonly ca?: string | undefined, readonly cert?: string | undefined, readonly key?: string | undefined }

export interface ChannelPoolOptions {
  /** `host:port`, taken as a DNS name whose addresses share the calls, or a gRPC target with its scheme. */
  readonly address: string
  readonly channels?: number
  readonly tls?: ClientTlsOptions | undefined
  /** A ping after this long without traffic while calls are out; the server has to allow it (Go: `MinTime`). */
  readonly keepaliveTimeMs?: number
  readonly keepaliveTimeoutMs?: number
  /** Calls in a row that end UNAVAILABLE or INTERNAL before the channel is replaced; not more often than every 10 s. */
  readonly replaceAfterFailures?: number
  readonly clock: Clock
  /** Told when the first channel connects and when the last one has lost its connection. */
  readonly onState?: (isUp: boolean, detail: string) => void
}

const CHANNELS = 2
const KEEPALIVE_TIME_MS = 5_000
const KEEPALIVE_TIMEOUT_MS = 2_000
const REPLACE_AFTER_FAILURES = 20
const REPLACE_PAUSE_MS = 10_000
const MAX_RECONNECT_BACKOFF_MS = 1_000
const FIRST_RECONNECT_BACKOFF_MS = 100
const NO_METADATA = new Metadata()

/** One channel of a pool. */
export interface PooledChannel {
  readonly client: Client
  readonly openedAtMs: number
  failuresInRow: number
}

export class ChannelPool {
  readonly #options: ChannelPoolOptions
  readonly #credentials: ChannelCredentials
  readonly #channels: PooledChannel[]
  /** Replaced channels whose last calls may still be out. */
  readonly #retired = new Set<Client>()
  #turn = 0
  #isUp: boolean | undefined
  #isClosed = false

  constructor (options: ChannelPoolOptions) {
    const { tls, channels = CHANNELS } = options
    this.#options = options
    this.#credentials = tls === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert))
    this.#channels = Array.from({ length: channels }, () => this.#open())
  }

  /** The channel whose turn it is. Throws SERVICE_UNAVAILABLE once the pool is closed. */
  next (): PooledChannel {
    if (this.#isClosed) throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'the channels are closed' })
    this.#turn = (this.#turn + 1) % this.#channels.length
    return this.#channels[this.#turn] as PooledChannel
  }

  /** One call on the channel whose turn it is. Rejects with a GatewayError by `grpcError`. */
  async unary<Req, Res> (method: MethodDefinition<Req, Res>, request: Req, deadlineMs: number, metadata: Metadata = NO_METADATA): Promise<Res> {
    const channel = this.next()
    return await new Promise((resolve, reject) => {
      // grpc-js counts deadlines by the wall clock, so this one is not injected.
      const options = { deadline: Date.now() + deadlineMs }
      channel.client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, metadata, options, (error, response) => {
        this.ended(channel, error?.code ?? status.OK)
        if (error !== null) reject(grpcError(error))
        else resolve(response as Res)
      })
    })
  }

  /** To be told of each call or stream that ended on a channel. */
  ended (channel: PooledChannel, code: StatusObject['code']): void {
    const { clock, replaceAfterFailures = REPLACE_AFTER_FAILURES } = this.#options
    if (code !== status.UNAVAILABLE && code !== status.INTERNAL) {
      channel.failuresInRow = 0
      return
    }
    channel.failuresInRow++
    const at = this.#channels.indexOf(channel)
    if (at === -1 || this.#isClosed || channel.failuresInRow < replaceAfterFailures || clock.monotonicMs() - channel.openedAtMs < REPLACE_PAUSE_MS) return
    this.#channels[at] = this.#open()
    this.#retired.add(channel.client)
    clock.setTimer(() => {
      if (this.#retired.delete(channel.client)) channel.client.close()
    }, REPLACE_PAUSE_MS)
  }

  close (): void {
    this.#isClosed = true
    for (const { client } of this.#channels) client.close()
    for (const client of this.#retired) client.close()
    this.#retired.clear()
  }

  #open (): PooledChannel {
    const { address, clock, keepaliveTimeMs = KEEPALIVE_TIME_MS, keepaliveTimeoutMs = KEEPALIVE_TIMEOUT_MS } = this.#options
    const options: ChannelOptions = {
      'grpc.service_config': '{"loadBalancingConfig":[{"round_robin":{}}]}',
      'grpc.service_config_disable_resolution': 1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.keepalive_time_ms': keepaliveTimeMs,
      'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
      'grpc.initial_reconnect_backoff_ms': FIRST_RECONNECT_BACKOFF_MS,
      'grpc.max_reconnect_backoff_ms': MAX_RECONNECT_BACKOFF_MS,
      // Its tables grow without bound (grpc-node #1941, #2068).
      'grpc.enable_channelz': 0
    }
    const client = new Client(targetOf(address), this.#credentials, options)
    const channel: PooledChannel = { client, openedAtMs: clock.monotonicMs(), failuresInRow: 0 }
    this.#watch(channel)
    return channel
  }

  /** Keeps the channel connected, so that the first call after a quiet hour, or a restart, finds it ready. */
  #watch (channel: PooledChannel): void {
    const grpcChannel = channel.client.getChannel()
    const state = grpcChannel.getConnectivityState(true)
    grpcChannel.watchConnectivityState(state, Infinity, (error) => {
      if (error !== undefined || this.#isClosed || !this.#channels.includes(channel)) return
      this.#report(grpcChannel.getConnectivityState(false))
      this.#watch(channel)
    })
  }

  #report (state: connectivityState): void {
    if (state !== connectivityState.READY && state !== connectivityState.TRANSIENT_FAILURE) return
    const isUp = this.#channels.some(({ client }) => client.getChannel().getConnectivityState(false) === connectivityState.READY)
    if (isUp === this.#isUp) return
    this.#isUp = isUp
    this.#options.onState?.(isUp, isUp ? 'connected' : 'no connection')
  }
}

function pem (text: string | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text)
}

/** Several addresses behind one name share the calls; a target that says its scheme (`unix:`, `ipv4:`, `dns:`) is left as it is. */
function targetOf (address: string): string {
  return /^(dns|unix|unix-abstract|ipv4|ipv6|xds):/.test(address) ? address : `dns:///${address}`
}
