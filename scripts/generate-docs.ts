/** Writes docs/configuration.md from the table of variables; with `--check` only says whether it is up to date. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { referencePage } from '../src/config/describe.ts'

const path = fileURLToPath(new URL('../docs/configuration.md', import.meta.url))
const page = referencePage()

if (process.argv.includes('--check')) {
  let current = ''
  try {
    current = readFileSync(path, 'utf8')
  } catch {}
  if (current !== page) {
    process.stderr.write('docs/configuration.md is out of date: run node --import tsx scripts/generate-docs.ts\n')
    process.exitCode = 1
  }
} else {
  writeFileSync(path, page)
}
