import t from 'tap'
import { Journal } from '../../conformance/journal.ts'

t.test('what has come is found at once, what is to come when it comes, and the wait has an end', async (t) => {
  const journal = new Journal<number>()
  journal.add(1)
  journal.add(2)
  t.equal(await journal.next('a two', (n) => n === 2), 2)
  t.equal(await journal.next('any'), 1)
  t.equal(await journal.next('any after the first', () => true, { from: 1 }), 2)
  const third = journal.next('a three', (n) => n === 3)
  const none = journal.none((n) => n === 4, 50)
  journal.add(3)
  t.equal(await third, 3)
  t.equal(await none, undefined)
  await t.rejects(journal.next('a five', (n) => n === 5, { timeoutMs: 1 }), { message: 'no a five within 1 ms' })
  const [next, other] = [journal.next('a five', (n) => n === 5), journal.none((n) => n === 5, 60_000)]
  journal.end()
  await t.rejects(next, { message: 'nothing more will come' })
  await t.rejects(other, { message: 'nothing more will come' })
  t.equal(await journal.next('any'), 1, 'what came is there still')
  t.strictSame(journal.all, [1, 2, 3])
})
