/** docs/metrics.md from the table of metrics. */
import { ERRORS } from '../../src/errors.ts'
import { COUNTERS, GAUGES, HISTOGRAMS, PRIMARY_METRICS, type MetricRow } from '../../src/metrics.ts'
import { SERIES_LIMIT } from '../../src/metric-store.ts'
import { PREFIX } from '../../plugins/metrics.ts'
import { CLIENT_FRAMES } from './client-frames.ts'
import { code, table, writtenFrom } from './markdown.ts'
import { SERVER_FRAMES } from './server-frames.ts'

/** The values of each label, of every metric that has labels and no table of their values: the compiler asks for those that are missing. */
type Labels<Table extends Readonly<Record<string, MetricRow>>> = {
  readonly [Name in keyof Table as Table[Name] extends { values: readonly string[] } ? never : Table[Name] extends { labels: readonly string[] } ? Name : never]: { readonly [Label in Table[Name] extends { labels: ReadonlyArray<infer L extends string> } ? L : never]: string }
}

const list = (values: readonly string[]): string => [...new Set(values)].map(code).join(' ')
const CODES = 'an [error code](codes.md#error-codes)'
const SERVICE = list(['auth', 'im', 'user'])
const TOPIC = list(['group_msg', 'membership_change', 'read_receipt_events'])

const LABELS: Labels<typeof COUNTERS> & Labels<typeof GAUGES> & Labels<typeof HISTOGRAMS> = {
  handshake_failures_total: { reason: `${CODES}, or ${list(['path', 'timeout'])}` },
  frames_in_total: { type: list([...Object.keys(CLIENT_FRAMES), 'invalid']) },
  frames_out_total: { type: list(Object.keys(SERVER_FRAMES)) },
  messages_routed_total: { kind: list(['private', 'group']), result: `${code('ok')}, or ${CODES}` },
  group_records_total: { topic: TOPIC, result: list(['ok', 'no_members', 'group_not_found', 'not_told', 'failed', 'empty', 'too_large', 'bad_json', 'bad_shape', 'key_mismatch', 'fault']) },
  cache_requests_total: { cache: list(['membership', 'redis', 'routes']), result: list(['hit', 'miss', 'stale', 'error']) },
  registry_operations_total: { operation: list(['admit', 'register', 'put_again', 'remove', 'renew', 'queue']), result: `${code('ok')}, or why not` },
  auth_checks_total: { by: list(['local', 'cache', 'service', 'revoked', 'limit']), result: `${code('ok')}, or ${CODES}` },
  kafka_lag: { topic: TOPIC },
  breaker_state: { service: SERVICE },
  degraded: { dependency: list(['etcd', 'redis', 'kafka', 'auth', 'im', 'user']) },
  limit_used_ratio: { limit: list(['connections', 'delay', 'memory']) },
  build_info: { version: 'of the gateway', node: 'of Node.js' },
  upstream_seconds: { service: SERVICE, method: 'of the [call](grpc.md)' }
}

export function metricsPage (): string {
  return `# Metrics

${writtenFrom('src/metrics.ts')}

\`GET /metrics\` on \`WS_PORT\`, and on \`ADMIN_PORT\` where that is set, in the Prometheus text format. All names begin with \`${PREFIX}\`, left out below. Times are in seconds, sizes in bytes. No user, device, message or group is ever a label
[GW-OBS-1]; a metric has ${SERIES_LIMIT} combinations of labels at most, what comes beyond counts under \`other\`. Beside these there are the \`process_*\` and \`nodejs_*\` metrics of prom-client.

With \`WORKERS\` above 1 one answer has the lines of all processes, told apart by the label \`worker\`; ${PRIMARY_METRICS.map(code).join(' and ')} are the primary's and are there only then. The ${Object.keys(ERRORS).length} error codes and
the reasons of closes are in [codes.md](codes.md); what moves while a dependency is away is in [degraded.md](degraded.md).

## Counters

${rows(COUNTERS)}

## Gauges

${rows(GAUGES)}

## Histograms

Each has \`_bucket\`, \`_sum\` and \`_count\`; percentiles are \`histogram_quantile(0.99, sum by (le) (rate(${PREFIX}delivery_seconds_bucket[5m])))\`.

${rows(HISTOGRAMS)}
`
}

function rows (metrics: Readonly<Record<string, MetricRow>>): string {
  const hasBuckets = Object.values(metrics).some(({ buckets }) => buckets !== undefined)
  return table(['metric', 'meaning', 'labels', ...(hasBuckets ? ['buckets'] : [])], Object.entries(metrics).map(([name, { help, labels: [label = ''] = [], values, buckets }]) => {
    const labels = Object.entries<string>(values === undefined ? (LABELS as Readonly<Record<string, Readonly<Record<string, string>>>>)[name] ?? {} : { [label]: list(values) })
    return [code(name), help, labels.map(([label, values]) => `${code(label)}: ${values}`).join('; '), ...(hasBuckets ? [(buckets ?? []).join(' ')] : [])]
  }))
}
