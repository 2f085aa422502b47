import t from 'tap'
import { Verdict } from '../../rehearse/checks.ts'
import { judgeSpread } from '../../rehearse/faults.ts'

function spread (dues: readonly number[]): string | undefined {
  const verdict = new Verdict()
  judgeSpread({ verdict }, dues.map((due) => ({ user: 'ann', closedAtMs: due - 20, toldMs: 20 })))
  return verdict.results().find(({ check }) => check === 'spread')?.state
}

t.test('returns that were asked for at the same time are no spread', async (t) => {
  t.equal(spread(Array.from({ length: 100 }, (_, i) => i * 10)), 'kept')
  t.equal(spread(Array.from({ length: 100 }, () => 500)), 'broken')
  t.equal(spread(Array.from({ length: 100 }, (_, i) => i < 60 ? 500 + i : i * 10)), 'broken')
  t.equal(spread([1, 2, 3]), 'not tried', 'so few may meet by chance')
})
