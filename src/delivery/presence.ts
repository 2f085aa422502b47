/** Which devices are connected, and where; and the end of a user's sockets at an operator's request. */
import { GatewayError } from '../errors.ts'
import {
  Scope, type DevicePresence, type DisconnectRequest, type DisconnectResponse, type GetPresenceRequest, type GetPresenceResponse, type UserPresence
} from '../generated/gateway/v1/gateway.ts'
import type { Logger, Registry } from '../ports.ts'
import type { Connection } from '../connections/connection.ts'
import type { Hub } from '../connections/hub.ts'
import { HOP_MARGIN_MS } from './delivery.ts'
import { disconnectFault, presenceFault } from './field-limits.ts'
import { targetsOf } from './parcel.ts'
import type { PeerNodes } from './peers.ts'

export interface PresenceOptions {
  readonly nodeId: string
  readonly hub: Hub
  readonly registry: Pick<Registry, 'locate' | 'nodeAddress'>
  readonly peers: PeerNodes
  readonly logger: Logger
  /** Closes a socket with the code for `disconnected`. */
  readonly disconnect: (connection: Connection) => void
  /** What a call without a deadline may take. */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 5_000

export class Presence {
  readonly #options: PresenceOptions
  readonly #timeoutMs: number

  constructor (options: PresenceOptions) {
    this.#options = options
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  }

  /** Each user once, in the order asked. `incomplete`: the registry could not be read. Rejects with INVALID_MESSAGE. */
  async presence (request: GetPresenceRequest): Promise<GetPresenceResponse> {
    refuseFault(presenceFault(request))
    const answers = await Promise.all([...new Set(request.userIds)].map((userId) => this.#user(userId)))
    return { users: answers.map(({ user }) => user), incomplete: answers.some(({ complete }) => !complete) }
  }

  /**
   * Ends sockets here and, in scope CLUSTER, on the other nodes. It does not revoke tokens. `deadlineMs`: the time until the
   * caller's deadline. Rejects with INVALID_MESSAGE, or with SERVICE_UNAVAILABLE where a node did not answer: the sockets that
   * could be reached have ended, and the call may be repeated.
   */
  async disconnect (request: DisconnectRequest, deadlineMs: number): Promise<DisconnectResponse> {
    refuseFault(disconnectFault(request))
    const { hub, logger, disconnect } = this.#options
    let disconnected = 0
    for (const connection of hub.user(request.userId)?.connections ?? []) {
      if (request.deviceId !== '' && connection.deviceId !== request.deviceId) continue
      disconnect(connection)
      disconnected++
    }
    logger.info({ user: request.userId, device: request.deviceId, reason: request.reason, sockets: disconnected }, 'disconnected by request')
    if (request.scope === Scope.CLUSTER) disconnected += await this.#disconnectElsewhere(request, Math.min(deadlineMs, this.#timeoutMs) - HOP_MARGIN_MS)
    return { disconnected }
  }

  async #disconnectElsewhere (request: DisconnectRequest, deadlineMs: number): Promise<number> {
    const { nodeId, registry, peers } = this.#options
    const routes = await registry.locate(request.userId, { fresh: true })
    const nodes = new Set<string>()
    for (const route of routes.devices) {
      if (route.nodeId !== nodeId && (request.deviceId === '' || route.deviceId === request.deviceId)) nodes.add(route.nodeId)
    }
    const counts = await Promise.allSettled([...nodes].map(async (node) => {
      const address = await registry.nodeAddress(node)
      if (address === undefined) throw new GatewayError('SERVICE_UNAVAILABLE', { detail: `node ${node} has no address` })
      return (await peers.disconnect(address, { ...request, scope: Scope.LOCAL }, deadlineMs)).disconnected
    }))
    if (!routes.complete) throw new GatewayError('SERVICE_UNAVAILABLE', { detail: 'the registry could not be read: devices on other nodes may be connected' })
    let sum = 0
    for (const count of counts) {
      if (count.status === 'rejected') throw new GatewayError('SERVICE_UNAVAILABLE', { cause: count.reason, detail: 'a node of the user does not answer' })
      sum += count.value
    }
    return sum
  }

  async #user (userId: string): Promise<{ user: UserPresence, complete: boolean }> {
    const { nodeId, hub, registry } = this.#options
    const devices: DevicePresence[] = []
    for (const { deviceId, state, openedAtUnixMs } of targetsOf(hub.user(userId), '', '')) {
      if (state === 'open') devices.push({ deviceId, nodeId, since: BigInt(Math.trunc(openedAtUnixMs)) })
    }
    let complete = false
    try {
      const routes = await registry.locate(userId)
      complete = routes.complete
      for (const route of routes.devices) {
        // What the hub does not know is not here, whatever an old route says.
        if (route.nodeId === nodeId || devices.some(({ deviceId }) => deviceId === route.deviceId)) continue
        devices.push({ deviceId: route.deviceId, nodeId: route.nodeId, since: BigInt(Math.trunc(route.since)) })
      }
    } catch {
      // Nothing is known beyond this node.
    }
    return { user: { userId, devices }, complete }
  }
}

function refuseFault (fault: string | undefined): void {
  if (fault !== undefined) throw new GatewayError('INVALID_MESSAGE', { detail: fault })
}
