import t from 'tap'
import { seededRandom } from '../../rehearse/random.ts'

t.test('a seed gives the same numbers again, between 0 and 1', async (t) => {
  const take = (seed: number): number[] => { const random = seededRandom(seed); return Array.from({ length: 1_000 }, random) }
  t.strictSame(take(7), take(7))
  t.notSame(take(7), take(8))
  const numbers = take(7)
  t.ok(numbers.every((number) => number >= 0 && number < 1))
  t.ok(Math.abs(numbers.reduce((sum, number) => sum + number, 0) / 1_000 - 0.5) < 0.05)
})
