import t from 'tap'
import { spreadOf, type Results, type Verdict } from '../../../bench/lib/scenario.ts'
import { S10 } from '../../../bench/scenarios/S10.ts'
import { S12 } from '../../../bench/scenarios/S12.ts'
import { S9 } from '../../../bench/scenarios/S9.ts'

const rounds = (figures: Record<string, number[]>): Results => new Map([['im-gateway', Object.fromEntries(Object.entries(figures).map(([name, values]) => [name, spreadOf(values)]))]])
const verdict = (verdicts: readonly Verdict[], target: string): Verdict | undefined => verdicts.find((each) => each.target === target)

t.test('S9: one round that lost an acknowledged message misses the target, whatever the median is', async (t) => {
  const lost = (values: number[]): Verdict | undefined => verdict(S9.judge(rounds({ return: [1], users: [60], stall: [1], lost: values })), 'no acknowledged message lost')
  t.match(lost([0, 0, 0]), { met: true, seen: '0' })
  t.match(lost([0, 0, 1]), { met: false, seen: '1' })
})

t.test('S10: one round in which a client that does not read stayed misses the target', async (t) => {
  const closed = (values: number[]): Verdict | undefined => verdict(S10.judge(rounds({ change: [1], held: [0.5], closed: values })), 'each of them closed')
  t.match(closed([10, 10, 10]), { met: true })
  t.match(closed([10, 10, 9]), { met: false, seen: '9 of 10' })
})

t.test('S12: one round in which a broadcast or a ping did not reach all misses the target', async (t) => {
  const of = (pinged: number[], reached: number[]): boolean[] => S12.judge(rounds({ pinged, reached })).map(({ met }) => met)
  t.same(of([100, 100, 100], [100, 100, 100]), [true, true, true])
  t.same(of([100, 100, 99.99], [100, 100, 100]), [true, false, true])
  t.same(of([100, 100, 100], [99.99, 100, 100]), [true, true, false])
})
