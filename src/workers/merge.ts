/** What the workers say, as one answer. */
import type { DrainPhase, DrainProgress } from '../connections/drain.ts'
import type { DependencyReport, HealthReport } from '../health.ts'
import { mergeExplanations, unanswered, type Explanation } from '../explain/explanation.ts'
import type { ConnectionList } from '../operations.ts'

/** A metric with its lines, as prom-client says it in JSON. */
export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly values: ReadonlyArray<{ readonly metricName?: string, readonly labels: Readonly<Record<string, string | number>>, readonly value: number }>
}

/** What one of them answered; undefined: nothing, in time. */
export interface Answer<T> { readonly worker: string, readonly value: T | undefined }

export interface WorkerHealth { readonly worker: string, readonly ready: boolean, readonly phase: HealthReport['phase'] | 'unresponsive', readonly reason?: string }

/**
 * Ready as long as one of them is: the port is open, and whoever is refused by one comes to another. The dependencies are
 * told as the worst of them sees each.
 */
export function mergeHealth (answers: ReadonlyArray<Answer<HealthReport>>, since: string): HealthReport & { readonly workers: readonly WorkerHealth[] } {
  const workers = answers.map(({ worker, value }): WorkerHealth => value === undefined
    ? { worker, ready: false, phase: 'unresponsive' }
    : { worker, ready: value.ready, phase: value.phase, ...(value.reason !== undefined && { reason: value.reason }) })
  const reports = answers.flatMap(({ worker, value }) => value === undefined ? [] : [{ worker, ...value }])
  const first = reports.find(({ ready }) => ready) ?? reports[0]
  const dependencies: Record<string, DependencyReport> = {}
  for (const { worker, dependencies: own } of reports) {
    for (const [name, entry] of Object.entries(own)) {
      const other = dependencies[name]
      if (other !== undefined && SEVERITY[other.state] >= SEVERITY[entry.state]) continue
      dependencies[name] = entry.detail === undefined ? entry : { ...entry, detail: `${entry.detail} (${worker})` }
    }
  }
  const reason = first?.ready === true ? undefined : first?.reason ?? 'no worker answers'
  return {
    ready: reason === undefined, phase: first?.phase ?? 'starting', ...(reason !== undefined && { reason }), since: first?.since ?? since, dependencies, workers
  }
}

const SEVERITY: Readonly<Record<DependencyReport['state'], number>> = { up: 0, unknown: 1, down: 2 }

/** In the order of a drain: together the workers are as far as the one that is furthest behind. */
const PHASES: readonly DrainPhase[] = ['off', 'delay', 'closing', 'held']

export function mergeDrain (answers: ReadonlyArray<Answer<DrainProgress>>): DrainProgress & { readonly workers: ReadonlyArray<{ readonly worker: string } & DrainProgress>, readonly unanswered?: readonly string[] } {
  const told = answers.flatMap(({ value }) => value === undefined ? [] : [value])
  const sum = (field: 'total' | 'closed' | 'remaining' | 'closesPerSecond'): number => told.reduce((total, progress) => total + (progress[field] ?? 0), 0)
  const times = (field: 'startedAt' | 'deadlineAt'): number[] => told.flatMap((progress) => progress[field] ?? [])
  const offers = told.flatMap(({ offeredPerSecond }) => offeredPerSecond ?? [])
  return {
    phase: PHASES[Math.min(...told.map(({ phase }) => PHASES.indexOf(phase)))] ?? 'off',
    total: sum('total'),
    closed: sum('closed'),
    remaining: sum('remaining'),
    closesPerSecond: sum('closesPerSecond'),
    ...(offers.length > 0 && { offeredPerSecond: offers.reduce((total, offer) => total + offer, 0) }),
    ...(times('startedAt').length > 0 && { startedAt: Math.min(...times('startedAt')), deadlineAt: Math.max(...times('deadlineAt')) }),
    workers: answers.flatMap(({ worker, value }) => value === undefined ? [] : [{ worker, ...value }]),
    ...silent(answers)
  }
}

export function mergeConnections (answers: ReadonlyArray<Answer<ConnectionList>>, limit: number): ConnectionList {
  const connections = answers.flatMap(({ value }) => value?.connections ?? []).slice(0, limit)
  return { total: answers.reduce((total, { value }) => total + (value?.total ?? 0), 0), listed: connections.length, connections, ...silent(answers) }
}

/** Names those that did not answer, if any: what they know is missing. */
function silent (answers: ReadonlyArray<Answer<unknown>>): { readonly unanswered?: readonly string[] } {
  const names = answers.flatMap(({ worker, value }) => value === undefined ? [worker] : [])
  return names.length === 0 ? {} : { unanswered: names }
}

/** Each worker is a node of its own; `elsewhere`: what one of them heard of the nodes beside them. */
export function mergeExplained (answers: ReadonlyArray<Answer<Explanation>>, elsewhere: Explanation | undefined): Explanation {
  const own = answers.map(({ worker, value }) => value ?? unanswered(worker))
  return mergeExplanations(elsewhere === undefined ? own : [...own, elsewhere])
}

/** The lines of each metric under one head; they are told apart by their `worker` label. */
export function mergeMetrics (families: ReadonlyArray<readonly MetricFamily[]>): MetricFamily[] {
  const merged = new Map<string, MetricFamily>()
  for (const family of families.flat()) {
    const known = merged.get(family.name)
    merged.set(family.name, known === undefined ? family : { ...known, values: [...known.values, ...family.values] })
  }
  return [...merged.values()]
}
