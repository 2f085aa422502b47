/**
 * The one table of metrics. Names carry the prefix `im_gateway_` when they are exposed. No user, device, message
 * or group id is ever a label [GW-OBS-1].
 */
import { CLOSE } from './protocol/close-codes.ts'

export interface MetricRow {
  readonly help: string
  readonly labels?: readonly string[]
  /** All that its one label can be, where that is little and known: told as 0 from the start, for a series that begins with 1 has not increased. */
  readonly values?: readonly string[]
  /** Upper bounds in the unit of the name; histograms only. */
  readonly buckets?: readonly number[]
}

const LATENCY_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
const SIZES = [1, 10, 50, 100, 500, 1000, 5000, 10000, 50000]

export const COUNTERS = {
  connections_opened_total: { help: 'Connections that got their welcome' },
  connections_closed_total: { help: 'Connections that ended, by reason of the close-code table', labels: ['reason'], values: Object.values(CLOSE).map(({ reason }) => reason) },
  handshake_failures_total: { help: 'Upgrades that were refused, by error code or guard reason', labels: ['reason'] },
  origin_refused_total: { help: 'Upgrades refused for their Origin' },
  frames_in_total: { help: 'Frames from clients by type', labels: ['type'] },
  frames_out_total: { help: 'Frames to clients by type', labels: ['type'] },
  frames_dropped_total: { help: 'Frames from clients dropped unparsed, over the frame bucket' },
  bytes_written_total: { help: 'Bytes written to client sockets' },
  rate_limited_total: { help: 'Frames refused by a token bucket, by type', labels: ['type'], values: ['send_msg', 'auth'] },
  messages_routed_total: { help: 'send_msg by result: ok, or the error code', labels: ['kind', 'result'] },
  messages_joined_total: { help: 'Repeats that joined a message under way' },
  upstream_retries_total: { help: 'Second attempts of upstream calls', labels: ['service'], values: ['auth', 'im', 'user'] },
  push_outcomes_total: { help: 'Pushes by device outcome', labels: ['outcome'], values: ['ACKED', 'ACK_TIMEOUT', 'SLOW', 'GONE', 'UNREACHABLE', 'NOT_CONNECTED', 'WRITTEN'] },
  pushes_refused_total: { help: 'Pushes refused before a device was looked up, by gRPC status', labels: ['status'], values: ['INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE', 'INTERNAL'] },
  acks_ignored_total: { help: 'Device acknowledgements without effect: late, repeated, foreign, unknown', labels: ['kind'], values: ['late', 'repeated', 'foreign', 'unknown'] },
  group_records_total: { help: 'Bus records by topic and result', labels: ['topic', 'result'] },
  group_deliveries_total: { help: 'Group messages handed to outboxes' },
  cache_requests_total: { help: 'Cache look-ups', labels: ['cache', 'result'] },
  evictions_total: { help: 'Slow readers that were closed, by limit', labels: ['limit'], values: ['bytes', 'age', 'total', 'silent'] },
  registry_operations_total: { help: 'Registry operations by kind and result', labels: ['operation', 'result'] },
  registry_transactions_total: { help: 'etcd transactions', labels: ['result'], values: ['ok', 'rejected', 'unavailable'] },
  registry_leases_lost_total: { help: 'Leases that were lost: not renewed in time, or gone in etcd', labels: ['reason'], values: ['deadline', 'gone'] },
  registry_bad_values_total: { help: 'Keys and values under /registry/ that no gateway understands', labels: ['kind'], values: ['key', 'user', 'node', 'revoked'] },
  registry_verdicts_total: { help: 'Sessions that the registry had closed', labels: ['verdict'], values: ['replaced'] },
  watch_breaks_total: { help: 'Times the registry watch ended and was opened again', labels: ['reason'], values: ['ended', 'silent'] },
  watch_resync_total: { help: 'Times the registry watch had to read everything again' },
  certificate_renewals_total: { help: 'Times the certificate of the WebSocket port changed: taken, or refused and the one before kept', labels: ['result'], values: ['taken', 'refused'] },
  kafka_restarts_total: { help: 'Times the Kafka consumer was started again' },
  worker_restarts_total: { help: 'Worker processes that ended by themselves and were replaced' },
  auth_checks_total: { help: 'Token checks by where they were decided and the result', labels: ['by', 'result'] },
  grpc_unauthenticated_total: { help: 'gRPC calls refused for lack of credentials' }
} as const satisfies Record<string, MetricRow>

export const GAUGES = {
  connections: { help: 'Connections that are open now' },
  users: { help: 'Users with at least one connection' },
  outbox_bytes: { help: 'Bytes waiting in outboxes' },
  pending_pushes: { help: 'Pushes that wait for a device' },
  sends_in_flight: { help: 'send_msg queued or upstream' },
  pending_handshakes: { help: 'Upgrades under way' },
  registry_sessions: { help: 'Sessions this node has registered' },
  registry_repairs: { help: 'Registrations that wait to be written again or deleted' },
  registry_revocations: { help: 'Revocations in force' },
  registry_watch_live: { help: '1 while the registry watch is followed' },
  registry_leases: { help: 'Leases this node holds' },
  membership_bytes: { help: 'Bytes of the group member cache' },
  waiting_group_records: { help: 'Group records that wait for their member list' },
  kafka_lag: { help: 'Records behind the end of the log', labels: ['topic'] },
  breaker_state: { help: '0 closed, 1 half open, 2 open', labels: ['service'] },
  degraded: { help: '1 where a dependency does not answer', labels: ['dependency'] },
  ready: { help: '1 while the node should get traffic' },
  draining: { help: '1 while the node drains' },
  drain_remaining: { help: 'Connections that a drain has still to close' },
  drain_closes_per_second: { help: 'Connections that a drain closes a second, now' },
  connects_per_second: { help: 'Handshakes a second that this node can take, as it tells the others; 0 while it drains' },
  event_loop_delay_seconds: { help: 'Event-loop delay, mean of the last sample' },
  limit_used_ratio: { help: 'Share in use of the limit of connections, delay or memory; from 1 on upgrades are refused', labels: ['limit'] },
  workers: { help: 'Worker processes that serve; told by the primary of several' },
  build_info: { help: 'Always 1', labels: ['version', 'node'] }
} as const satisfies Record<string, MetricRow>

export const HISTOGRAMS = {
  delivery_seconds: { help: 'IM push received to device acknowledgement', buckets: LATENCY_S },
  send_seconds: { help: 'send_msg frame in to ack out', buckets: LATENCY_S },
  upstream_seconds: { help: 'Upstream calls', labels: ['service', 'method'], buckets: LATENCY_S },
  handshake_seconds: { help: 'Upgrade request to welcome', buckets: LATENCY_S },
  fanout_members: { help: 'Local receivers of a group message', buckets: SIZES },
  fanout_seconds: { help: 'Group record received to its last local write', buckets: LATENCY_S },
  registry_batch_operations: { help: 'Operations in one etcd transaction', buckets: [1, 2, 5, 10, 20, 50, 100] },
  registry_seconds: { help: 'etcd transactions', buckets: LATENCY_S }
} as const satisfies Record<string, MetricRow>

/** What the primary of several workers tells, and no node. */
export const PRIMARY_METRICS: readonly string[] = ['workers', 'worker_restarts_total']

export type CounterName = keyof typeof COUNTERS
export type GaugeName = keyof typeof GAUGES
export type HistogramName = keyof typeof HISTOGRAMS
