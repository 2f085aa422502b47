/** The rules of deploy/prometheus/, and which series there are for them and for the dashboard to ask for. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { parse } from 'yaml'
import { COUNTERS, GAUGES, HISTOGRAMS, type MetricRow } from '../../src/metrics.ts'

export interface Alert { readonly alert: string, readonly expr: string, readonly labels: { readonly severity: string }, readonly annotations: { readonly summary: string, readonly runbook_url: string } }
export interface Recording { readonly record: string, readonly expr: string }

export const RULES_FILE = join(import.meta.dirname, '../../deploy/prometheus/im-gateway.rules.yaml')
const { groups } = parse(readFileSync(RULES_FILE, 'utf8')) as { readonly groups: ReadonlyArray<{ readonly rules: ReadonlyArray<Alert | Recording> }> }
const rules = groups.flatMap((group) => group.rules)
export const ALERTS: readonly Alert[] = rules.filter((rule) => 'alert' in rule)
export const RECORDINGS: readonly Recording[] = rules.filter((rule) => 'record' in rule)

/** What Prometheus and Kubernetes put on every series, and several workers. */
const TARGET_LABELS = ['namespace', 'job', 'instance', 'worker']
const OURS = /^(?:im_gateway_|job:|process_|nodejs_)/
const SERIES = seriesOfAGateway()

/** A series of an expression, with its matchers in braces where it has any. */
export interface Selector { readonly name: string, readonly text: string, readonly labels: readonly string[] }

/** Those that come from a gateway or are recorded of it, in order. */
export function selectors (expression: string): Selector[] {
  return [...expression.matchAll(/([a-z_:][\w:]*)(\{[^}]*\})?/gi)]
    .map(([text, name = '', matchers = '']) => ({ name, text, labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label) }))
    .filter(({ name }) => OURS.test(name))
}

/** Series of an expression that nobody exposes or records, and labels that they do not have. */
export function strangers (expression: string): string[] {
  return selectors(expression).flatMap(({ name, labels }) => {
    const own = SERIES.get(name)
    return own === undefined ? [name] : labels.filter((label) => !own.includes(label) && !TARGET_LABELS.includes(label)).map((label) => `${name}{${label}}`)
  })
}

/** Labels by the name of the series. */
function seriesOfAGateway (): Map<string, readonly string[]> {
  const series = new Map<string, readonly string[]>()
  for (const [name, { labels = [] }] of Object.entries({ ...COUNTERS, ...GAUGES }) as Array<[string, MetricRow]>) series.set(`im_gateway_${name}`, labels)
  for (const [name, { labels = [] }] of Object.entries(HISTOGRAMS) as Array<[string, MetricRow]>) {
    for (const suffix of ['_bucket', '_sum', '_count']) series.set(`im_gateway_${name}${suffix}`, suffix === '_bucket' ? [...labels, 'le'] : labels)
  }
  for (const { record } of RECORDINGS) series.set(record, [])
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const { name } of registry.getMetricsAsArray()) series.set(name, [])
  return series
}
