/** Calls to the other gateway nodes: one channel for each address, opened at its first call and closed when it is long unused. */
import { Client, type ChannelOptions, type Metadata, type MethodDefinition } from '@grpc/grpc-js'
import { LRUCache } from 'lru-cache'
import {
  GatewayServiceDefinition, type DisconnectRequest, type DisconnectResponse, type ExplainRequest, type ExplainResponse, type PushMessageRequest, type PushMessageResponse,
  type PushReadReceiptRequest
} from '../../src/generated/gateway/v1/gateway.ts'
import type { Clock } from '../../src/ports.ts'
import { systemClock } from '../../src/embedded/system-clock.ts'
import { HOP_MARGIN_MS } from '../../src/delivery/delivery.ts'
import type { PeerNodes } from '../../src/delivery/peers.ts'
import { ForwardStream } from './forward-stream.ts'
import { peerCredentials, peerMetadata, type GrpcCredentials } from './grpc-credentials.ts'
import { grpcError } from './grpc-errors.ts'
import { serviceDefinition } from './grpc-service.ts'

export interface PeerClientsOptions extends GrpcCredentials {
  /** Channels that are kept; the one unused for longest is closed for another one. */
  readonly maxChannels?: number
  /** How long the nodes wait for a device. A push with that much time goes by the stream to its node; one with less, and every push where this is not given, by a call with its own deadline. */
  readonly ackTimeoutMs?: number
  readonly clock?: Clock
}

interface PeerChannel {
  readonly client: Client
  stream: ForwardStream | undefined
}

const MAX_CHANNELS = 256
const TLS_SERVER_NAME = 'im-gateway'
const CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  // A black-holed node is noticed in seconds, not at the end of TCP's patience.
  'grpc.keepalive_time_ms': 5_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.client_idle_timeout_ms': 300_000,
  // The router has its own second try, by a fresh route.
  'grpc.enable_retries': 0,
  // Its tables grow without bound (grpc-node #1941, #2068).
  'grpc.enable_channelz': 0
}

const methods = serviceDefinition(GatewayServiceDefinition)

export class PeerClients implements PeerNodes {
  readonly #channels: LRUCache<string, PeerChannel>
  readonly #metadata: Metadata
  readonly #clock: Clock
  readonly #streamFromMs: number

  constructor (options: PeerClientsOptions) {
    const credentials = peerCredentials(options)
    this.#metadata = peerMetadata(options)
    this.#clock = options.clock ?? systemClock
    this.#streamFromMs = (options.ackTimeoutMs ?? Infinity) + HOP_MARGIN_MS
    // Nodes are called by address, which is no name that TLS could ask for; the certificate is checked by our own rule.
    const channelOptions = options.tls?.ca === undefined ? CHANNEL_OPTIONS : { ...CHANNEL_OPTIONS, 'grpc.ssl_target_name_override': TLS_SERVER_NAME }
    this.#channels = new LRUCache({
      max: options.maxChannels ?? MAX_CHANNELS,
      memoMethod: (address): PeerChannel => ({ client: new Client(address, credentials, channelOptions), stream: undefined }),
      dispose: ({ client, stream }) => {
        stream?.finish()
        client.close()
      }
    })
  }

  /** Channels that are kept. */
  get size (): number { return this.#channels.size }

  push (address: string, request: PushMessageRequest, deadlineMs: number, traceparent?: string): Promise<PushMessageResponse> {
    if (deadlineMs < this.#streamFromMs) return this.#call(methods.pushMessage, address, request, deadlineMs, traceparent)
    const channel = this.#channels.memo(address)
    if (channel.stream === undefined || channel.stream.isOver) channel.stream = new ForwardStream(channel.client, this.#metadata, this.#clock)
    return channel.stream.push(request, deadlineMs, traceparent)
  }

  pushReadReceipt (address: string, request: PushReadReceiptRequest, deadlineMs: number): Promise<PushMessageResponse> {
    return this.#call(methods.pushReadReceipt, address, request, deadlineMs)
  }

  disconnect (address: string, request: DisconnectRequest, deadlineMs: number): Promise<DisconnectResponse> {
    return this.#call(methods.disconnect, address, request, deadlineMs)
  }

  explain (address: string, request: ExplainRequest, deadlineMs: number): Promise<ExplainResponse> {
    return this.#call(methods.explain, address, request, deadlineMs)
  }

  /** A node has started there: the channel to the one before it is closed, so that its wait before the next attempt to connect delays nobody. */
  started (address: string): void {
    this.#channels.delete(address)
  }

  close (): void {
    this.#channels.clear()
  }

  #call<Req, Res> (method: MethodDefinition<Req, Res>, address: string, request: Req, deadlineMs: number, traceparent?: string): Promise<Res> {
    const { client } = this.#channels.memo(address)
    const metadata = traceparent === undefined ? this.#metadata : this.#metadata.clone()
    if (traceparent !== undefined) metadata.set('traceparent', traceparent)
    return new Promise((resolve, reject) => {
      // grpc-js counts deadlines by the wall clock, so this one is not injected.
      const options = { deadline: Date.now() + deadlineMs }
      client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, metadata, options, (error, response) => {
        if (error !== null) reject(grpcError(error))
        else resolve(response as Res)
      })
    })
  }
}
