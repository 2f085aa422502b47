/** One row of the table of faults as a test: a world, what befalls it, the figures, and the invariants afterwards. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ALL, BOUNDS, check, type Bounds, type Invariant } from './checker.ts'
import { FaultWorld, type FaultWorldOptions } from './fault-world.ts'
import { FOLDER } from './ledger.ts'
import { seededRandom } from '../../../rehearse/random.ts'
import { seedOfRun } from './seed.ts'
import { FAULTS, type RowId } from './table.ts'

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

/** They are looked at once the clients have left and the nodes have ended. */
const OF_THE_END: readonly Invariant[] = ['I6', 'I7']
/** For one row. */
const ROW_TIMEOUT_MS = isLong ? 900_000 : 280_000
const wanted = process.env['FAULT_ROWS']?.split(',')
/** Of the rows of a file together. */
let fileTimeoutMs = 0

/** `title` says what is promised. What `body` asserts are the row's figures; it returns them for the report. */
export function row (id: RowId, title: string, options: RowOptions, body: (t: Test, world: FaultWorld) => Promise<Figures>): void {
  const { bounds, longTimeoutMs, ...worldOptions } = options
  define(id, title, longTimeoutMs, async (t, seed, tell) => {
    const world = await FaultWorld.start(t, { ttlMs: TTL_MS, ...worldOptions, name: id, seed })
    const figures = await body(t, world)
    await world.stopWatching()
    tell(figures)
    const allBounds = { ...BOUNDS, ...bounds }
    const during = check(world.ledger.entries, allBounds, ALL.filter((name) => !OF_THE_END.includes(name)))
    await world.end()
    const atTheEnd = check(world.ledger.entries, allBounds, OF_THE_END)
    await world.ledger.close()
    t.strictSame({ ...during, ...atTheEnd }, {}, `the invariants hold; the ledger is ${world.ledger.path}`)
  })
}

/** A row that brings all it needs along. `random` follows the seed. */
export function rowWithoutWorld (id: RowId, title: string, body: (t: Test, random: () => number) => Promise<Figures>): void {
  define(id, title, undefined, async (t, seed, tell) => { tell(await body(t, seededRandom(seed))) })
}

/** Where it passes, what was seen is left for the report in .cache/faults/. */
function define (id: RowId, title: string, longTimeoutMs: number | undefined, body: (t: Test, seed: number, tell: (figures: Figures) => void) => Promise<void>): void {
  if (wanted !== undefined && !wanted.includes(id)) return
  const timeout = (isLong ? longTimeoutMs : undefined) ?? ROW_TIMEOUT_MS
  fileTimeoutMs += timeout
  t.setTimeout(fileTimeoutMs)
  t.test(`${id} ${title}`, { timeout }, async (t) => {
    const report = join(FOLDER, `${id}.json`)
    rmSync(report, { force: true })
    const seed = seedOfRun()
    t.comment(`FC_SEED=${seed} repeats this run`)
    const startedMs = performance.now()
    let seen: Figures = {}
    await body(t, seed, (figures) => {
      seen = figures
      t.comment(`FIGURES ${JSON.stringify({ row: id, seed, ...figures })}`)
    })
    if (!t.passing()) return
    const seconds = Math.round((performance.now() - startedMs) / 1000)
    const command = `npm run test:faults${isLong ? ' -- --long' : ''} ${id}`
    writeFileSync(report, `${JSON.stringify({ id, ...FAULTS[id], seen, command, seed, seconds })}\n`)
  })
}
