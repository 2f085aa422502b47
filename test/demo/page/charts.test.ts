import t from 'tap'
import type { LiveState } from '../../../demo/live-state.ts'
import { graphOption, latencyOption, type Palette } from '../../../demo/page/charts.ts'
import { Latency } from '../../../demo/page/latency.ts'

const PALETTE: Palette = { surface: 'white', text: 'black', muted: 'grey', line: 'silver', accent: 'blue', up: 'green', warn: 'orange', bad: 'red', people: ['purple', 'teal'], isStill: false }
const LIVE: LiveState = {
  nodes: [{ id: 'a', state: 'up', address: '127.0.0.1:1' }, { id: 'b', state: 'down', address: '127.0.0.1:2' }],
  devices: [{ user: 'zoe', device: 'phone', node: 'a' }, { user: 'bob', device: 'page', node: 'b' }, { user: 'alice', device: 'page', node: 'a' }],
  groups: [],
  slow: ['alice']
}

interface Drawn { readonly name: string, readonly itemStyle: { readonly borderColor: string, readonly color: string }, readonly label: { readonly formatter: string | (() => string) } }
interface Link { readonly source: string, readonly target: string, readonly lineStyle: { readonly color: string, readonly type: string } }

function seriesOf (option: object): { readonly data: readonly Drawn[], readonly links: readonly Link[] } {
  return (option as { series: [{ data: Drawn[], links: Link[] }] }).series[0]
}

const textOf = ({ label: { formatter } }: Drawn): string => typeof formatter === 'string' ? formatter : formatter()

t.test('nodes are drawn by their state, people in their order, others after them, and lines to nodes that serve alone', async (t) => {
  const { data, links } = seriesOf(graphOption({ live: LIVE, people: ['alice', 'bob'], palette: PALETTE, width: 300 }))
  t.strictSame(data.map(({ name, itemStyle: { borderColor } }) => [name, borderColor]), [['a', 'green'], ['b', 'red'], ['alice/page', 'purple'], ['bob', 'grey'], ['zoe/phone', 'purple']])
  t.match(data.map(textOf), [/Node 1.*2 clients/s, /Node 2.*down/s, 'alice · slow', 'bob', 'zoe'])
  t.strictSame(links.map(({ source, target, lineStyle: { color, type } }) => [source, target, color, type]), [['alice/page', 'a', 'orange', 'dashed'], ['zoe/phone', 'a', 'green', 'solid']])
})

t.test('names are drawn as they are, whatever they mean to the library', async (t) => {
  const devices = ['{a}', '{b|x}', '<img src=x onerror=alert(1)>'].map((user) => ({ user, device: 'phone', node: 'a' }))
  const { data } = seriesOf(graphOption({ live: { ...LIVE, devices }, people: [], palette: PALETTE, width: 300 }))
  t.strictSame(data.slice(2).map(textOf).sort(), devices.map(({ user }) => user).sort())
  t.ok(data.slice(2).every(({ label: { formatter } }) => typeof formatter === 'function'), 'a text would be a template')
})

t.test('a page that knows of nobody yet is drawn as well', async (t) => {
  const { data, links } = seriesOf(graphOption({ live: { nodes: [], devices: [], groups: [], slow: [] }, people: [], palette: { ...PALETTE, isStill: true }, width: 300 }))
  t.strictSame([data, links], [[], []])
})

t.test('latencies of the last minute are dots, no lower than the axis begins; the median is the one in the middle', async (t) => {
  const latency = new Latency()
  for (const [latencyMs, nowMs] of [[500, 1_000], [8, 90_000], [0.4, 95_000], [30, 99_000]] as const) latency.add('accepted', latencyMs, nowMs)
  const { series } = latencyOption(latency, 100_000, PALETTE) as { readonly series: ReadonlyArray<{ readonly name: string, readonly data: unknown }> }
  t.strictSame(series.map(({ name, data }) => [name, data]), [['accepted', [[-10, 8], [-5, 1], [-1, 30]]], ['received', []]])
  t.equal(latency.median('accepted', 100_000), 8)
  t.equal(latency.median('received', 100_000), undefined)
})
