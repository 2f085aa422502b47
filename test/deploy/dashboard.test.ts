/** deploy/grafana/im-gateway.json: Grafana's own schema takes it, in the library that Grafana makes of that. Nothing is drawn: a Grafana is not run. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { tools } from '../helpers/program.ts'

// The first build compiles the schemas of all panels.
t.setTimeout(280_000)

const text = readFileSync(join(import.meta.dirname, '../../deploy/grafana/im-gateway.json'), 'utf8')
const program = join(tools('dashboard'), 'dashboard-check')

function check (dashboard: string): { readonly code: number | null, readonly words: string } {
  const { status, stderr } = spawnSync(program, { input: dashboard, encoding: 'utf8', timeout: 30_000 })
  return { code: status, words: stderr }
}

t.test('the schema takes the dashboard', async (t) => {
  t.match(check(text), { code: 0, words: '' })
})

t.test('it finds what is wrong in others: in a place, a legend, a line, a query, a variable, the whole', async (t) => {
  const faults: ReadonlyArray<readonly [from: string, to: string, named: RegExp]> = [
    ['"gridPos"', '"gridpos"', /panels\[0\]\.RowPanel: unexpected field 'gridpos'/],
    ['"showLegend": true', '"showLegend": "yes"', /panels\[1\]\.options\.legend\.showLegend: /],
    ['"drawStyle"', '"drawstyle"', /panels\[1\]\.fieldConfig\.defaults\.custom\.GraphFieldConfig: unexpected field 'drawstyle'/],
    ['"legendFormat"', '"legendformat"', /panels\[1\]\.targets\[0\]\.Dataquery: unexpected field 'legendformat'/],
    ['"multi"', '"multy"', /templating\.list\[1\]\.VariableModel: unexpected field 'multy'/],
    ['"schemaVersion": 39', '"schemaVersion": "39"', /schemaVersion: /]
  ]
  for (const [from, to, named] of faults) {
    t.ok(text.includes(from), from)
    const { code, words } = check(text.replace(from, to))
    t.not(code, 0, to)
    t.match(words, named)
  }
})
