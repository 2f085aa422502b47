import t from 'tap'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Mutation { readonly id: string, readonly file: string, readonly find: string, readonly replace: string, readonly test: string }

const root = join(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const rules = new Set([...read('docs/behaviour.md').matchAll(/^- \[(GW-[A-Z]{3}-\d+)\]/gm)].map(([, id]) => id))
const lines = [...read('SECURITY.md').matchAll(/^(\d+)\. /gm)].map(([, number]) => `security ${number}`)
const tables = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.json'))
const mutationsOf = (name: string): Mutation[] => JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as Mutation[]

for (const name of tables) {
  t.test(`every break of ${name} still fits the source that it breaks`, async (t) => {
    for (const mutation of mutationsOf(name)) {
      const title = `${mutation.id}: ${mutation.find}`
      t.ok(rules.has(mutation.id) || lines.includes(mutation.id), `${title}: the rule exists`)
      t.not(mutation.find, mutation.replace, `${title}: something changes`)
      t.equal(read(mutation.file).split(mutation.find).length, 2, `${title}: stands once in ${mutation.file}`)
      t.ok(existsSync(join(root, mutation.test)), `${title}: ${mutation.test} exists`)
    }
  })
}

t.test('every line of SECURITY.md is broken by a mutation', async (t) => {
  const broken = new Set(tables.flatMap(mutationsOf).map(({ id }) => id))
  t.strictSame(lines, Array.from({ length: 26 }, (_, at) => `security ${at + 1}`))
  t.same(lines.filter((line) => !broken.has(line)), [])
})
