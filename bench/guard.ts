/**
 * `npm run bench -- guard`: what the hot paths cost, compared with bench/guard.json: bytes allocated and writes to sockets
 * for each operation, and its CPU as a ratio to a loop of reference in the same process. More than 15 % above: exit code 1.
 * `--update` writes the file anew.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './lib/machine.ts'
import { PATHS, REFERENCE, type Path } from './lib/hot-paths.ts'
import { spreadOf } from './lib/scenario.ts'

/** `cpu`: to that of the reference, by operation. */
interface Cost { readonly bytes: number, readonly writes: number, readonly cpu: number }

type Costs = Record<string, Cost>

const BASELINE = join(ROOT, 'bench/guard.json')
const TOLERANCE = 0.15
/** Allocations below are noise of the counter. */
const SLACK_BYTES = 8
const REPEATS = 15
const HEAP_REPEATS = 3
/** Another process compiles differently, and a machine that is busy shows what is not there: the least of them counts, and the baseline is what is usual. */
const MAX_PROCESSES = 4
/** Collections would hide what was allocated: the young generation holds all of a repeat. */
const CHILD_FLAGS = ['--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=128']

if (process.argv.includes('--measure')) {
  process.stdout.write(JSON.stringify(await measureAll()))
} else {
  process.exitCode = await guard(process.argv.includes('--update'))
}

async function guard (isUpdate: boolean): Promise<number> {
  if (isUpdate) {
    const all: Costs[] = []
    while (all.length <= MAX_PROCESSES) all.push(await measureApart())
    writeFileSync(BASELINE, `${JSON.stringify(medians(all), undefined, 2)}\n`)
    return 0
  }
  const baseline = JSON.parse(readFileSync(BASELINE, 'utf8')) as Costs
  let costs = await measureApart()
  for (let processes = 1; processes < MAX_PROCESSES && faultsOf(costs, baseline).length > 0; processes++) costs = least(costs, await measureApart())
  const faults = faultsOf(costs, baseline)
  for (const [name, { bytes, writes, cpu }] of Object.entries(costs)) {
    const was = baseline[name]
    process.stdout.write(`${name.padEnd(28)} ${String(bytes).padStart(6)} bytes (${was?.bytes ?? '-'})  ${writes} writes (${was?.writes ?? '-'})  cpu ${cpu} (${was?.cpu ?? '-'})\n`)
  }
  for (const fault of faults) process.stdout.write(`FAILED ${fault}\n`)
  const failed = new Set(faults.map((fault) => fault.split(':')[0])).size
  process.stdout.write(`${Object.keys(costs).length - failed} passed, ${failed} failed\n`)
  return faults.length === 0 ? 0 : 1
}

function faultsOf (costs: Costs, baseline: Costs): string[] {
  const faults: string[] = []
  for (const name of new Set([...Object.keys(costs), ...Object.keys(baseline)])) {
    const [is, was] = [costs[name], baseline[name]]
    if (is === undefined || was === undefined) {
      faults.push(`${name}: stands only ${is === undefined ? 'in' : 'outside'} bench/guard.json; --update writes it anew`)
      continue
    }
    if (is.bytes > was.bytes * (1 + TOLERANCE) + SLACK_BYTES) faults.push(`${name}: ${is.bytes} bytes, it was ${was.bytes}`)
    if (is.writes > was.writes) faults.push(`${name}: ${is.writes} writes, it was ${was.writes}`)
    if (is.cpu > was.cpu * (1 + TOLERANCE)) faults.push(`${name}: CPU of ${is.cpu} references, it was ${was.cpu}`)
  }
  return faults
}

function least (a: Costs, b: Costs): Costs {
  return Object.fromEntries(Object.entries(b).map(([name, cost]) => {
    const other = a[name] ?? cost
    return [name, { bytes: Math.min(cost.bytes, other.bytes), writes: Math.min(cost.writes, other.writes), cpu: Math.min(cost.cpu, other.cpu) }]
  }))
}

function medians (all: readonly Costs[]): Costs {
  const of = (name: string, field: keyof Cost): number => spreadOf(all.map((costs) => costs[name]?.[field] ?? NaN)).median
  return Object.fromEntries(PATHS.map(({ name }) => [name, { bytes: of(name, 'bytes'), writes: of(name, 'writes'), cpu: of(name, 'cpu') }]))
}

async function measureApart (): Promise<Costs> {
  const child = spawn(process.execPath, [...CHILD_FLAGS, process.argv[1] as string, '--measure'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => { text += part })
  const [code] = await once(child, 'close') as [number]
  if (code !== 0) throw new Error(`a measurement ended with ${code}`)
  return JSON.parse(text) as Costs
}

async function measureAll (): Promise<Costs> {
  const costs: Costs = {}
  for (const path of PATHS) {
    const reference = await timed(REFERENCE)
    const { ms, bytes, writes } = await timed(path)
    costs[path.name] = { bytes: Math.round(bytes), writes: Number(writes.toFixed(2)), cpu: Number((ms / reference.ms).toFixed(3)) }
  }
  return costs
}

/** Of one operation, the least of all repeats. */
async function timed ({ operations, run, writes }: Path): Promise<{ ms: number, bytes: number, writes: number }> {
  await run(operations)
  let [ms, bytes] = [Infinity, Infinity]
  const before = writes?.() ?? 0
  // Before the collections below, which give pages back that the kernel would have to fill again.
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const started = process.cpuUsage()
    await run(operations)
    const { user, system } = process.cpuUsage(started)
    ms = Math.min(ms, (user + system) / 1000 / operations)
  }
  for (let repeat = 0; repeat < HEAP_REPEATS; repeat++) {
    global.gc?.()
    const heap = process.memoryUsage().heapUsed
    await run(operations)
    bytes = Math.min(bytes, (process.memoryUsage().heapUsed - heap) / operations)
  }
  return { ms, bytes, writes: ((writes?.() ?? 0) - before) / (HEAP_REPEATS + REPEATS) / operations }
}
