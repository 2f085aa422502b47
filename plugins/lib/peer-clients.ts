/** Calls to the other gateway nodes: one channel for each address, opened at its first call and closed when it is long unused. */
import { Client, type MethodDefinition } from '@grpc/grpc-js'
import { LRUCache } from 'lru-cache'
import {
  GatewayServiceDefinition, type DisconnectRequest, type DisconnectResponse, type PushMessageRequest, type PushMessageResponse, type PushReadReceiptRequest
} from '../../src/generated/gateway/v1/gateway.ts'
import type { PeerNodes } from '../../src/delivery/peers.ts'
import { peerCredentials, peerMetadata, type GrpcCredentials } from './grpc-credentials.ts'
import { grpcError } from './grpc-errors.ts'
import { serviceDefinition } from './grpc-service.ts'

export interface PeerClientsOptions extends GrpcCredentials {
  /** Channels that are kept; the one unused for longest is closed for another one. */
  readonly maxChannels?: number
}

const MAX_CHANNELS = 256
const KEEPALIVE_TIME_MS = 5_000
const KEEPALIVE_TIMEOUT_MS = 2_000
const MAX_RECONNECT_BACKOFF_MS = 1_000
const IDLE_MS = 300_000

const methods = serviceDefinition(GatewayServiceDefinition)

export class PeerClients implements PeerNodes {
  readonly #channels: LRUCache<string, Client>
  readonly #metadata

  constructor (options: PeerClientsOptions) {
    const credentials = peerCredentials(options)
    this.#metadata = peerMetadata(options)
    this.#channels = new LRUCache({
      max: options.maxChannels ?? MAX_CHANNELS,
      memoMethod: (address) => new Client(address, credentials, {
        'grpc.use_local_subchannel_pool': 1,
        // A black-holed node is noticed in seconds, not at the end of TCP's patience.
        'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
        'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': MAX_RECONNECT_BACKOFF_MS,
        'grpc.client_idle_timeout_ms': IDLE_MS,
        // The router has its own second try, by a fresh route.
        'grpc.enable_retries': 0,
        'grpc.enable_channelz': 0
      }),
      dispose: (client) => { client.close() }
    })
  }

  /** Channels that are kept. */
  get size (): number { return this.#channels.size }

  push (address: string, request: PushMessageRequest, deadlineMs: number): Promise<PushMessageResponse> {
    return this.#call(methods.pushMessage, address, request, deadlineMs)
  }

  pushReadReceipt (address: string, request: PushReadReceiptRequest, deadlineMs: number): Promise<PushMessageResponse> {
    return this.#call(methods.pushReadReceipt, address, request, deadlineMs)
  }

  disconnect (address: string, request: DisconnectRequest, deadlineMs: number): Promise<DisconnectResponse> {
    return this.#call(methods.disconnect, address, request, deadlineMs)
  }

  close (): void {
    this.#channels.clear()
  }

  #call<Req, Res> (method: MethodDefinition<Req, Res>, address: string, request: Req, deadlineMs: number): Promise<Res> {
    const client = this.#channels.memo(address)
    return new Promise((resolve, reject) => {
      // grpc-js counts deadlines by the wall clock, so this one is not injected.
      const options = { deadline: Date.now() + deadlineMs }
      client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, this.#metadata, options, (error, response) => {
        if (error !== null) reject(grpcError(error))
        else resolve(response as Res)
      })
    })
  }
}
