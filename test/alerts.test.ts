import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { HISTOGRAMS } from '../src/metrics.ts'
import { ALERTS, RECORDINGS, RULES_FILE, selectors, strangers } from './helpers/alert-rules.ts'

interface Case { readonly alertname: string, readonly exp_alerts: readonly object[] }

const read = (path: string): string => readFileSync(join(import.meta.dirname, '..', path), 'utf8')
const runbook = read('docs/runbook.md')
const sections = new Map(runbook.split(/^### /m).slice(1).map((section) => [section.slice(0, section.indexOf('\n')), section]))

t.test('each alert names its section of the runbook, and each section is an alert\'s', async (t) => {
  t.strictSame([...sections.keys()].sort(), ALERTS.map(({ alert }) => alert).sort())
  for (const { alert, annotations } of ALERTS) t.equal(annotations.runbook_url, `docs/runbook.md#${alert.toLowerCase()}`)
})

t.test('each section says what the alert means, the first command, what to do and what it is not', async (t) => {
  for (const [name, section] of sections) {
    const said = [...section.matchAll(/^- \*\*(.+?)\*\*: (.+)/gm)].map(([, what]) => what)
    t.strictSame(said, ['Means', 'First', 'Do', 'Is not'], name)
    t.match(section, /^- \*\*First\*\*: .*(`.+`|panel|row)/m, name)
  }
})

t.test('what the runbook links to within itself is there', async (t) => {
  const anchors = new Set([...runbook.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-')))
  for (const [, anchor = ''] of runbook.matchAll(/\]\(#([^)]+)\)/g)) t.ok(anchors.has(anchor), anchor)
})

t.test('panels that the runbook names are on the dashboard', async (t) => {
  const { panels } = JSON.parse(read('deploy/grafana/im-gateway.json')) as { readonly panels: ReadonlyArray<{ readonly title: string }> }
  const titles = panels.map(({ title }) => title)
  const named = [...runbook.matchAll(/(?:panels? |in |and |, )"([^"]+)"/g)].map(([, title = '']) => title)
  t.ok(named.length > 10)
  for (const title of named) t.ok(titles.includes(title), title)
})

t.test('rules ask for series and labels that a gateway has, and for a bound of the histogram', async (t) => {
  for (const rule of [...ALERTS, ...RECORDINGS]) t.strictSame(strangers(rule.expr), [], 'alert' in rule ? rule.alert : rule.record)
  t.strictSame(strangers('im_gateway_invented + im_gateway_ready{color="red"}'), ['im_gateway_invented', 'im_gateway_ready{color}'], 'others would be found')
  const bounds: readonly number[] = HISTOGRAMS.delivery_seconds.buckets
  t.ok(bounds.includes(0.2))
})

t.test('rules ask for label values that the gateway gives', async (t) => {
  const source = readdirSync(join(import.meta.dirname, '../src'), { encoding: 'utf8', recursive: true }).filter((path) => path.endsWith('.ts') && !path.startsWith('generated'))
    .map((path) => read(`src/${path}`)).join('')
  const values = [...ALERTS, ...RECORDINGS].flatMap(({ expr }) => selectors(expr).flatMap(({ text }) => [...text.matchAll(/\w+(?:=~|!~|!=|=)"([^"]+)"/g)]))
    .flatMap(([, value = '']) => value.split('|')).filter((value) => !Number.isFinite(Number(value)))
  t.ok(values.includes('UNREACHABLE') && values.includes('RESOURCE_EXHAUSTED'))
  for (const value of new Set(values)) t.ok(source.includes(`'${value}'`), value)
})

t.test('each alert is critical or a warning, says where, and has cases in which it fires and in which it does not', async (t) => {
  const { tests } = parse(read('deploy/prometheus/im-gateway.test.yaml')) as { readonly tests: ReadonlyArray<{ readonly alert_rule_test: readonly Case[] }> }
  const cases = tests.flatMap((each) => each.alert_rule_test)
  for (const { alert, labels, annotations } of ALERTS) {
    t.ok(['critical', 'warning'].includes(labels.severity), alert)
    if (alert !== 'ImGatewayAbsent') t.match(annotations.summary, /\{\{ \$labels\.(instance|job) \}\}/, alert)
    const own = cases.filter(({ alertname }) => alertname === alert).map((each) => each.exp_alerts.length > 0)
    t.strictSame([...new Set(own)].sort(), [false, true], alert)
  }
})

t.test('the chart ships the same rules', async (t) => {
  t.equal(read('charts/im-gateway/files/im-gateway.rules.yaml'), readFileSync(RULES_FILE, 'utf8'), 'npm run docs')
})
