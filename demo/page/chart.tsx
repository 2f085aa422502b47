/** A chart of echarts in an element of its own, as large as that. */
import { GraphChart, ScatterChart } from 'echarts/charts'
import { GridComponent, LegendComponent } from 'echarts/components'
import { init, use, type EChartsCoreOption, type EChartsType } from 'echarts/core'
import { CanvasRenderer } from 'echarts/renderers'
import { useEffect, useRef } from 'preact/hooks'

use([GraphChart, ScatterChart, GridComponent, LegendComponent, CanvasRenderer])

export interface ChartProps {
  readonly name: string
  /** In words, for those who do not see it. */
  readonly label: string
  /** Changes whenever the option does: it is asked for no more often. */
  readonly version: string
  readonly option: (width: number) => EChartsCoreOption
}

export function Chart ({ name, label, version, option }: ChartProps) {
  const element = useRef<HTMLDivElement>(null)
  const chart = useRef<EChartsType | undefined>(undefined)
  const latest = useRef(option)
  latest.current = option
  useEffect(() => {
    if (element.current === null) return
    const made = init(element.current)
    chart.current = made
    const observer = new ResizeObserver(() => {
      made.resize()
      made.setOption(latest.current(made.getWidth()))
    })
    observer.observe(element.current)
    return () => {
      observer.disconnect()
      made.dispose()
    }
  }, [])
  useEffect(() => {
    const { current: made } = chart
    made?.setOption(latest.current(made.getWidth()))
  }, [version])
  return <div class={`chart chart-${name}`} role='img' aria-label={label} ref={element} />
}
