/** What the two charts show, as options of echarts. */
import type { EChartsCoreOption } from 'echarts/core'
import type { LiveState, NodeState } from '../live-state.ts'
import { WINDOW_MS, type Latency, type LatencyKind } from './latency.ts'

/** The style sheet's colours. */
export interface Palette {
  readonly surface: string
  readonly text: string
  readonly muted: string
  readonly line: string
  readonly accent: string
  readonly up: string
  readonly warn: string
  readonly bad: string
  /** By the place of a person. */
  readonly people: readonly string[]
  /** The reader wants nothing to move. */
  readonly isStill: boolean
}

/** A person or another device, as a pill below the nodes. */
interface Pill { readonly id: string, readonly text: string, readonly color: string, readonly node: string | undefined, readonly isSlow: boolean }

export interface GraphInput {
  readonly live: LiveState
  /** People of the page, in their order: shown without a connection too. */
  readonly people: readonly string[]
  readonly palette: Palette
  /** Of the chart, in pixels. */
  readonly width: number
}

const GAP_PX = 10
const NODE_HEIGHT_PX = 46
const PILL_HEIGHT_PX = 28
const MAX_NODE_PX = 104
const MAX_PILL_PX = 84
const MAX_PILLS = 12
/** Below it a logarithmic axis has nothing to say. */
const LEAST_MS = 1
const LEAST_TOP_MS = 1_000

/** Nodes above, devices below, a line for each connection. */
export function graphOption ({ live, people, palette, width }: GraphInput): EChartsCoreOption {
  const { nodes } = live
  const pills = pillsOf(live, people, palette)
  const nodeWidth = Math.min(MAX_NODE_PX, width / Math.max(1, nodes.length) - GAP_PX)
  const pillWidth = Math.min(MAX_PILL_PX, width / Math.max(1, pills.length) - GAP_PX)
  const colorOf = (state: NodeState): string => ({ up: palette.up, draining: palette.warn, down: palette.bad, starting: palette.accent })[state]
  const clients = (id: string): number => pills.filter(({ node }) => node === id).length
  return {
    ...stillOrMoving(palette),
    grid: { left: 0, right: 0, top: 0, bottom: 0 },
    xAxis: { type: 'value', min: 0, max: 1, show: false },
    yAxis: { type: 'value', min: 0, max: 1, show: false },
    series: [{
      id: 'cluster',
      type: 'graph',
      coordinateSystem: 'cartesian2d',
      silent: true,
      lineStyle: { width: 2.5, opacity: 1, curveness: 0 },
      data: [
        ...nodes.map(({ id, state }, i) => ({
          name: id,
          value: [(i + 0.5) / nodes.length, 0.8],
          symbol: box(nodeWidth, NODE_HEIGHT_PX, 10),
          symbolSize: [nodeWidth, NODE_HEIGHT_PX],
          itemStyle: { color: palette.surface, borderColor: colorOf(state), borderWidth: 2, borderType: state === 'up' ? 'solid' : 'dashed' },
          label: {
            show: true,
            formatter: `{name|Node ${i + 1}}\n{state|${state === 'up' ? countOf(clients(id)) : state}}`,
            rich: { name: { color: palette.text, fontSize: 13, fontWeight: 600, lineHeight: 18 }, state: { color: state === 'up' ? palette.muted : colorOf(state), fontSize: 11.5, lineHeight: 15 } }
          }
        })),
        // A function: in a text the library would take {a} of a name for one of its own.
        ...pills.map(({ id, text, color, node, isSlow }, i) => ({
          name: id,
          value: [(i + 0.5) / pills.length, 0.14],
          symbol: box(pillWidth, PILL_HEIGHT_PX, PILL_HEIGHT_PX / 2),
          symbolSize: [pillWidth, PILL_HEIGHT_PX],
          itemStyle: { color: node === undefined ? palette.surface : color, borderColor: node === undefined ? palette.muted : color, borderWidth: 1.5, borderType: node === undefined ? 'dashed' : 'solid' },
          label: { show: true, width: pillWidth - 8, overflow: 'truncate', formatter: () => isSlow ? `${text} · slow` : text, color: node === undefined ? palette.muted : '#fff', fontSize: 12, fontWeight: 600 }
        }))
      ],
      links: pills.flatMap(({ id, node, isSlow }) => {
        const state = nodes.find((each) => each.id === node)?.state
        return node === undefined || state === undefined ? [] : { source: id, target: node, lineStyle: { color: isSlow ? palette.warn : colorOf(state), type: isSlow || state !== 'up' ? 'dashed' : 'solid' } }
      })
    }]
  }
}

function pillsOf ({ nodes, devices, slow }: LiveState, people: readonly string[], palette: Palette): Pill[] {
  const serves = new Set(nodes.flatMap(({ id, state }) => state === 'up' || state === 'draining' ? id : []))
  const order = (user: string): number => people.includes(user) ? people.indexOf(user) : people.length
  const present = devices.filter(({ node }) => serves.has(node)).map(({ user, device, node }) => ({ user, id: `${user}/${device}`, node }))
  const absent = people.filter((name) => present.every(({ user }) => user !== name)).map((user) => ({ user, id: user, node: undefined }))
  return [...present, ...absent]
    .sort((a, b) => order(a.user) - order(b.user) || (a.id < b.id ? -1 : 1))
    .slice(0, MAX_PILLS)
    .map(({ user, id, node }) => ({ id, text: user, color: palette.people[order(user) % palette.people.length] ?? palette.muted, node, isSlow: slow.includes(user) }))
}

/** The last minute, each message a dot. */
export function latencyOption (latency: Latency, nowMs: number, palette: Palette): EChartsCoreOption {
  const series = (kind: LatencyKind, color: string, symbol: string): object => ({
    name: kind,
    type: 'scatter',
    symbol,
    symbolSize: 7,
    silent: true,
    itemStyle: { color, opacity: 0.8 },
    data: latency.recent(kind, nowMs).map(({ atMs, latencyMs }) => [(atMs - nowMs) / 1000, Math.max(LEAST_MS, latencyMs)])
  })
  const text = { color: palette.muted, fontSize: 11 }
  return {
    animation: false,
    legend: { data: [{ name: 'accepted', icon: 'circle' }, { name: 'received', icon: 'diamond' }], bottom: 0, left: 0, itemWidth: 10, itemHeight: 10, textStyle: { ...text, fontSize: 12 }, selectedMode: false },
    grid: { left: 40, right: 12, top: 10, bottom: 46 },
    xAxis: { type: 'value', min: -WINDOW_MS / 1000, max: 0, interval: 20, axisLabel: { ...text, formatter: (s: number) => s === 0 ? 'now' : `${s} s` }, axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: false } },
    yAxis: { type: 'log', min: LEAST_MS, max: (extent: { readonly max: number }) => 10 ** Math.ceil(Math.log10(Math.max(LEAST_TOP_MS, extent.max))), axisLabel: { ...text, formatter: (ms: number) => ms >= 1_000 ? `${ms / 1_000} s` : `${ms} ms` }, axisLine: { show: false }, axisTick: { show: false }, splitLine: { lineStyle: { color: palette.line } } },
    series: [series('accepted', palette.accent, 'circle'), series('received', palette.people[4] ?? palette.up, 'diamond')]
  }
}

function stillOrMoving ({ isStill }: Palette): object {
  return isStill ? { animation: false } : { animationDuration: 250, animationDurationUpdate: 450, animationEasingUpdate: 'cubicInOut' }
}

/** A rounded box of exactly that size: the library's own is drawn as a square and stretched. */
function box (width: number, height: number, radius: number): string {
  const arc = (x: number, y: number): string => `a${radius} ${radius} 0 0 1 ${x} ${y}`
  const [across, down] = [Math.max(0, width - 2 * radius), Math.max(0, height - 2 * radius)]
  return `path://M${radius} 0h${across}${arc(radius, radius)}v${down}${arc(-radius, radius)}h${-across}${arc(-radius, -radius)}v${-down}${arc(radius, -radius)}z`
}

function countOf (clients: number): string {
  return clients === 1 ? '1 client' : `${clients} clients`
}
