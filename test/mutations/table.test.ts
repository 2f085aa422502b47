import t from 'tap'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Mutation { readonly id: string, readonly file: string, readonly find: string, readonly replace: string, readonly test: string }

const root = join(import.meta.dirname, '..', '..')
const rules = readFileSync(join(root, 'docs/behaviour.md'), 'utf8')

for (const name of readdirSync(import.meta.dirname).filter((name) => name.endsWith('.json'))) {
  t.test(`every break of ${name} still fits the source that it breaks`, async (t) => {
    for (const mutation of JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as Mutation[]) {
      const title = `${mutation.id}: ${mutation.find}`
      t.ok(rules.includes(`- [${mutation.id}]`), `${title}: the rule exists`)
      t.not(mutation.find, mutation.replace, `${title}: something changes`)
      t.equal(readFileSync(join(root, mutation.file), 'utf8').split(mutation.find).length, 2, `${title}: stands once in ${mutation.file}`)
      t.ok(existsSync(join(root, mutation.test)), `${title}: ${mutation.test} exists`)
    }
  })
}
