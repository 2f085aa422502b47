/**
 * Writes docs/configuration.md from the table of variables, docs/capacity.md from the measured costs, docs/degraded.md from its table, the dashboard from its
 * own, and the chart's copy of the alerts; with `--check` only says whether they are up to date.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { referencePage } from '../src/config/describe.ts'
import { capacityPage } from './lib/capacity-page.ts'
import { dashboard } from './lib/dashboard.ts'
import { degradedPage } from './lib/degraded-page.ts'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const PAGES = {
  'docs/configuration.md': referencePage(),
  'docs/capacity.md': capacityPage(read('charts/im-gateway/values.yaml')),
  'docs/degraded.md': degradedPage(),
  'deploy/grafana/im-gateway.json': `${JSON.stringify(dashboard(), null, 2)}\n`,
  // Helm reads no file outside its chart.
  'charts/im-gateway/files/im-gateway.rules.yaml': read('deploy/prometheus/im-gateway.rules.yaml')
}

for (const [name, page] of Object.entries(PAGES)) {
  const path = fileURLToPath(new URL(`../${name}`, import.meta.url))
  if (!process.argv.includes('--check')) writeFileSync(path, page)
  else if (current(path) !== page) {
    process.stderr.write(`${name} is out of date: run npm run docs\n`)
    process.exitCode = 1
  }
}

function current (path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
