/** Takes what a row of test/faults/ saw over into docs/reliability.json; rows that did not run now stay as they were seen last. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './project.mjs'

const RECORD = join(root, 'docs', 'reliability.json')

/** `changes`: what is told otherwise than the row told it. */
export function recordRow (id, changes = {}) {
  const { rows: before } = JSON.parse(readFileSync(RECORD, 'utf8'))
  const seen = { ...JSON.parse(readFileSync(join(root, '.cache', 'faults', `${id}.json`), 'utf8')), date: new Date().toISOString().slice(0, 10), ...changes }
  const rows = [...before.filter((row) => row.id !== id), seen].sort((a, b) => a.id.localeCompare(b.id))
  writeFileSync(RECORD, `${JSON.stringify({ rows }, undefined, 2)}\n`)
}
