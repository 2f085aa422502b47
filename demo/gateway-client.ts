/** Calls gateways by address, with the shared bearer; one channel an address, so that pushes keep their order. */
import { Metadata } from '@grpc/grpc-js'
import { ChannelPool } from '../plugins/lib/channel-pool.ts'
import { methodDefinition } from '../plugins/lib/grpc-service.ts'
import {
  GatewayServiceDefinition, type DisconnectRequest, type DisconnectResponse, type GetPresenceResponse,
  type PushMessageRequest, type PushMessageResponse, type PushReadReceiptRequest
} from '../src/generated/gateway/v1/gateway.ts'
import type { Clock } from '../src/ports.ts'

export interface GatewayClientOptions {
  readonly bearer: string
  readonly clock: Clock
}

const { fullName, methods } = GatewayServiceDefinition
const PUSH = methodDefinition(fullName, methods.pushMessage)
const RECEIPT = methodDefinition(fullName, methods.pushReadReceipt)
const PRESENCE = methodDefinition(fullName, methods.getPresence)
const DISCONNECT = methodDefinition(fullName, methods.disconnect)

const MAX_GATEWAYS = 64
const CALL_DEADLINE_MS = 5_000

/** Every method rejects with a GatewayError where the gateway refuses or does not answer. */
export class GatewayClient {
  readonly #options: GatewayClientOptions
  readonly #metadata = new Metadata()
  /** Least recently used first: addresses change when nodes come and go. */
  readonly #pools = new Map<string, ChannelPool>()

  constructor (options: GatewayClientOptions) {
    this.#options = options
    this.#metadata.set('authorization', `Bearer ${options.bearer}`)
  }

  pushMessage (gateway: string, request: PushMessageRequest, deadlineMs: number): Promise<PushMessageResponse> {
    return this.#pool(gateway).unary(PUSH, request, deadlineMs, this.#metadata)
  }

  pushReadReceipt (gateway: string, request: PushReadReceiptRequest, deadlineMs: number): Promise<PushMessageResponse> {
    return this.#pool(gateway).unary(RECEIPT, request, deadlineMs, this.#metadata)
  }

  presence (gateway: string, userIds: string[]): Promise<GetPresenceResponse> {
    return this.#pool(gateway).unary(PRESENCE, { userIds }, CALL_DEADLINE_MS, this.#metadata)
  }

  disconnect (gateway: string, request: DisconnectRequest): Promise<DisconnectResponse> {
    return this.#pool(gateway).unary(DISCONNECT, request, CALL_DEADLINE_MS, this.#metadata)
  }

  close (): void {
    for (const pool of this.#pools.values()) pool.close()
    this.#pools.clear()
  }

  #pool (gateway: string): ChannelPool {
    const pool = this.#pools.get(gateway) ?? new ChannelPool({ address: gateway, channels: 1, clock: this.#options.clock })
    this.#pools.delete(gateway)
    this.#pools.set(gateway, pool)
    const [oldest] = this.#pools
    if (this.#pools.size > MAX_GATEWAYS && oldest !== undefined) {
      this.#pools.delete(oldest[0])
      oldest[1].close()
    }
    return pool
  }
}
