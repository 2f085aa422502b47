import t from 'tap'
import { ShortLivedMap } from '../../src/short-lived-map.ts'

const TURNS = 10_000
const KEPT = 100

t.test('it holds what a Map would, however many entries have come and gone', async (t) => {
  const map = new ShortLivedMap<number, string>()
  const model = new Map<number, string>()
  for (let at = 0; at < TURNS; at++) {
    map.set(at, `v${at}`)
    model.set(at, `v${at}`)
    // Every tenth of the first thousand stays for good, the others are taken in another order than they came.
    const gone = at % 2 === 0 ? at - KEPT : at - KEPT - 2
    if (gone < 0 || (gone < KEPT * 10 && gone % 10 === 0)) continue
    const expected = model.get(gone)
    model.delete(gone)
    if (map.take(gone) !== expected) t.fail(`${gone} was not what was set`)
  }
  t.equal(map.size, model.size)
  t.same([...map], [...model], 'in the order in which they were set')
  t.ok(map.has(0))
  t.equal(map.get(10), 'v10')
  t.equal(map.take(KEPT * 10 + 1), undefined, 'what was taken is not there any more')
})

t.test('all entries may be taken out while they are walked over', async (t) => {
  const map = new ShortLivedMap<number, number>()
  for (let at = 0; at < TURNS; at++) map.set(at, -at)
  const seen: number[] = []
  for (const [key, value] of map) {
    seen.push(key)
    if (map.take(key) !== value) t.fail(`${key} was lost`)
  }
  t.same(seen, Array.from({ length: TURNS }, (_, at) => at))
  t.equal(map.size, 0)
})

t.test('cleared it is empty and goes on', async (t) => {
  const map = new ShortLivedMap<string, number>()
  map.set('a', 1)
  map.clear()
  t.notOk(map.has('a'))
  t.equal(map.size, 0)
  map.set('b', 2)
  t.same([...map], [['b', 2]])
})
