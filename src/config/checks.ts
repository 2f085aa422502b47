/** Checks across variables: what must not stand together, and sums that have to agree. */
import { isLoopback, parseHostPort } from './addresses.ts'
import { checkCredentials } from './checks-credentials.ts'
import type { Derived } from './derive.ts'
import type { Fault } from './parse.ts'
import type { Values, VariableName } from './table.ts'
import { formatDuration, formatSize } from './units.ts'

export interface CheckInput {
  readonly values: Values
  readonly derived: Derived
  readonly given: ReadonlySet<string>
  readonly requireServices: boolean
}

/** Adds a fault; the first name is the one to look at. */
export interface Report { (names: readonly VariableName[], text: string): void }

/** The faults beyond those known already; a check whose variable is at fault already keeps silent. */
export function check (input: CheckInput, known: readonly Fault[]): Fault[] {
  const faults: Fault[] = []
  const broken = new Set(known.flatMap(({ names }) => names))
  const report: Report = (names, text) => {
    if (!names.some((name) => broken.has(name))) faults.push({ names, text })
  }
  checkServices(input, report)
  checkNode(input, report)
  checkHeartbeat(input, report)
  checkTimes(input, report)
  checkServers(input, report)
  checkWorkers(input, report)
  checkCapacity(input, report)
  checkCredentials(input, report)
  return faults
}

const SERVICES: readonly VariableName[] = ['IM_SERVICE_ADDR', 'USER_SERVICE_ADDR', 'ETCD_ENDPOINTS', 'KAFKA_BROKERS', 'REDIS_ADDR']

function checkServices ({ values, requireServices }: CheckInput, report: Report): void {
  if (!requireServices) return
  const needed = values.AUTH_MODE === 'local' ? SERVICES : ['AUTH_SERVICE_ADDR' as const, ...SERVICES]
  for (const name of needed) {
    const value = values[name]
    if (value === undefined || (Array.isArray(value) && value.length === 0)) report([name], 'is required')
  }
}

function checkNode ({ values, derived }: CheckInput, report: Report): void {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(derived.nodeId)) report(['GATEWAY_NODE_ID'], 'has to be set, for the host name is not 1-64 characters of A-Z a-z 0-9 . _ -')
  const { MAX_MESSAGE_SIZE: message, OUTBOX_BYTES: outbox, OUTBOX_TOTAL_BYTES: total } = values
  if (message > outbox) report(['MAX_MESSAGE_SIZE', 'OUTBOX_BYTES'], 'a message has to fit an outbox')
  if (outbox > total) report(['OUTBOX_BYTES', 'OUTBOX_TOTAL_BYTES'], 'one outbox may not hold more than all together')
  if (values.KAFKA_MIN_BYTES > values.KAFKA_MAX_BYTES) report(['KAFKA_MIN_BYTES', 'KAFKA_MAX_BYTES'], 'the least may not be more than the most')
  if (values.REDIS_DB !== 0 && /^cluster:|^(?!sentinel:).*,/.test(values.REDIS_ADDR ?? '')) report(['REDIS_DB', 'REDIS_ADDR'], 'a cluster has database 0 alone')
}

function checkHeartbeat ({ values, derived, given }: CheckInput, report: Report): void {
  const { PING_PERIOD: period, PONG_WAIT: wait } = values
  if (period !== undefined && given.has('HEARTBEAT_INTERVAL') && period !== values.HEARTBEAT_INTERVAL) report(['PING_PERIOD', 'HEARTBEAT_INTERVAL'], 'both are set and disagree')
  if (wait !== undefined && given.has('HEARTBEAT_TIMEOUT') && wait !== values.HEARTBEAT_TIMEOUT) report(['PONG_WAIT', 'HEARTBEAT_TIMEOUT'], 'both are set and disagree')
  const names = [period === undefined ? 'HEARTBEAT_INTERVAL' : 'PING_PERIOD', wait === undefined ? 'HEARTBEAT_TIMEOUT' : 'PONG_WAIT'] as const
  if (derived.heartbeatIntervalMs >= derived.heartbeatTimeoutMs) {
    report(names, `the interval (${formatDuration(derived.heartbeatIntervalMs)}) has to be below the timeout (${formatDuration(derived.heartbeatTimeoutMs)})`)
  }
}

function checkTimes ({ values }: CheckInput, report: Report): void {
  // What an upgrade may wait for, one after the other [GW-CON-10].
  const parts: VariableName[] = ['ADMISSION_TIMEOUT']
  if (values.AUTH_MODE === 'service') parts.push('AUTH_TIMEOUT')
  if (values.JWKS_URL !== undefined) parts.push('JWKS_TIMEOUT')
  // The limits of the address and of the user are asked for one after the other.
  const limits = [values.HANDSHAKES_PER_IP, values.HANDSHAKES_PER_USER].filter((limit) => limit > 0).length
  const redisWaits = values.HANDSHAKE_LIMITER === 'redis' ? limits : 0
  if (redisWaits > 0) parts.push('REDIS_TIMEOUT')
  const sumMs = parts.reduce((sum, name) => sum + (values[name] as number) * (name === 'REDIS_TIMEOUT' ? redisWaits : 1), 0)
  if (sumMs >= values.HANDSHAKE_TIMEOUT) {
    report(['HANDSHAKE_TIMEOUT', ...parts], `the parts of a handshake (${formatDuration(sumMs)} together) have to stay below the whole (${formatDuration(values.HANDSHAKE_TIMEOUT)})`)
  }
  if (values.IM_ATTEMPT_TIMEOUT > values.IM_TIMEOUT) report(['IM_ATTEMPT_TIMEOUT', 'IM_TIMEOUT'], 'an attempt may not take longer than the whole')
  if (values.REGISTRY_TTL % 1000 !== 0) report(['REGISTRY_TTL'], 'has to be whole seconds')
  if (values.REGISTRY_RENEW_INTERVAL * 2 > values.REGISTRY_TTL) report(['REGISTRY_RENEW_INTERVAL', 'REGISTRY_TTL'], 'the interval has to be at most half of the TTL, so that one lost renewal does no harm')
  if (values.DRAIN_DELAY >= values.DRAIN_TIMEOUT) report(['DRAIN_DELAY', 'DRAIN_TIMEOUT'], 'the delay is part of the timeout and has to be below it')
  const endMs = values.PRE_STOP_DELAY + values.DRAIN_TIMEOUT
  if (values.GRACE_PERIOD !== undefined && endMs >= values.GRACE_PERIOD) {
    report(['DRAIN_TIMEOUT', 'PRE_STOP_DELAY', 'GRACE_PERIOD'], `preStop and drain (${formatDuration(endMs)} together) have to stay below the grace period (${formatDuration(values.GRACE_PERIOD)})`)
  }
}

function checkServers ({ values, derived }: CheckInput, report: Report): void {
  if (!derived.grpcCredentials && !isLoopback(derived.grpcHost)) {
    report(['GRPC_HOST', 'GRPC_AUTH_TOKEN', 'GRPC_TLS_CA'], 'an address other than loopback needs GRPC_AUTH_TOKEN or mutual TLS')
  }
  if (derived.grpcAdvertiseAddr === undefined) report(['GRPC_ADVERTISE_ADDR', 'GRPC_HOST'], 'is required, for GRPC_HOST is not one address')
  if (values.ADMIN_PORT !== undefined && !isLoopback(values.ADMIN_HOST) && values.ADMIN_TOKEN === undefined) {
    report(['ADMIN_TOKEN', 'ADMIN_HOST'], 'is required where ADMIN_HOST is not loopback')
  }
  const ports: Array<readonly [VariableName, number | undefined]> = [['WS_PORT', values.WS_PORT], ['GRPC_PORT', values.GRPC_PORT], ['ADMIN_PORT', values.ADMIN_PORT]]
  for (const [index, [name, port]] of ports.entries()) {
    const twin = ports.slice(index + 1).find(([, other]) => port !== 0 && other === port)
    if (port !== undefined && twin !== undefined) report([name, twin[0]], `both are ${port}`)
  }
}

/** Each worker is a node with a gRPC port of its own; what they share has to be known before they start. */
function checkWorkers ({ values, derived }: CheckInput, report: Report): void {
  const count = values.WORKERS
  if (count === 1) return
  if (values.ADMIN_PORT === undefined) report(['ADMIN_PORT', 'WORKERS'], 'is required with more than one worker: the primary answers there')
  if (values.WS_PORT === 0) report(['WS_PORT', 'WORKERS'], 'cannot be 0 with more than one worker, which share it')
  if (values.GRPC_PORT === 0) report(['GRPC_PORT', 'WORKERS'], 'cannot be 0 with more than one worker: a worker that is replaced comes back under its address')
  const last = values.GRPC_PORT + count - 1
  const advertisedPort = parseHostPort(derived.grpcAdvertiseAddr ?? '')?.port ?? 0
  if (last > 65535 || advertisedPort + count - 1 > 65535) report(['GRPC_PORT', 'WORKERS'], `${count} workers need as many ports in a row, up to 65535`)
  for (const [name, port] of [['WS_PORT', values.WS_PORT], ['ADMIN_PORT', values.ADMIN_PORT]] as const) {
    if (port !== undefined && port > values.GRPC_PORT && port <= last) report([name, 'GRPC_PORT', 'WORKERS'], `the workers take the ports ${values.GRPC_PORT}-${last} for gRPC`)
  }
  if (`${derived.nodeId}-${count - 1}`.length > 64) report(['GATEWAY_NODE_ID', 'WORKERS'], 'leaves no room for the number of the worker in 64 characters')
}

function checkCapacity ({ values, derived }: CheckInput, report: Report): void {
  const { connections, limitedBy } = derived.capacity
  const limit = `MEMORY_LIMIT ${formatSize(derived.shape.memoryLimitBytes)}`
  if (connections < 1) {
    if (limitedBy === 'memory') report(['MEMORY_LIMIT', 'MEMBERSHIP_CACHE_BYTES', 'OUTBOX_TOTAL_BYTES', 'AUTH_CACHE_SIZE', 'ROUTE_CACHE_SIZE'], `${limit} leaves no room for connections beside caches and outboxes`)
    else report(['MAX_CONNECTIONS'], 'the open-files limit leaves no room for connections; raise it (ulimit -n)')
  } else if (derived.maxConnections > connections) {
    const why = limitedBy === 'memory' ? `${limit} with its caches and outboxes` : 'the open-files limit'
    report(['MAX_CONNECTIONS', 'MEMORY_LIMIT'], `${derived.maxConnections} connections are more than ${connections}, which ${why} allows`)
  }
}
