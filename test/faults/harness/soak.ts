/**
 * Traffic at half of what this machine carries, and each 30 s a fault that the seed draws. After each the traffic rests
 * until all is as it was, the invariants are asserted of what happened since the last one, and each node is looked into.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { USERS } from '../../../src/registry/records.ts'
import { eventually } from '../../helpers/bus-conformance.ts'
import { BOUNDS, check, gaps } from './checker.ts'
import type { FaultWorld } from './fault-world.ts'
import { insides } from './inspect.ts'
import { openFiles } from './process-figures.ts'
import { isTrue } from './registry-truth.ts'
import { growthPerHour } from './slope.ts'
import { MORTAL, SOAK_FAULTS } from './soak-faults.ts'
import { waysIn } from './ways-in.ts'

export interface SoakSample {
  readonly minute: number
  readonly node: string
  readonly connections: number
  readonly heapBytes: number
  readonly timers: number
  readonly files: number
}

/** Growth an hour by least squares, of the nodes that lived through it all. */
export interface SoakGrowth { readonly node: string, readonly heapPercent: number, readonly timers: number, readonly files: number }

export interface SoakReport {
  readonly date: string
  readonly seed: number
  readonly minutes: number
  readonly warmUpMinutes: number
  readonly people: number
  /** Messages a second that were carried when nothing else was done. */
  readonly capacity: number
  readonly perSecond: number
  readonly acknowledged: number
  readonly lost: number
  readonly duplicates: number
  readonly outOfOrder: number
  readonly faults: ReadonlyArray<{ readonly minute: number, readonly name: string, readonly seconds: number }>
  readonly samples: readonly SoakSample[]
  readonly growth: readonly SoakGrowth[]
}

export interface SoakOptions { readonly durationMs: number, readonly patienceMs: number }

const SIZES = { people: 300, groups: 15, groupSize: 20 }
const FAULT_EACH_MS = 30_000
/** Far more than any machine carries: as many are written as are accepted. */
const FLAT_OUT = 20_000
const CAPACITY_MS = 10_000
/** Caches fill and code is compiled. */
const warmUpOf = (durationMs: number): number => Math.min(600_000, durationMs / 4)
const HELD: ReadonlyArray<readonly [name: 'heapPercent' | 'timers' | 'files', of: (sample: SoakSample) => number]> = [['heapPercent', ({ heapBytes }) => heapBytes], ['timers', ({ timers }) => timers], ['files', ({ files }) => files]]

/** `t` fails by the name of the fault where an invariant does not hold after it. */
export async function soak (t: Test, world: FaultWorld, { durationMs, patienceMs }: SoakOptions): Promise<SoakReport> {
  const ways = await waysIn(t, world)
  const population = await world.populate(t, SIZES, patienceMs, () => ways.urls)
  const capacityMs = performance.now()
  const capacity = Math.floor(await population.write(FLAT_OUT, pause(CAPACITY_MS)) / (performance.now() - capacityMs) * 1000)
  const perSecond = Math.floor(capacity / 2)
  const total = { acknowledged: 0, lost: 0, outOfOrder: 0 }
  let duplicates = 0
  const faults: Array<SoakReport['faults'][number]> = []
  const samples: SoakSample[] = []
  const startedMs = performance.now()
  const minute = (): number => Math.round((performance.now() - startedMs) / 600) / 100
  const settle = async (name: string): Promise<void> => {
    const verdict = await population.verdict(patienceMs)
    duplicates = verdict.duplicates
    total.acknowledged += verdict.accepted
    total.lost += verdict.lost
    total.outOfOrder += verdict.outOfOrder
    await eventually(async () => gaps(world.ledger.entries).length === 0 && await world.count('pending_pushes') === 0 && await isTrue(world), patienceMs).catch(() => {})
    await world.snapshot()
    const found = { ...check(world.ledger.entries, BOUNDS, ['I1', 'I2', 'I3', 'I4', 'I5', 'I7']), ...(await isTrue(world) ? {} : { registry: await untruths(world) }) }
    t.strictSame(found, {}, `${name}: the invariants hold`)
    t.match(verdict, { lost: 0, outOfOrder: 0, duplicates: 0 }, name)
    samples.push(...await look(world, minute()))
    population.forget()
    forget(world)
  }
  await settle('as many messages as go')
  for (const [name, harm] of drawn(world.random)) {
    const drawnMs = performance.now()
    if (drawnMs - startedMs >= durationMs) break
    const at = minute()
    let seconds = 0
    await population.write(perSecond, world.strike(() => harm(world, ways)).then(async () => {
      seconds = Math.round((performance.now() - drawnMs) / 100) / 10
      await pause(FAULT_EACH_MS - (performance.now() - drawnMs))
    }))
    faults.push({ minute: at, name, seconds })
    await settle(name)
    t.comment(`${at.toFixed(1)} min ${name}, ${seconds} s; ${total.acknowledged} acknowledged`)
  }
  const warmUpMs = warmUpOf(durationMs)
  return {
    date: new Date().toISOString().slice(0, 10),
    seed: world.seed,
    minutes: minute(),
    warmUpMinutes: warmUpMs / 60_000,
    people: SIZES.people,
    capacity,
    perSecond,
    ...total,
    duplicates,
    faults,
    samples,
    growth: world.nodes.map(({ nodeId }) => nodeId).filter((node) => node !== MORTAL).map((node) => growthOf(node, samples.filter((sample) => sample.node === node && sample.minute * 60_000 >= warmUpMs)))
  }
}

/** All of them in an order that chance makes, and again. */
function * drawn (random: () => number): Generator<readonly [string, (typeof SOAK_FAULTS)[string]]> {
  for (;;) {
    const bag = Object.entries(SOAK_FAULTS)
    while (bag.length > 0) yield * bag.splice(Math.floor(random() * bag.length), 1)
  }
}

async function look (world: FaultWorld, minute: number): Promise<SoakSample[]> {
  const samples: SoakSample[] = []
  for (const node of world.nodes) {
    const { heapBytes, timers } = await world.inspect(node, insides)
    const connections = Number(/^im_gateway_connections (\d+)$/m.exec(await world.metrics(node.port))?.[1])
    samples.push({ minute, node: node.nodeId, connections, heapBytes, timers, files: openFiles(node.pid ?? 0) })
  }
  return samples
}

function growthOf (node: string, samples: readonly SoakSample[]): SoakGrowth {
  const [heap = 0, timers = 0, files = 0] = HELD.map(([, of]) => growthPerHour(samples.map((sample) => ({ hour: sample.minute / 60, connections: sample.connections, amount: of(sample) }))))
  const meanHeap = samples.reduce((sum, { heapBytes }) => sum + heapBytes, 0) / samples.length
  return { node, heapPercent: heap / meanHeap * 100, timers, files }
}

/** What is connected, who belongs to which group and what each process held first: the next checks build on it. */
function forget ({ ledger }: FaultWorld): void {
  const ended = new Set(ledger.entries.flatMap((entry) => entry.kind === 'closed' ? [entry.conn] : []))
  ledger.keep((entry) => entry.kind === 'group' || entry.kind === 'sample' || (entry.kind === 'opened' && !ended.has(entry.conn)))
}

/** Keys that etcd has and nobody, and such as it lacks. */
async function untruths (world: FaultWorld): Promise<string[]> {
  const { entries } = await world.outside.kv.range(USERS, { prefix: true })
  return [`${entries.length} keys`, ...entries.slice(0, 3).map(({ key, value }) => `${key}: ${value}`)]
}
