/** Everything that the other rows do one by one, one after the other for as long as it is asked for: `npm run soak`. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FOLDER } from './harness/ledger.ts'
import { isLong, PATIENCE_MS, row } from './harness/row.ts'
import { soak } from './harness/soak.ts'
import { SOAK_LINES } from './harness/soak-faults.ts'

const DURATION_MS = Number(process.env['SOAK_MS'] ?? (isLong ? 3_600_000 : 120_000))
/** What a shorter one sees is the noise of a few samples. */
const TELLING_MS = 1_800_000
const MAX_HEAP_PERCENT = 1
/** An hour; what comes and goes by chance is less. */
const MAX_FILES = 5
const MAX_TIMERS = 10
/** So small that they are full when it begins to count: what grows afterwards is no cache, nor what is remembered for Explain. */
const SETTINGS = { AUTH_CACHE_SIZE: '500', ROUTE_CACHE_SIZE: '500', EXPLAIN_ENTRIES: '2000' }

const most = (numbers: readonly number[]): number => Math.round(Math.max(...numbers) * 100) / 100

row('T3', 'whatever befalls it, one fault each 30 seconds, nothing that was acknowledged is lost, the invariants hold and nothing grows', { lines: SOAK_LINES, settings: SETTINGS, inspected: true, ttlMs: 10_000, longTimeoutMs: DURATION_MS * 1.5 + 600_000 }, async (t, world) => {
  const report = await soak(t, world, { durationMs: DURATION_MS, patienceMs: PATIENCE_MS })
  writeFileSync(join(FOLDER, 'soak.json'), `${JSON.stringify(report, undefined, 2)}\n`)
  const { minutes, capacity, perSecond, acknowledged, lost, faults, growth } = report
  const heapPercent = most(growth.map((each) => each.heapPercent))
  const [timers, files] = [most(growth.map((each) => each.timers)), most(growth.map((each) => each.files))]
  if (DURATION_MS >= TELLING_MS) {
    t.ok(heapPercent < MAX_HEAP_PERCENT, `the heap grew by ${heapPercent} % an hour`)
    t.ok(timers <= MAX_TIMERS && files <= MAX_FILES, `${timers} timers and ${files} files more an hour`)
  }
  return { minutes, faults: faults.length, capacity, perSecond, acknowledged, lost, heapAnHourPercent: heapPercent, timersAnHour: timers, filesAnHour: files }
})
