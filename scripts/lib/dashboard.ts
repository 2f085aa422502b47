/** deploy/grafana/im-gateway.json: rows of panels, each a title, a unit and its queries, laid out three in a line. */

/** Grafana's names of units. */
type Unit = 'short' | 's' | 'percentunit' | 'ops' | 'bytes' | 'Bps' | 'bool'
type Query = readonly [expression: string, legend: string]
interface Panel {
  readonly title: string
  readonly unit: Unit
  readonly queries: readonly Query[]
  readonly about?: string
  /** Drawn as a red line. */
  readonly limit?: number
}
interface Row { readonly title: string, readonly panels: readonly Panel[] }

const JOB = 'job=~"$job"'
/** What a node says of itself. */
const NODE = `${JOB},instance=~"$instance"`

function metric (name: string, labels = ''): string {
  return `im_gateway_${name}{${NODE}${labels === '' ? '' : `,${labels}`}}`
}

/** Of a counter: a second, summed by these labels. */
function rate (name: string, by: string, labels = ''): string {
  return `sum by (${by}) (rate(${metric(name, labels)}[$__rate_interval]))`
}

function quantiles (name: string, by = ''): Query[] {
  const legend = by === '' ? '' : ` {{${by}}}`
  return [0.5, 0.95, 0.99].map((quantile): Query => [
    `histogram_quantile(${quantile}, sum by (le${by === '' ? '' : `, ${by}`}) (rate(${metric(`${name}_bucket`)}[$__rate_interval])))`, `P${quantile * 100}${legend}`
  ])
}

function last (name: string, by = ''): Query {
  const legend = by === '' ? '{{instance}}' : `{{instance}} {{${by}}}`
  return [metric(name), legend]
}

export const ROWS: readonly Row[] = [
  {
    title: 'Service levels',
    panels: [
      { title: 'Slow deliveries', unit: 'percentunit', limit: 0.01, about: 'Share of the acknowledged deliveries that took more than 200 ms; 1% may.', queries: [[`job:im_gateway_deliveries_slow:ratio_5m{${JOB}}`, '5 min'], [`job:im_gateway_deliveries_slow:ratio_1h{${JOB}}`, '1 h'], [`job:im_gateway_deliveries_slow:ratio_3d{${JOB}}`, '3 days']] },
      { title: 'Failed pushes', unit: 'percentunit', limit: 0.0001, about: 'Share of the pushes that were refused, or whose node was not reached; 0.01% may.', queries: [[`job:im_gateway_pushes_failed:ratio_5m{${JOB}}`, '5 min'], [`job:im_gateway_pushes_failed:ratio_1h{${JOB}}`, '1 h'], [`job:im_gateway_pushes_failed:ratio_3d{${JOB}}`, '3 days']] },
      { title: 'Ack time-outs', unit: 'percentunit', limit: 0.05, about: 'Share of what was written to devices and not acknowledged in time; 5% may.', queries: [[`job:im_gateway_ack_timeouts:ratio_15m{${JOB}}`, '15 min']] },
      { title: 'Delivery, 99th percentile', unit: 's', limit: 0.2, queries: [[`job:im_gateway_delivery_seconds:p99_5m{${JOB}}`, '{{job}}']] },
      { title: 'Nodes', unit: 'short', queries: [[`count by (version) (im_gateway_build_info{${NODE}})`, '{{version}}'], [`sum(${metric('ready')})`, 'ready'], [`sum(${metric('draining')})`, 'draining']] },
      { title: 'Alerts', unit: 'short', queries: [['count by (alertname, alertstate) (ALERTS{alertname=~"ImGateway.+"})', '{{alertname}} {{alertstate}}']] }
    ]
  },
  {
    title: 'Clients',
    panels: [
      { title: 'Connections', unit: 'short', queries: [last('connections'), [`sum(${metric('connections')})`, 'all']] },
      { title: 'Users', unit: 'short', queries: [last('users')] },
      { title: 'Come and go', unit: 'ops', queries: [[`sum(rate(${metric('connections_opened_total')}[$__rate_interval]))`, 'opened'], [rate('connections_closed_total', 'reason'), 'closed: {{reason}}']] },
      { title: 'Refused handshakes', unit: 'ops', queries: [[rate('handshake_failures_total', 'reason'), '{{reason}}']] },
      { title: 'Handshake', unit: 's', queries: quantiles('handshake_seconds') },
      { title: 'Handshakes under way', unit: 'short', queries: [last('pending_handshakes')] },
      { title: 'Token checks', unit: 'ops', queries: [[rate('auth_checks_total', 'by, result'), '{{by}} {{result}}']] },
      { title: 'Frames from clients', unit: 'ops', queries: [[rate('frames_in_total', 'type'), '{{type}}'], [rate('rate_limited_total', 'type'), 'refused: {{type}}'], [`sum(rate(${metric('frames_dropped_total')}[$__rate_interval]))`, 'dropped']] },
      { title: 'Frames to clients', unit: 'ops', queries: [[rate('frames_out_total', 'type'), '{{type}}']] },
      { title: 'Bytes to clients', unit: 'Bps', queries: [[rate('bytes_written_total', 'instance'), '{{instance}}']] },
      { title: 'Outboxes', unit: 'bytes', queries: [last('outbox_bytes')] },
      { title: 'Slow readers closed', unit: 'ops', queries: [[rate('evictions_total', 'limit'), '{{limit}}']] }
    ]
  },
  {
    title: 'Messages',
    panels: [
      { title: 'Sends', unit: 'ops', queries: [[rate('messages_routed_total', 'kind, result'), '{{kind}} {{result}}']] },
      { title: 'Send, from frame to ack', unit: 's', queries: quantiles('send_seconds') },
      { title: 'Sends under way', unit: 'short', queries: [last('sends_in_flight')] },
      { title: 'Pushes by outcome', unit: 'ops', queries: [[rate('push_outcomes_total', 'outcome'), '{{outcome}}']] },
      { title: 'Pushes refused', unit: 'ops', queries: [[rate('pushes_refused_total', 'status'), '{{status}}']] },
      { title: 'Delivery, from push to ack', unit: 's', limit: 0.2, queries: quantiles('delivery_seconds') },
      { title: 'Pushes that wait', unit: 'short', queries: [last('pending_pushes')] },
      { title: 'Acks without effect', unit: 'ops', queries: [[rate('acks_ignored_total', 'kind'), '{{kind}}']] }
    ]
  },
  {
    title: 'Groups',
    panels: [
      { title: 'Records', unit: 'ops', queries: [[rate('group_records_total', 'topic, result'), '{{topic}} {{result}}']] },
      { title: 'Deliveries', unit: 'ops', queries: [[rate('group_deliveries_total', 'instance'), '{{instance}}']] },
      { title: 'Kafka lag', unit: 'short', limit: 1000, queries: [last('kafka_lag', 'topic')] },
      { title: 'Fan-out, from record to last write', unit: 's', queries: quantiles('fanout_seconds') },
      { title: 'Receivers of a record, 99th percentile', unit: 'short', queries: [[`histogram_quantile(0.99, sum by (le) (rate(${metric('fanout_members_bucket')}[$__rate_interval])))`, 'P99']] },
      { title: 'Records that wait for members', unit: 'short', queries: [last('waiting_group_records')] },
      { title: 'Found in caches', unit: 'percentunit', queries: [[`${rate('cache_requests_total', 'cache', 'result="hit"')} / ${rate('cache_requests_total', 'cache')}`, '{{cache}}']] },
      { title: 'Member cache', unit: 'bytes', queries: [last('membership_bytes')] },
      { title: 'Consumer restarts', unit: 'ops', queries: [[rate('kafka_restarts_total', 'instance'), '{{instance}}']] }
    ]
  },
  {
    title: 'Dependencies',
    panels: [
      { title: 'Away', unit: 'bool', queries: [last('degraded', 'dependency')] },
      { title: 'Breakers', unit: 'short', about: '0 closed, 1 half open, 2 open', queries: [last('breaker_state', 'service')] },
      { title: 'Second attempts', unit: 'ops', queries: [[rate('upstream_retries_total', 'service'), '{{service}}']] },
      { title: 'Upstream calls', unit: 'ops', queries: [[rate('upstream_seconds_count', 'service, method'), '{{service}} {{method}}']] },
      { title: 'Upstream calls, duration', unit: 's', queries: quantiles('upstream_seconds', 'service') },
      { title: 'etcd transactions, duration', unit: 's', queries: quantiles('registry_seconds') },
      { title: 'etcd transactions', unit: 'ops', queries: [[rate('registry_transactions_total', 'result'), '{{result}}']] },
      { title: 'Registry operations', unit: 'ops', queries: [[rate('registry_operations_total', 'operation, result'), '{{operation}} {{result}}']] },
      { title: 'Registered sessions', unit: 'short', queries: [last('registry_sessions'), [metric('registry_repairs'), '{{instance}} to repair']] },
      { title: 'Watch is followed', unit: 'bool', queries: [last('registry_watch_live')] },
      { title: 'Leases', unit: 'short', queries: [last('registry_leases')] },
      { title: 'Sessions closed by the registry', unit: 'ops', queries: [[rate('registry_verdicts_total', 'verdict'), '{{verdict}}']] }
    ]
  },
  {
    title: 'Capacity and drain',
    panels: [
      { title: 'Limits in use', unit: 'percentunit', limit: 1, about: 'From 1 on a node refuses connections.', queries: [last('limit_used_ratio', 'limit')] },
      { title: 'Event-loop delay', unit: 's', limit: 0.05, queries: [last('event_loop_delay_seconds')] },
      { title: 'CPU', unit: 'percentunit', about: '1 is a whole core, and a process uses one.', queries: [[`rate(process_cpu_seconds_total{${NODE}}[$__rate_interval])`, '{{instance}} {{worker}}']] },
      { title: 'Memory', unit: 'bytes', queries: [[`process_resident_memory_bytes{${NODE}}`, '{{instance}} {{worker}}']] },
      { title: 'Heap in use', unit: 'bytes', queries: [[`nodejs_heap_size_used_bytes{${NODE}}`, '{{instance}} {{worker}}']] },
      { title: 'Open files', unit: 'percentunit', limit: 0.85, queries: [[`process_open_fds{${NODE}} / process_max_fds{${NODE}}`, '{{instance}} {{worker}}']] },
      { title: 'Connections that a drain has still to close', unit: 'short', queries: [last('drain_remaining')] },
      { title: 'Closes a second of a drain', unit: 'ops', queries: [last('drain_closes_per_second')] },
      { title: 'Handshakes a second that nodes can take', unit: 'ops', queries: [last('connects_per_second')] }
    ]
  }
]

const COLUMNS = 3
const WIDTH = 24 / COLUMNS
const HEIGHT = 8
const DATASOURCE = { type: 'prometheus', uid: '$datasource' }

/** The whole dashboard as Grafana imports it. */
export function dashboard (): object {
  const panels: object[] = []
  let y = 0
  for (const { title, panels: own } of ROWS) {
    panels.push({ id: panels.length + 1, type: 'row', title, collapsed: false, panels: [], gridPos: { x: 0, y: y++, w: 24, h: 1 } })
    for (const [at, panel] of own.entries()) {
      panels.push(graph(panel, panels.length + 1, { x: at % COLUMNS * WIDTH, y: y + Math.floor(at / COLUMNS) * HEIGHT, w: WIDTH, h: HEIGHT }))
    }
    y += Math.ceil(own.length / COLUMNS) * HEIGHT
  }
  return {
    uid: 'im-gateway',
    title: 'IM Gateway',
    tags: ['im-gateway'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    timezone: 'browser',
    templating: {
      list: [
        { type: 'datasource', name: 'datasource', label: 'Prometheus', query: 'prometheus', hide: 0 },
        variable('job', 'Job', 'label_values(im_gateway_build_info, job)'),
        variable('instance', 'Node', 'label_values(im_gateway_build_info{job=~"$job"}, instance)')
      ]
    },
    annotations: { list: [] },
    panels
  }
}

function variable (name: string, label: string, query: string): object {
  return { type: 'query', name, label, datasource: DATASOURCE, definition: query, query: { query, refId: name }, refresh: 2, sort: 1, multi: true, includeAll: true, allValue: '.+', current: { text: 'All', value: '$__all' }, hide: 0 }
}

function graph ({ title, unit, queries, about, limit }: Panel, id: number, gridPos: object): object {
  const steps = [{ color: 'green', value: null }, ...(limit === undefined ? [] : [{ color: 'red', value: limit }])]
  return {
    id,
    type: 'timeseries',
    title,
    ...(about !== undefined && { description: about }),
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        custom: { drawStyle: 'line', lineWidth: 1, fillOpacity: 10, showPoints: 'never', thresholdsStyle: { mode: limit === undefined ? 'off' : 'line' } },
        thresholds: { mode: 'absolute', steps }
      },
      overrides: []
    },
    options: { legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: queries.map(([expr, legendFormat], at) => ({ refId: String.fromCharCode(65 + at), datasource: DATASOURCE, expr, legendFormat, editorMode: 'code', range: true }))
  }
}
