import t from 'tap'
import { soakPage, soakSvg } from '../../../scripts/lib/soak-page.ts'
import type { SoakReport } from '../../faults/harness/soak.ts'

const report: SoakReport = {
  date: '2026-11-30',
  seed: 7,
  minutes: 60.2,
  warmUpMinutes: 10,
  people: 300,
  capacity: 1_001,
  perSecond: 500,
  acknowledged: 1_800_000,
  lost: 0,
  duplicates: 0,
  outOfOrder: 0,
  faults: [{ minute: 0, name: 'etcd killed', seconds: 4 }, { minute: 0.5, name: 'Redis frozen', seconds: 3 }, { minute: 1, name: 'etcd killed', seconds: 5.5 }],
  samples: ['node-a', 'node-b', 'node-c'].flatMap((node) => [0, 1].map((minute) => ({ minute, node, connections: 100, heapBytes: 60 * 1024 * 1024, timers: 10, files: 40 }))),
  growth: [{ node: 'node-a', heapPercent: 0.123, timers: 0, files: -0.1 }]
}

t.test('the page of the soak tells its figures, and of each fault how often it struck', async (t) => {
  const page = soakPage(report)
  t.match(page, '| messages a second | 500 of 1,001 |')
  t.match(page, '| acknowledged | 1,800,000 |')
  t.match(page, '| node-a: growth an hour, after 10 minutes | heap 0.12 %, timers 0, files -0.1 |')
  t.match(page, '| Redis frozen | 1 | 3 |\n| etcd killed | 2 | 5.5 |')
})

t.test('the plot is the same text for the same report, and shows the nodes that lived through it', async (t) => {
  const svg = soakSvg(report)
  t.equal(svg, soakSvg(report))
  t.match(svg, 'node-a')
  t.notMatch(svg, 'node-c')
})
