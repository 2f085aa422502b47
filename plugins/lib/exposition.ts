/** Metrics of several processes as one text. */
import { Registry } from 'prom-client'
import type { MetricFamily } from '../../src/workers/merge.ts'

/** The Prometheus text format; each metric's name has to stand there once. */
export async function exposition (families: readonly MetricFamily[]): Promise<string> {
  const registry = new Registry()
  // All that the library asks of a metric when it writes it.
  for (const family of families) registry.registerMetric({ ...family, get: async () => family } as never)
  return await registry.metrics()
}
