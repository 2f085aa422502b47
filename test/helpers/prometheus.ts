/** A real Prometheus that scrapes and evaluates each second; it ends with the test. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { freePort } from './free-port.ts'
import { startProgram, tools } from './program.ts'

export interface PrometheusOptions {
  readonly job: string
  /** `host:port` of what is scraped. */
  readonly targets: readonly string[]
  readonly rules: string
}

/** A line of a range: seconds and values, as text. */
export interface Line { readonly metric: Readonly<Record<string, string>>, readonly values: ReadonlyArray<readonly [atS: number, value: string]> }
export interface RuleState { readonly name: string, readonly health: string, readonly lastError?: string }

const STEP_S = 1

/** Resolves once it serves. */
export async function startPrometheus (t: Test, { job, targets, rules }: PrometheusOptions): Promise<Prometheus> {
  const folder = t.testdir({})
  const file = join(folder, 'prometheus.yaml')
  writeFileSync(file, stringify({
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: [rules],
    scrape_configs: [{ job_name: job, static_configs: [{ targets }] }]
  }))
  const port = await freePort()
  const prometheus = new Prometheus(`http://127.0.0.1:${port}`)
  await startProgram(t, join(tools('prometheus'), 'prometheus'), [`--config.file=${file}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`], () => prometheus.isReady())
  return prometheus
}

export class Prometheus {
  readonly #url: string
  readonly #startedS = Date.now() / 1000

  constructor (url: string) {
    this.#url = url
  }

  async isReady (): Promise<boolean> {
    return await fetch(`${this.#url}/-/ready`).then(({ ok }) => ok, () => false)
  }

  /** What a graph of everything since the start would show. Rejects with Prometheus' own words where the query is wrong. */
  async range (query: string): Promise<Line[]> {
    const { result } = await this.#ask('query_range', { query, start: this.#startedS, end: Date.now() / 1000, step: STEP_S }) as { result: Line[] }
    return result
  }

  async rules (): Promise<RuleState[]> {
    const { groups } = await this.#ask('rules', {}) as { groups: ReadonlyArray<{ rules: RuleState[] }> }
    return groups.flatMap((group) => group.rules)
  }

  async #ask (what: string, parameters: Readonly<Record<string, string | number>>): Promise<unknown> {
    const query = new URLSearchParams(Object.entries(parameters).map(([name, value]): [string, string] => [name, String(value)]))
    const response = await fetch(`${this.#url}/api/v1/${what}?${query.toString()}`)
    const { data, error } = await response.json() as { data: unknown, error?: string }
    if (error !== undefined) throw new Error(error)
    return data
  }
}
