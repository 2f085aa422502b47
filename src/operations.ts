/** What the HTTP routes ask of a node, or of all workers behind one port: status for everybody, the rest for operators. */
import type { Connection } from './connections/connection.ts'
import type { Drain, DrainProgress, DrainTimes } from './connections/drain.ts'
import type { Heartbeat } from './connections/heartbeat.ts'
import type { Hub } from './connections/hub.ts'
import { fits, idleMs, type ConnectionFilter, type ListingTimes } from './connections/listing.ts'
import type { Presence } from './delivery/presence.ts'
import type { ClusterExplainer } from './explain/cluster-explainer.ts'
import type { Explanation, ExplainQuery } from './explain/explanation.ts'
import { Scope } from './generated/gateway/v1/gateway.ts'
import type { HealthReport } from './health.ts'
import type { Clock } from './ports.ts'

/** `/readyz` and `/metrics`. */
export interface Status {
  health (): Promise<HealthReport>
  /** All metrics in the Prometheus text format. */
  metrics (): Promise<string>
}

export interface ConnectionQuery extends ConnectionFilter { readonly limit: number }

/** `unanswered`: the workers that did not answer, whose connections are missing. */
export interface ConnectionList { readonly total: number, readonly listed: number, readonly connections: readonly object[], readonly unanswered?: readonly string[] }

export interface DisconnectQuery { readonly user: string, readonly device?: string, readonly reason?: string }

/** `/drain`, `/connections` and `/explain`. */
export interface Operations {
  drain (): Promise<DrainProgress>
  startDrain (): Promise<DrainProgress>
  /** Not cancelled: the process is ending, there is nothing to go back to. */
  cancelDrain (): Promise<{ readonly cancelled: boolean, readonly progress: DrainProgress }>
  connections (query: ConnectionQuery): Promise<ConnectionList>
  /** What the nodes remember of a message or a user. */
  explain (query: ExplainQuery): Promise<Explanation>
  /** DELETE of `/connections`: ends a user's sockets on all nodes. Rejects with a GatewayError, SERVICE_UNAVAILABLE, where a node did not answer: it may be called again. */
  disconnect (query: DisconnectQuery): Promise<{ readonly disconnected: number }>
}

export interface NodeOperationsOptions {
  readonly nodeId: string
  readonly drain: Pick<Drain, 'start' | 'cancel' | 'progress'>
  readonly times: DrainTimes
  readonly hub: Hub
  readonly idOf: (connection: Connection) => string
  readonly clock: Pick<Clock, 'unixMs'>
  readonly heartbeat: Pick<Heartbeat, 'nowMs'>
  readonly explainer: Pick<ClusterExplainer, 'explain'>
  readonly presence: Pick<Presence, 'disconnect'>
}

/** For the call to the other nodes; shorter than what a primary waits for its workers. */
const DISCONNECT_TIMEOUT_MS = 1_500

/** The operations of this process. */
export class NodeOperations implements Operations {
  readonly #options: NodeOperationsOptions

  constructor (options: NodeOperationsOptions) {
    this.#options = options
  }

  async drain (): Promise<DrainProgress> {
    return this.#options.drain.progress
  }

  async startDrain (): Promise<DrainProgress> {
    const { drain, times } = this.#options
    // It takes its time, and never rejects.
    void drain.start(times)
    return drain.progress
  }

  async cancelDrain (): Promise<{ readonly cancelled: boolean, readonly progress: DrainProgress }> {
    const { drain } = this.#options
    return { cancelled: drain.cancel(), progress: drain.progress }
  }

  async connections ({ limit, ...filter }: ConnectionQuery): Promise<ConnectionList> {
    const { hub, nodeId, clock, heartbeat } = this.#options
    const { user, node = nodeId } = filter
    const times = { unixMs: clock.unixMs(), heartbeatMs: heartbeat.nowMs }
    const candidates = node !== nodeId ? [] : user === undefined ? hub.all : hub.user(user)?.connections ?? []
    const connections: object[] = []
    for (const connection of candidates) {
      if (!fits(connection, filter, times)) continue
      if (connections.push(this.#describe(connection, times)) >= limit) break
    }
    return { total: hub.connectionCount, listed: connections.length, connections }
  }

  async explain (query: ExplainQuery): Promise<Explanation> {
    return await this.#options.explainer.explain(query)
  }

  async disconnect ({ user, device = '', reason = 'by an operator' }: DisconnectQuery): Promise<{ readonly disconnected: number }> {
    return await this.#options.presence.disconnect({ userId: user, deviceId: device, reason, scope: Scope.CLUSTER }, DISCONNECT_TIMEOUT_MS)
  }

  #describe (connection: Connection, times: ListingTimes): object {
    const { nodeId, idOf } = this.#options
    return {
      node_id: nodeId,
      connection_id: idOf(connection),
      user_id: connection.user.userId,
      device_id: connection.deviceId,
      state: connection.state,
      opened_at: connection.openedAtUnixMs,
      token_expires_at: connection.tokenExpiresAtMs,
      idle_ms: idleMs(connection, times),
      queued_bytes: connection.waitingBytes,
      paused: connection.paused
    }
  }
}
