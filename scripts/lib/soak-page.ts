/** docs/soak.md and its plot, from the report that `npm run soak -- TIME --record` left in docs/soak.json. */
import { COLOURS, svgOf } from '../../bench/lib/plot.ts'
import type { SoakReport } from '../../test/faults/harness/soak.ts'

const MIB = 1024 * 1024
const number = (value: number, digits = 0): string => value.toLocaleString('en', { maximumFractionDigits: digits })

/** The page as Markdown. */
export function soakPage (report: SoakReport): string {
  const { date, seed, minutes, warmUpMinutes, people, capacity, perSecond, acknowledged, lost, duplicates, outOfOrder, faults, growth } = report
  const names = [...new Set(faults.map(({ name }) => name))].sort()
  return [
    '# The soak', '',
    'Written by `npm run docs` from `docs/soak.json`, which `npm run soak -- TIME --record` writes. Three gateways as processes on real etcd, Redis and Kafka, and people',
    'who write to each other and to their groups at half of what the machine carried when nothing else was done; each 30 seconds a fault that the seed draws. After',
    'each the traffic rests until all is as it was, the invariants of [reliability.md](reliability.md) are asserted, and each process is looked into: its heap after a collection,',
    'its timers, its open files. Growth is by least squares over time and the number of connections, after the warm-up, of the two nodes that no fault ends.', '',
    `${number(minutes)} minutes on ${date}, seed ${seed}: \`npm run soak -- ${Math.round(minutes)}m --seed ${seed}\` draws the same faults again.`, '',
    '| what | seen |',
    '|---|---|',
    `| people | ${number(people)} |`,
    `| messages a second | ${number(perSecond)} of ${number(capacity)} |`,
    `| acknowledged | ${number(acknowledged)} |`,
    `| acknowledged and lost | ${number(lost)} |`,
    `| shown twice, or out of order | ${number(duplicates)}, ${number(outOfOrder)} |`,
    `| faults | ${number(faults.length)} |`,
    ...growth.flatMap(({ node, heapPercent, timers, files }) => [`| ${node}: growth an hour, after ${number(warmUpMinutes, 1)} minutes | heap ${number(heapPercent, 2)} %, timers ${number(timers, 1)}, files ${number(files, 1)} |`]), '',
    '![Heap after a collection](soak.svg)', '',
    '| fault | times | seconds, the longest |',
    '|---|---|---|',
    ...names.map((name) => {
      const times = faults.filter((fault) => fault.name === name)
      return `| ${name} | ${times.length} | ${number(Math.max(...times.map(({ seconds }) => seconds)), 1)} |`
    }), ''
  ].join('\n')
}

/** The heap of the nodes that lived through it all, over the minutes, with the faults. */
export function soakSvg ({ samples, faults, growth }: SoakReport): string {
  return svgOf({
    title: 'Heap after a collection',
    xAxis: { type: 'value', name: 'minutes', min: 0 },
    yAxis: { type: 'value', name: 'MiB', min: 0 },
    series: [
      ...growth.map(({ node }, i) => ({
        name: node,
        type: 'line',
        symbol: 'none',
        data: samples.filter((sample) => sample.node === node).map(({ minute, heapBytes }) => [minute, Math.round(heapBytes / MIB * 100) / 100]),
        lineStyle: { color: COLOURS[i] },
        itemStyle: { color: COLOURS[i] }
      })),
      { name: 'fault', type: 'line', data: faults.map(({ minute }) => [minute, 0]), symbol: 'triangle', symbolSize: 6, lineStyle: { width: 0 }, itemStyle: { color: '#7d7d7d' } }
    ]
  })
}
