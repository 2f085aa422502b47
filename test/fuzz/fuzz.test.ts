import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { casesOf, Fuzzing, TARGETS } from './fuzz.ts'

const SEED = 7
/** Enough for each kind of case, and done in a second or two. */
const CASES: Readonly<Record<string, number>> = { frames: 120, bytes: 150, upgrades: 120, grpc: 200, kafka: 1_000, etcd: 200 }
const CORPUS = new URL('corpus/', import.meta.url)

const fuzzing = await Fuzzing.start()
t.teardown(() => fuzzing.end())

function * first (cases: Iterable<unknown>, count: number): Generator<unknown> {
  for (const each of cases) {
    if (count-- === 0) return
    yield each
  }
}

for (const file of readdirSync(CORPUS)) {
  t.test(`a node bears what was found once: ${file}`, async (t) => {
    const { target, cases } = JSON.parse(readFileSync(new URL(file, CORPUS), 'utf8')) as { target: string, cases: unknown[] }
    const { faults, cases: played } = await fuzzing.play(target, cases)
    t.same(faults, [])
    t.equal(played, cases.length)
  })
}

for (const target of Object.keys(TARGETS)) {
  t.test(`a node bears fuzzed ${target}, serves its neighbours meanwhile and keeps nothing`, async (t) => {
    const count = CASES[target] as number
    const { faults, cases, peace } = await fuzzing.play(target, first(casesOf(target, SEED), count))
    t.same(faults, [])
    t.equal(cases, count)
    t.ok(peace.isOpen)
  })
}

t.test('a seed stands for its cases', (t) => {
  for (const target of Object.keys(TARGETS)) t.same([...first(casesOf(target, SEED), 50)], [...first(casesOf(target, SEED), 50)])
  t.end()
})
