/** Writes docs/configuration.md from the table of variables, docs/capacity.md from the measured costs, docs/degraded.md and docs/conformance.md from their tables; with `--check` only says whether they are up to date. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { referencePage } from '../src/config/describe.ts'
import { capacityPage } from './lib/capacity-page.ts'
import { conformancePage } from './lib/conformance-page.ts'
import { degradedPage } from './lib/degraded-page.ts'

const chart = readFileSync(new URL('../charts/im-gateway/values.yaml', import.meta.url), 'utf8')
const PAGES = { 'docs/configuration.md': referencePage(), 'docs/capacity.md': capacityPage(chart), 'docs/degraded.md': degradedPage(), 'docs/conformance.md': conformancePage() }

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
