/** One row of the table of faults as a test: a world, what befalls it, the figures, and the invariants afterwards. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FAULTS } from '../../../scripts/lib/fault-table.ts'
import { ALL, BOUNDS, check, type Bounds, type Invariant } from './checker.ts'
import { FaultWorld, type FaultWorldOptions } from './fault-world.ts'
import { FOLDER } from './ledger.ts'
import { seedOfRun } from './seed.ts'

/** Real times, or those that CI has the patience for. */
export const isLong = process.env['FAULT_TIMES'] === 'long'
export const TTL_MS = isLong ? 90_000 : 6_000
export const PATIENCE_MS = isLong ? 180_000 : 60_000

export type Figures = Readonly<Record<string, number>>
export interface RowOptions extends Partial<Omit<FaultWorldOptions, 'name' | 'seed'>> {
  readonly bounds?: Partial<Bounds>
  /** Of one that takes longer than the others, in long times. */
  readonly longTimeoutMs?: number
}

/** What a row that held leaves behind in .cache/faults/ROW.json, for docs/reliability.md. */
export interface RowReport {
  readonly id: string
  readonly fault: string
  readonly done: string
  readonly promised: string
  readonly seen: Figures
  readonly command: string
}

/** They are looked at once the clients have left and the nodes have ended. */
const OF_THE_END: readonly Invariant[] = ['I6', 'I7']
/** For one row. */
const ROW_TIMEOUT_MS = isLong ? 900_000 : 280_000
const RULE = /\[GW-[A-Z]{3}-\d+\] ?/g
const wanted = process.env['FAULT_ROWS']?.split(',')

let fileTimeoutMs = 0

/** `title` says what is promised. What `body` asserts are the row's figures; it returns them for the report. */
export function row (id: string, title: string, options: RowOptions, body: (t: Test, world: FaultWorld) => Promise<Figures>): void {
  if (wanted !== undefined && !wanted.includes(id)) return
  const { bounds, longTimeoutMs = ROW_TIMEOUT_MS, ...worldOptions } = options
  const timeout = isLong ? longTimeoutMs : ROW_TIMEOUT_MS
  fileTimeoutMs += timeout
  t.setTimeout(fileTimeoutMs)
  t.test(`${id} ${title}`, { timeout }, async (t) => {
    const seed = seedOfRun()
    const report = join(FOLDER, `${id}.json`)
    rmSync(report, { force: true })
    t.comment(`FC_SEED=${seed} repeats this run`)
    const world = await FaultWorld.start(t, { ttlMs: TTL_MS, ...worldOptions, name: id, seed })
    const figures = await body(t, world)
    await world.stopWatching()
    t.comment(`FIGURES ${JSON.stringify({ row: id, seed, ...figures })}`)
    const allBounds = { ...BOUNDS, ...bounds }
    const during = check(world.ledger.entries, allBounds, ALL.filter((name) => !OF_THE_END.includes(name)))
    await world.end()
    const atTheEnd = check(world.ledger.entries, allBounds, OF_THE_END)
    await world.ledger.close()
    t.strictSame({ ...during, ...atTheEnd }, {}, `the invariants hold; the ledger is ${world.ledger.path}`)
    if (t.passing()) writeFileSync(report, `${JSON.stringify(reportOf(id, title, figures), undefined, 2)}\n`)
  })
}

function reportOf (id: string, title: string, seen: Figures): RowReport {
  const known = FAULTS[id]
  if (known === undefined) throw new Error(`${id} is no row of scripts/lib/fault-table.ts`)
  return { id, ...known, promised: title.replaceAll(RULE, ''), seen, command: `npm run test:faults -- ${id}${isLong ? ' --long' : ''}` }
}
