/** Writes the reference pages of docs/, the dashboard and the chart's copy of the alerts from the code's own tables; with `--check` only says whether they are up to date. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { referencePage } from '../src/config/describe.ts'
import type { SoakReport } from '../test/faults/harness/soak.ts'
import { asyncapiPage } from './docs/asyncapi.ts'
import { codesPage } from './docs/codes-page.ts'
import { grpcPage } from './docs/grpc-page.ts'
import { metricsPage } from './docs/metrics-page.ts'
import { openapiPage } from './docs/openapi.ts'
import { protocolPage } from './docs/protocol-page.ts'
import { capacityPage } from './lib/capacity-page.ts'
import { conformancePage } from './lib/conformance-page.ts'
import { dashboard } from './lib/dashboard.ts'
import { degradedPage } from './lib/degraded-page.ts'
import { reliabilityPage, securityLines, type SeenRow } from './lib/reliability-page.ts'
import { soakPage, soakSvg } from './lib/soak-page.ts'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const textsOf = (folder: string, ending: string): Record<string, string> => Object.fromEntries(readdirSync(new URL(`../${folder}/`, import.meta.url)).filter((name) => name.endsWith(ending)).map((name) => [`${folder}/${name}`, read(`${folder}/${name}`)]))

const soak = existsSync(new URL('../docs/soak.json', import.meta.url)) ? JSON.parse(read('docs/soak.json')) as SoakReport : undefined
const mutations = Object.values(textsOf('test/mutations', '.json')).flatMap((text) => (JSON.parse(text) as Array<{ readonly id: string }>).map(({ id }) => id))
const PAGES = {
  // Helm reads no file outside its chart.
  'charts/im-gateway/files/im-gateway.rules.yaml': read('deploy/prometheus/im-gateway.rules.yaml'),
  'deploy/grafana/im-gateway.json': `${JSON.stringify(dashboard(), null, 2)}\n`,
  'docs/asyncapi.yaml': asyncapiPage(),
  'docs/capacity.md': capacityPage(read('charts/im-gateway/values.yaml')),
  'docs/codes.md': codesPage(),
  'docs/configuration.md': referencePage(),
  'docs/conformance.md': conformancePage(),
  'docs/degraded.md': degradedPage(),
  'docs/grpc.md': grpcPage(),
  'docs/metrics.md': metricsPage(),
  'docs/openapi.json': await openapiPage(),
  'docs/protocol.md': protocolPage(),
  'docs/reliability.md': reliabilityPage({
    rows: (JSON.parse(read('docs/reliability.json')) as { readonly rows: readonly SeenRow[] }).rows,
    security: securityLines(read('SECURITY.md'), textsOf('test/security', '.test.ts'), mutations)
  }),
  ...(soak !== undefined && { 'docs/soak.md': soakPage(soak), 'docs/soak.svg': `${soakSvg(soak)}\n` })
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
