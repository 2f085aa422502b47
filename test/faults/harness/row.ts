/** One row of the table of faults as a test: a world, what befalls it, the figures, and the invariants afterwards. */
import t, { type Test } from 'tap'
import { ALL, BOUNDS, check, type Bounds, type Invariant } from './checker.ts'
import { FaultWorld, type FaultWorldOptions } from './fault-world.ts'
import { seedOfRun } from './seed.ts'

/** Real times, or those that CI has the patience for. */
export const isLong = process.env['FAULT_TIMES'] === 'long'
export const TTL_MS = isLong ? 90_000 : 6_000
export const PATIENCE_MS = isLong ? 180_000 : 60_000

export type Figures = Readonly<Record<string, number>>
export interface RowOptions extends Partial<Omit<FaultWorldOptions, 'name' | 'seed'>> {
  readonly bounds?: Partial<Bounds>
}

/** They are looked at once the clients have left and the nodes have ended. */
const OF_THE_END: readonly Invariant[] = ['I6', 'I7']
/** For one row. */
const ROW_TIMEOUT_MS = isLong ? 900_000 : 280_000
const wanted = process.env['FAULT_ROWS']?.split(',')
t.setTimeout(ROW_TIMEOUT_MS * 6)

/** `title` says what is promised. What `body` asserts are the row's figures; it returns them for the report. */
export function row (id: string, title: string, options: RowOptions, body: (t: Test, world: FaultWorld) => Promise<Figures>): void {
  if (wanted !== undefined && !wanted.includes(id)) return
  t.test(`${id} ${title}`, { timeout: ROW_TIMEOUT_MS }, async (t) => {
    const seed = seedOfRun()
    t.comment(`FC_SEED=${seed} repeats this run`)
    const { bounds, ...worldOptions } = options
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
  })
}
