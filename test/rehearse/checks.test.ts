import t from 'tap'
import { CHECKS, SOFT, Verdict } from '../../rehearse/checks.ts'

t.test('a verdict has one line for each promise, and the first examples of what was broken', async (t) => {
  const verdict = new Verdict()
  verdict.judge('order', true, () => 'kept')
  t.ok(verdict.isKept)
  for (let i = 0; i < 9; i++) verdict.broken('once', `case ${i}`)
  t.notOk(verdict.isKept)
  const results = verdict.results()
  t.strictSame(results.map(({ check }) => check), Object.keys(CHECKS))
  t.match(results.find(({ check }) => check === 'order'), { state: 'kept', tried: 1, broken: 0 })
  t.match(results.find(({ check }) => check === 'pings'), { state: 'not tried', tried: 0 })
  t.strictSame(results.find(({ check }) => check === 'once')?.examples, ['case 0', 'case 1', 'case 2', 'case 3', 'case 4'])
})

t.test('what a step above the limit missed in time is passed over, all else is added', async (t) => {
  const [total, step] = [new Verdict(), new Verdict()]
  total.broken('order', 'first')
  step.broken('latency', 'late')
  step.judge('latency', true, () => '')
  step.broken('order', 'second')
  total.add(step, (check) => SOFT.has(check))
  t.match(total.results().find(({ check }) => check === 'latency'), { state: 'kept', tried: 1, broken: 0, examples: [] })
  t.match(total.results().find(({ check }) => check === 'order'), { broken: 2, examples: ['first', 'second'] })
  total.add(step)
  t.equal(total.results().find(({ check }) => check === 'latency')?.broken, 1)
})
