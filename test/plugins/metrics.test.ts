import fastify from 'fastify'
import t, { type Test } from 'tap'
import metrics from '../../plugins/metrics.ts'
import metricsRoute from '../../routes/metrics.ts'
import { exposition } from '../../plugins/lib/exposition.ts'
import { COUNTERS, GAUGES, HISTOGRAMS, PRIMARY_METRICS } from '../../src/metrics.ts'
import { SERIES_LIMIT } from '../../src/metric-store.ts'
import { mergeMetrics } from '../../src/workers/merge.ts'

async function app (t: Test, processMetrics = false, who: { worker?: string, isPrimary?: boolean } = {}) {
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(metrics, { version: '1.2.3', processMetrics, ...who })
  await app.register(metricsRoute, { status: { metrics: app.metrics.expose } })
  const scrape = async () => (await app.inject('/metrics')).body
  return { app, meter: app.meter, scrape }
}

/** Samples by `name{labels}`; comments and blank lines are checked and left out. */
function parse (text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const typed = new Set<string>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const type = /^# TYPE (\w+) (counter|gauge|histogram|summary)$/.exec(line)
    if (type !== null) {
      if (typed.has(type[1] as string)) throw new Error(`typed twice: ${line}`)
      typed.add(type[1] as string)
    }
    if (line.startsWith('#')) continue
    const sample = /^([a-z_:][a-z0-9_:]*)((?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)$/i.exec(line)
    if (sample === null) throw new Error(`not a sample: ${line}`)
    const key = `${sample[1]}${sample[2]}`
    if (samples.has(key)) throw new Error(`told twice: ${key}`)
    samples.set(key, Number(sample[3] === '+Inf' ? Infinity : sample[3]))
  }
  return samples
}

t.test('[GW-OBS-1] every metric of the table is exposed with its prefix, and what was counted is told', async (t) => {
  const { app: server, meter, scrape } = await app(t)
  meter.count('frames_in_total', 1, 'send_msg')
  meter.count('frames_in_total', 2, 'send_msg')
  meter.count('messages_routed_total', 1, 'private', 'ok')
  meter.count('evictions_total', 3, 'a"b\\c')
  meter.set('ready', 1)
  meter.source('connections', () => 7)
  meter.source('degraded', () => 1, 'etcd')
  meter.source('outbox_bytes', () => { throw new Error('gone') })
  const text = await scrape()
  const samples = parse(text)
  t.equal(samples.get('im_gateway_frames_in_total{type="send_msg"}'), 3)
  t.equal(samples.get('im_gateway_messages_routed_total{kind="private",result="ok"}'), 1)
  t.equal(samples.get('im_gateway_evictions_total{limit="a\\"b\\\\c"}'), 3)
  t.equal(samples.get('im_gateway_ready'), 1)
  t.equal(samples.get('im_gateway_connections'), 7)
  t.equal(samples.get('im_gateway_degraded{dependency="etcd"}'), 1)
  t.ok(Number.isNaN(samples.get('im_gateway_outbox_bytes')))
  t.equal(samples.get(`im_gateway_build_info{version="1.2.3",node="${process.version}"}`), 1)
  t.equal(samples.get('im_gateway_connections_opened_total'), 0, 'a counter without labels is there from the start')
  for (const name of [...Object.keys(COUNTERS), ...Object.keys(GAUGES), ...Object.keys(HISTOGRAMS)]) {
    t.equal(new RegExp(`^# TYPE im_gateway_${name} `, 'm').test(text), !PRIMARY_METRICS.includes(name), name)
  }
  t.match((await server.inject('/metrics')).headers['content-type'], /^text\/plain; version=0\.0\.4/)
})

t.test('[GW-OBS-1] histograms are cumulative, in seconds, and count what is above their buckets', async (t) => {
  const { meter, scrape } = await app(t)
  for (const seconds of [0.001, 0.0011, 0.15, 60, NaN]) meter.observe('send_seconds', seconds)
  meter.observe('upstream_seconds', 0.3, 'im', 'RoutePrivateMessage')
  const samples = parse(await scrape())
  t.equal(samples.get('im_gateway_send_seconds_bucket{le="0.001"}'), 1, 'a bound belongs to its bucket')
  t.equal(samples.get('im_gateway_send_seconds_bucket{le="0.0025"}'), 2)
  t.equal(samples.get('im_gateway_send_seconds_bucket{le="0.2"}'), 3)
  t.equal(samples.get('im_gateway_send_seconds_bucket{le="5"}'), 3)
  t.equal(samples.get('im_gateway_send_seconds_bucket{le="+Inf"}'), 4)
  t.equal(samples.get('im_gateway_send_seconds_count'), 4)
  t.equal(samples.get('im_gateway_send_seconds_sum'), 60.1521)
  t.equal(samples.get('im_gateway_upstream_seconds_bucket{service="im",method="RoutePrivateMessage",le="0.5"}'), 1)
})

t.test('[GW-OBS-1] no label is an id, names end as their kind demands, and no input grows the series without bound', async (t) => {
  for (const [name, row] of Object.entries({ ...COUNTERS, ...GAUGES, ...HISTOGRAMS }) as Array<[string, { labels?: readonly string[] }]>) {
    for (const label of row.labels ?? []) t.notMatch(label, /user|device|message|msg|group|conn|ip$|address|token|_id$|^id$/, `${name} ${label}`)
  }
  for (const name of Object.keys(COUNTERS)) t.match(name, /^[a-z_]+_total$/)
  for (const name of Object.keys(HISTOGRAMS)) t.match(name, /_(seconds|members|operations)$/)
  for (const name of Object.keys(GAUGES)) t.notMatch(name, /_total$/)

  const { meter, scrape } = await app(t)
  for (let at = 0; at < 10_000; at++) {
    meter.count('connections_closed_total', 1, `reason-${at}`)
    meter.count('messages_routed_total', 1, `kind-${at}`, 'ok')
  }
  const samples = parse(await scrape())
  t.ok(samples.size < 500, `${samples.size} series`)
  t.equal(samples.get('im_gateway_connections_closed_total{reason="other"}'), 10_000 + COUNTERS.connections_closed_total.values.length - SERIES_LIMIT)
  t.equal(samples.get('im_gateway_messages_routed_total{kind="other",result="other"}'), 10_000 - SERIES_LIMIT)
})

t.test('[GW-OBS-1] the first count under a label of a closed set is an increase: each is told as 0 before', async (t) => {
  const { meter, scrape } = await app(t)
  const before = parse(await scrape())
  const closed = Object.entries(COUNTERS).flatMap(([name, row]) => 'values' in row ? row.values.map((value) => `im_gateway_${name}{${row.labels[0]}="${value}"}`) : [])
  for (const series of closed) t.equal(before.get(series), 0, series)
  t.ok(closed.includes('im_gateway_push_outcomes_total{outcome="UNREACHABLE"}'))
  t.ok(closed.length < 64, `${closed.length} series that count nothing yet`)
  meter.count('push_outcomes_total', 1, 'UNREACHABLE')
  const after = parse(await scrape())
  t.equal(after.get('im_gateway_push_outcomes_total{outcome="UNREACHABLE"}'), 1)
  t.equal(after.size, before.size, 'no series is new')
})

t.test('metrics of the process come on demand, and two apps do not share anything', async (t) => {
  const [a, b] = [await app(t, true), await app(t)]
  a.meter.count('connections_opened_total')
  t.match(await a.scrape(), /^process_resident_memory_bytes /m)
  const other = await b.scrape()
  t.notMatch(other, /^process_/m)
  t.equal(parse(other).get('im_gateway_connections_opened_total'), 0)
})

t.test('[GW-OBS-1] several workers are told as one text, each line with its worker', async (t) => {
  const nodes = [await app(t, true, { worker: '0' }), await app(t, true, { worker: '1' })] as const
  const primary = await app(t, true, { worker: 'primary', isPrimary: true })
  nodes[0].meter.count('frames_in_total', 2, 'send_msg')
  nodes[1].meter.count('frames_in_total', 3, 'send_msg')
  nodes[1].meter.observe('handshake_seconds', 0.02)
  primary.meter.source('workers', () => 2)
  const families = await Promise.all([primary, ...nodes].map(({ app }) => app.metrics.families()))
  // As they come from another process.
  const samples = parse(await exposition(mergeMetrics(structuredClone(families))))
  t.equal(samples.get('im_gateway_frames_in_total{type="send_msg",worker="0"}'), 2)
  t.equal(samples.get('im_gateway_frames_in_total{type="send_msg",worker="1"}'), 3)
  t.equal(samples.get('im_gateway_handshake_seconds_bucket{le="0.025",worker="1"}'), 1)
  t.equal(samples.get('im_gateway_workers{worker="primary"}'), 2)
  t.notOk(samples.has('im_gateway_connections{worker="primary"}'), 'the primary holds none')
  for (const worker of ['0', '1', 'primary']) t.ok((samples.get(`process_cpu_seconds_total{worker="${worker}"}`) ?? 0) > 0)
})
