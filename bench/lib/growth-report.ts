/** What a run of `growth` leaves behind: bench/results/growth.json, a plot of each curve, a section of bench/README.md. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CURVES, type Curve } from './curves.ts'
import { plotSvg, type Point } from './plot.ts'
import { GROWTH_REMARKS } from './remarks.ts'
import { RESULTS, runText, spreadText, type Run } from './report.ts'
import type { Verdict } from './scenario.ts'

/** Cost of the whole at a size: a + b × size. */
interface Line { readonly a: number, readonly b: number }

export interface CurveReport extends Run, Pick<Curve, 'id' | 'title' | 'unit' | 'sizeUnit' | 'of'> {
  readonly points: readonly Point[]
  readonly fit?: Line
  readonly verdicts: readonly Verdict[]
}

export interface GrowthReport { readonly curves: readonly CurveReport[] }

const MAX_GROWTH = 1.15
const FILE = join(RESULTS, 'growth.json')

export function curveReport ({ id, title, unit, sizeUnit, of }: Curve, points: readonly Point[], run: Run): CurveReport {
  const base = { id, title, unit, sizeUnit, of, points, ...run }
  if (of === 'whole') {
    const fit = fitOf(points)
    return { ...base, fit, verdicts: [slopes(points, fit, sizeUnit)] }
  }
  const medians = points.map(({ median }) => median)
  const growth = Math.max(...medians) / Math.min(...medians)
  const sizes = points.map(({ size }) => size.toLocaleString('en'))
  return { ...base, verdicts: [{ target: `flat within 15 % from ${sizes[0]} to ${sizes.at(-1)} ${sizeUnit}`, met: growth <= MAX_GROWTH, seen: `${percent(growth - 1)} between the least and the most` }] }
}

/** Of the least sum of squared relative errors, so that all sizes count alike. */
function fitOf (points: readonly Point[]): Line {
  const [w, wx, wxx, wy, wxy] = points.reduce(([w, wx, wxx, wy, wxy], { size, median }) => {
    const weight = 1 / median ** 2
    return [w + weight, wx + weight * size, wxx + weight * size ** 2, wy + weight * median, wxy + weight * size * median] as const
  }, [0, 0, 0, 0, 0] as readonly [number, number, number, number, number])
  const b = (w * wxy - wx * wy) / (w * wxx - wx ** 2)
  return { a: (wy - b * wx) / w, b }
}

/** What one more costs between two neighbouring sizes, against what it costs over all. */
function slopes (points: readonly Point[], { b }: Line, sizeUnit: string): Verdict {
  const all = points.slice(1).map(({ size, median }, n) => (median - (points[n] as Point).median) / (size - (points[n] as Point).size))
  const furthest = Math.max(...all.map((slope) => Math.abs(slope / b - 1)))
  return { target: `b flat within 15 % from ${points[0]?.size} to ${points.at(-1)?.size.toLocaleString('en')} ${sizeUnit}`, met: furthest <= MAX_GROWTH - 1, seen: `${all.map((slope) => slope.toFixed(2)).join(', ')} between neighbouring sizes, ${percent(furthest)} at most from b` }
}

/** What was measured so far; undefined: nothing. */
export function readGrowth (): GrowthReport | undefined {
  return existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) as GrowthReport : undefined
}

/** Those that were not measured now stay as they are. */
export function writeGrowth (measured: readonly CurveReport[]): void {
  const all = [...measured, ...readGrowth()?.curves ?? []]
  const curves = CURVES.flatMap((curve) => all.find(({ id }) => id === curve.id) ?? [])
  writeFileSync(FILE, `${JSON.stringify({ curves } satisfies GrowthReport, undefined, 2)}\n`)
  for (const { id, title, unit, sizeUnit, of, points, fit } of measured) {
    const line = fit === undefined ? undefined : { name: 'a + b × size', at: (size: number) => fit.a + fit.b * size }
    writeFileSync(join(RESULTS, `${id}.svg`), `${plotSvg({ title, xName: sizeUnit, yName: unit, points, isLog: of === 'whole', ...(line !== undefined && { line }) })}\n`)
  }
}

export function curveText ({ unit, sizeUnit, points, fit, verdicts }: CurveReport): string {
  const line = fit === undefined ? [] : [`  ${fitText(fit, unit)}`]
  return `\n${[
    ...points.map((point) => `  ${point.size.toLocaleString('en').padStart(8)} ${sizeUnit}: ${spreadText(point)} ${unit}`),
    ...line,
    ...verdicts.map(({ target, met, seen }) => `  ${met ? 'met' : 'MISSED'}: ${target}: ${seen}`)
  ].join('\n')}\n`
}

export function growthSection ({ curves }: GrowthReport): string {
  return [
    '## Growth', '',
    '`npm run bench -- growth`: what this gateway takes for each one while there are more of them; each size on a gateway of its own.',
    ...curves.map(section)
  ].join('\n')
}

function section (curve: CurveReport): string {
  const { id, title, unit, sizeUnit, points, fit, verdicts } = curve
  return [
    '', `### ${id}: ${title}`, '',
    `| ${sizeUnit} | ${points.map(({ size }) => size.toLocaleString('en')).join(' | ')} |`,
    `|---|${points.map(() => '---|').join('')}`,
    `| ${unit} | ${points.map(spreadText).join(' | ')} |`,
    '',
    ...(fit === undefined ? [] : [`- ${fitText(fit, unit)}.`]),
    ...verdicts.map(({ target, met, seen }) => `- ${met ? 'Met' : '**Missed**'}: ${target}: ${seen}.`),
    ...(GROWTH_REMARKS[id] === undefined ? [] : ['', GROWTH_REMARKS[id]]),
    '', `![${title}](results/${id}.svg)`,
    '', runText(curve)
  ].join('\n')
}

function fitText ({ a, b }: Line, unit: string): string {
  return `a = ${a.toFixed(2)} ${unit}, b = ${b.toFixed(2)} ${unit}, by least squares`
}

function percent (share: number): string {
  return `${(share * 100).toFixed(1)} %`
}
