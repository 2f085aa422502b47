import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { dashboard, ROWS } from '../../scripts/lib/dashboard.ts'
import { strangers } from '../helpers/alert-rules.ts'

interface Place { readonly x: number, readonly y: number, readonly w: number, readonly h: number }
interface Panel { readonly id: number, readonly type: string, readonly title: string, readonly gridPos: Place, readonly datasource?: object, readonly targets?: ReadonlyArray<{ readonly refId: string, readonly expr: string, readonly legendFormat: string, readonly datasource: object }> }
interface Dashboard { readonly uid: string, readonly schemaVersion: number, readonly templating: { readonly list: ReadonlyArray<{ readonly name: string, readonly type: string }> }, readonly panels: readonly Panel[] }

const file = readFileSync(join(import.meta.dirname, '../../deploy/grafana/im-gateway.json'), 'utf8')
const { panels, templating } = JSON.parse(file) as Dashboard

t.test('the dashboard is what the table of panels says', async (t) => {
  t.equal(file, `${JSON.stringify(dashboard(), null, 2)}\n`, 'npm run docs')
  const graphs = panels.filter(({ type }) => type === 'timeseries')
  t.strictSame(graphs.map(({ title }) => title), ROWS.flatMap((row) => row.panels.map(({ title }) => title)))
})

t.test('panels have ids, titles and places of their own', async (t) => {
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  t.equal(new Set(panels.map(({ title }) => title)).size, panels.length)
  const taken = new Set<string>()
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    t.ok(x >= 0 && x + w <= 24, title)
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        t.notOk(taken.has(`${column} ${row}`), title)
        taken.add(`${column} ${row}`)
      }
    }
  }
})

t.test('each query asks for series and labels that a gateway has, of the chosen jobs, and uses variables that exist', async (t) => {
  const variables = new Set([...templating.list.map(({ name }) => name), '__rate_interval'])
  for (const { title, type, targets = [] } of panels) {
    if (type === 'row') continue
    t.ok(targets.length > 0, title)
    t.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title)
    for (const { expr, legendFormat, datasource } of targets) {
      t.strictSame(strangers(expr), [], expr)
      if (!expr.includes('ALERTS')) t.ok(expr.includes('job=~"$job"'), expr)
      for (const [, name = ''] of expr.matchAll(/\$(\w+)/g)) t.ok(variables.has(name), expr)
      t.ok(legendFormat.length > 0, title)
      t.match(datasource, { type: 'prometheus', uid: '$datasource' })
    }
  }
})
