/** Plots as SVG, without a browser: cost against size, readable on light and on dark ground. */
import { LineChart } from 'echarts/charts'
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer])

export interface Point { readonly size: number, readonly median: number, readonly min: number, readonly max: number }

export interface Plot {
  readonly title: string
  /** With units. */
  readonly xName: string
  readonly yName: string
  readonly points: readonly Point[]
  /** Both axes by powers of ten, where the cost is of the whole. */
  readonly isLog?: boolean
  /** Drawn beside the points. */
  readonly line?: { readonly name: string, readonly at: (size: number) => number }
}

const [WIDTH, HEIGHT] = [640, 360]
/** Of equal contrast to white and to GitHub's dark ground. */
const [INK, GRID] = ['#7d7d7d', '#7d7d7d40']
export const COLOURS = ['#2f81f7', '#d2691e'] as const
const [SERIES, LINE] = COLOURS
const AXIS = { nameLocation: 'middle', nameTextStyle: { color: INK }, axisLabel: { color: INK }, axisLine: { show: true, lineStyle: { color: INK } }, splitLine: { lineStyle: { color: GRID } } } as const

export interface Picture {
  readonly title: string
  readonly xAxis: object
  readonly yAxis: object
  readonly series: readonly object[]
}

/** The same text for the same plot. */
export function plotSvg ({ title, xName, yName, points, isLog = false, line }: Plot): string {
  return svgOf({
    title,
    xAxis: { type: 'log', name: xName },
    yAxis: { type: isLog ? 'log' : 'value', name: yName, ...(!isLog && { min: 0 }) },
    series: [
      { name: 'median', type: 'line', data: points.map(({ size, median }) => [size, median]), symbolSize: 8, itemStyle: { color: SERIES }, lineStyle: { color: SERIES } },
      ...(['min', 'max'] as const).map((name) => ({ name: `${name}`, type: 'line' as const, data: points.map((point) => [point.size, point[name]]), symbol: 'none', lineStyle: { color: SERIES, type: 'dotted' as const }, itemStyle: { color: SERIES } })),
      ...(line === undefined ? [] : [{ name: line.name, type: 'line' as const, data: points.map(({ size }) => [size, line.at(size)]), symbol: 'none', lineStyle: { color: LINE, type: 'dashed' as const }, itemStyle: { color: LINE } }])
    ]
  })
}

/** Any lines, in the manner of all plots here: axes and series as echarts has them. */
export function svgOf ({ title, xAxis, yAxis, series }: Picture): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT })
  chart.setOption({
    animation: false,
    backgroundColor: 'transparent',
    title: { text: title, left: 'center', textStyle: { color: INK, fontSize: 14 } },
    legend: { bottom: 0, textStyle: { color: INK } },
    grid: { left: 70, right: 30, top: 40, bottom: 80 },
    xAxis: { ...AXIS, nameGap: 28, ...xAxis },
    yAxis: { ...AXIS, nameGap: 50, ...yAxis },
    series: [...series]
  })
  // Its names have numbers in them that go up with each plot of the process; the classes are for a pointer above it.
  const svg = chart.renderToSVGString().replaceAll(/ class="zr[^"]*"/g, '').replaceAll(/<style.*?<\/style>/gs, '').replaceAll(/\bzr\d+-/g, 'zr-')
  chart.dispose()
  return svg
}
