/** `npm run bench -- growth [S1 …]`: the gateway's costs at several sizes. */
import type { Curve } from './lib/curves.ts'
import { curveReport, curveText, writeGrowth } from './lib/growth-report.ts'
import { GATEWAY, PEERS, type Peer } from './lib/peers.ts'
import type { Run } from './lib/report.ts'
import { spreadOf } from './lib/scenario.ts'
import type { World } from './lib/world.ts'

/** Resolves to the number of targets that were missed. */
export async function growth (world: World, chosen: readonly Curve[], run: Run): Promise<number> {
  const gateway = PEERS.find(({ name }) => name === GATEWAY) as Peer
  const curves = []
  for (const curve of chosen) {
    process.stdout.write(`\n${curve.id}  ${curve.title}, ${curve.unit}\n`)
    const measured = new Map<number, number[]>(curve.sizes.map((size) => [size, []]))
    for (let round = 1; round <= run.repeats; round++) {
      for (const [size, values] of measured) {
        process.stdout.write(`  ${round}/${run.repeats} ${size.toLocaleString('en')} ${curve.sizeUnit}: `)
        const value = await world.with(gateway, curve, (stage) => curve.measure(stage, size))
        values.push(value)
        process.stdout.write(`${value.toFixed(2)} ${curve.unit}\n`)
      }
    }
    const report = curveReport(curve, [...measured].map(([size, values]) => ({ size, ...spreadOf(values) })), run)
    curves.push(report)
    process.stdout.write(curveText(report))
  }
  writeGrowth(curves)
  return curves.flatMap(({ verdicts }) => verdicts).filter(({ met }) => !met).length
}
