import t from 'tap'
import { reportOf, runText, type Run } from '../../../bench/lib/report.ts'
import type { Results, Scenario, Spread } from '../../../bench/lib/scenario.ts'

const run: Run = { repeats: 1, seed: 1, nodeFlags: [], machine: { cpu: 'one', cores: 2, memoryBytes: 1, kernel: '6', pinned: true }, versions: { node: 'v1' }, date: '2030-01-01' }
const scenario: Scenario = { id: 'S0', title: '', units: { cpu: 'us' }, peers: [], repeats: 1, measure: async () => ({}), judge: () => [] }
const at = (median: number): Record<string, Spread> => ({ cpu: { median, min: median, max: median } })
const results = (floor: number): Results => new Map([['im-gateway', at(2)], ['ws', at(3)], ['C', at(floor)]])

t.test('ratios are to the gateway and to the floor, of the first figure', async (t) => {
  const { ratios, toFloor } = reportOf(scenario, results(0.5), run)
  t.same(ratios, { ws: 1.5, C: 0.25 })
  t.same(toFloor, { 'im-gateway': 4, ws: 6, C: 1 })
})

t.test('nothing is compared with a floor that reads 0.00', async (t) => {
  t.same(reportOf(scenario, results(0.004), run).toFloor, {})
  t.same(reportOf(scenario, new Map([['im-gateway', at(2)]]), run).toFloor, {}, 'or that was not measured')
})

t.test('the last line of a section says which flags V8 had, or that it had none', async (t) => {
  t.match(runText({ ...run, nodeFlags: ['--expose-gc'] }), '`--expose-gc`; node v1.')
  t.match(runText(run), 'no flags of V8; node v1.')
})
