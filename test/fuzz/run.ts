/** `npm run fuzz`: plays one target for a while, on a neighbour's time, and keeps the last cases of a run that fails. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { casesOf, Fuzzing, TARGETS } from './fuzz.ts'

/** A neighbour may wait so much longer than without the fuzz. */
const P99_FACTOR = 1.2
/** What two runs of the same differ by anyway. */
const P99_FLOOR_MS = 5
/** Cases a second that leave a core of the node idle for the most part: what is looked at is faults, not load. */
const PER_SECOND = { frames: '100', bytes: '150', upgrades: '200', grpc: '150', kafka: '500', etcd: '300' }
const FOUND = '.cache/fuzz'

const { values, positionals: [target = ''] } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '600' }, seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) }, rate: { type: 'string' } }
})
const seed = Number(values.seed)
const seconds = Number(values.seconds)
const perSecond = Number(values.rate ?? PER_SECOND[target as keyof typeof PER_SECOND])
if (!Object.hasOwn(TARGETS, target) || !Number.isSafeInteger(seed) || !(seconds > 0) || !(perSecond > 0)) {
  process.stderr.write(`npm run fuzz -- ${Object.keys(TARGETS).join('|')} [--seconds N] [--seed N] [--rate CASES_PER_SECOND]\n`)
  process.exit(64)
}

function * during (cases: Iterable<unknown>, ms: number): Generator<unknown> {
  const end = performance.now() + ms
  for (const each of cases) {
    if (performance.now() >= end) return
    yield each
  }
}

/** The half that still does it, played to a node of its own, as often as there is one. */
async function reduced (cases: readonly unknown[]): Promise<readonly unknown[]> {
  if (cases.length <= 1) return cases
  const middle = Math.ceil(cases.length / 2)
  for (const half of [cases.slice(middle), cases.slice(0, middle)]) {
    const again = await Fuzzing.start()
    const { faults: found } = await again.play(target, half)
    await again.end()
    if (found.length > 0) return await reduced(half)
  }
  return cases
}

process.stdout.write(`fuzz ${target} --seed ${seed} --seconds ${seconds} --rate ${perSecond}\n`)
const fuzzing = await Fuzzing.start()
const quiet = await fuzzing.peace(Math.min(30_000, Math.max(3_000, seconds * 100)))
const startedMs = performance.now()
const { cases, faults, last, peace, residentBytes } = await fuzzing.play(target, during(casesOf(target, seed), seconds * 1_000), { perSecond })
await fuzzing.end()
const all = [...faults]
if (peace.p99Ms > quiet.p99Ms * P99_FACTOR + P99_FLOOR_MS) all.push(`the neighbour's p99 is ${peace.p99Ms.toFixed(1)} ms, without the fuzz ${quiet.p99Ms.toFixed(1)} ms`)
for (const fault of all) process.stdout.write(`NOT OK ${fault}\n`)
if (faults.length > 0) {
  const found = await reduced(last)
  mkdirSync(FOUND, { recursive: true })
  const file = `${FOUND}/${target}-${seed}.json`
  writeFileSync(file, `${JSON.stringify({ target, cases: found })}\n`)
  process.stdout.write(`${found.length} cases are in ${file}: it belongs into test/fuzz/corpus, and the gateway mended\n`)
}
process.stdout.write(`${cases} cases, ${Math.round(cases / (performance.now() - startedMs) * 1_000)} a second; neighbour: ${peace.answered} answers, p99 ${peace.p99Ms.toFixed(1)} ms, before ${quiet.p99Ms.toFixed(1)} ms; ${Math.round(residentBytes / 2 ** 20)} MB; ${all.length} faults\n`)
process.exitCode = all.length === 0 ? 0 : 1
