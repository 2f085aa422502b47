/** Owns the metrics: a registry of its own over the store that the gateway counts in; decorates `meter` and `metrics`. */
import fp from 'fastify-plugin'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { COUNTERS, GAUGES, HISTOGRAMS, PRIMARY_METRICS, type CounterName, type GaugeName, type HistogramName, type MetricRow } from '../src/metrics.ts'
import { MetricStore, type Sample } from '../src/metric-store.ts'
import { DELAY_RESOLUTION_MS } from '../src/overload.ts'
import type { Meter } from '../src/ports.ts'
import type { MetricFamily } from '../src/workers/merge.ts'

declare module 'fastify' {
  interface FastifyInstance {
    meter: Meter
    metrics: {
      /** All metrics in the Prometheus text format. */
      expose (): Promise<string>
      /** The same before it is text, to be merged with others. */
      families (): Promise<MetricFamily[]>
    }
  }
}

export interface MetricsOptions {
  readonly version: string
  /** Whether metrics of the process and of Node are exposed as well. */
  readonly processMetrics: boolean
  /** Which of several processes this is; a label on every line. */
  readonly worker?: string | undefined
  /** The primary of several processes has metrics of its own, and none of a node. */
  readonly isPrimary?: boolean
}

export const PREFIX = 'im_gateway_'

export default fp<MetricsOptions>(async function metrics (fastify, options) {
  const registry = new Registry()
  const store = new MetricStore()
  const rows = (table: Readonly<Record<string, MetricRow>>): Array<[string, MetricRow]> => {
    return Object.entries(table).filter(([name]) => PRIMARY_METRICS.includes(name) === (options.isPrimary ?? false))
  }
  if (options.worker !== undefined) registry.setDefaultLabels({ worker: options.worker })
  for (const [name, row] of rows(COUNTERS)) expose(new Counter(shape(name, row, registry)), () => store.counterSamples(name as CounterName))
  for (const [name, row] of rows(GAUGES)) expose(new Gauge(shape(name, row, registry)), () => store.gaugeSamples(name as GaugeName))
  for (const [name, row] of rows(HISTOGRAMS)) expose(new Histogram(shape(name, row, registry)), () => store.histogramSamples(name as HistogramName))
  store.set('build_info', 1, options.version, process.version)
  if (options.processMetrics) collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: DELAY_RESOLUTION_MS })

  fastify.decorate('meter', store)
  fastify.decorate('metrics', {
    expose: async () => await registry.metrics(),
    families: async () => await registry.getMetricsAsJSON() as unknown as MetricFamily[]
  })
  fastify.addHook('onClose', async () => { registry.clear() })
}, { name: 'metrics', fastify: '5.x' })

function shape (name: string, row: MetricRow, registry: Registry): { name: string, help: string, labelNames: readonly string[], registers: Registry[] } {
  return { name: PREFIX + name, help: row.help, labelNames: row.labels ?? [], registers: [registry] }
}

/** Lets the library ask the store: what it would keep itself hashes a label object at every count. */
function expose (metric: Counter | Gauge | Histogram, samples: () => readonly Sample[]): void {
  const { name, help, type } = metric as unknown as { name: string, help: string, type: string }
  const get = async (): Promise<object> => ({
    name,
    help,
    type,
    values: samples().map(({ suffix, labels, value }) => ({ metricName: name + suffix, labels, value }))
  })
  Object.assign(metric, { get, getForPromString: get })
}
