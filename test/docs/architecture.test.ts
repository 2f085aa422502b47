/** docs/architecture.md names files and functions that exist; the records of docs/decisions are whole and led to. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { read, ROOT } from '../helpers/pages.ts'

const page = read('docs/architecture.md')
/** `src/a.ts` `Name.member`, of which the member may be missing; a plugin or route stands by the name that it registers with. */
const STEP = /`((?:src|plugins|routes)\/[\w/.-]+\.ts)` `([\w-]+)(?:\.(\w+))?`/g

function has (text: string, name: string, member: string | undefined): boolean {
  if (name.includes('-')) return text.includes(`name: '${name}'`)
  if (!new RegExp(`^export (?:abstract |async )?(?:class|function|const) ${name}\\b`, 'm').test(text)) return false
  return member === undefined || new RegExp(`^ {2}(?:static |async |get )*${member}(?:<\\w+>)? \\(`, 'm').test(text)
}

t.test('each step of the architecture names a file and what it exports', async (t) => {
  const homes = new Map<string, string>()
  for (const [step, path = '', name = '', member] of page.matchAll(STEP)) {
    homes.set(name, path)
    t.ok(existsSync(join(ROOT, path)) && has(read(path), name, member), step)
  }
  t.ok(homes.size > 40, `${homes.size} names`)
  for (const [, name = '', member] of page.matchAll(/(?<!` )`([A-Z]\w+)\.(\w+)`/g)) {
    const home = homes.get(name)
    t.ok(home !== undefined && has(read(home), name, member), `${name}.${member ?? ''}`)
  }
  t.notOk(has(read('src/connections/outbox.ts'), 'Outbox', 'sendAll'), 'another name would be found')
  t.notOk(has(read('src/connections/outbox.ts'), 'Inbox', undefined))
})

t.test('each flow has its steps in order', async (t) => {
  const flows = page.split(/^## /m).map((section) => [...section.matchAll(/^\| (\d+) \|/gm)].map(([, number]) => Number(number))).filter((steps) => steps.length > 0)
  t.equal(flows.length, 3)
  for (const steps of flows) t.strictSame(steps, steps.map((_, at) => at + 1))
})

t.test('each rule that it cites is one', async (t) => {
  const rules = read('docs/behaviour.md')
  for (const [id] of page.matchAll(/\[GW-[A-Z]+-\d+\]/g)) t.ok(rules.includes(`- ${id}`), id)
})

t.test('decisions are numbered, dated, whole and led to', async (t) => {
  const records = readdirSync(join(ROOT, 'docs/decisions')).sort()
  t.ok(records.length >= 10)
  for (const [at, record] of records.entries()) {
    const text = read(`docs/decisions/${record}`)
    const number = String(at + 1).padStart(4, '0')
    t.match(record, new RegExp(`^${number}-[a-z0-9-]+\\.md$`))
    t.match(text, /^---\nstatus: (?:accepted|superseded by \d{4})\ndate: 20\d\d-\d\d-\d\d\n---\n\n# \S/, record)
    const [, title = ''] = /^# (.+)$/m.exec(text) ?? []
    t.equal(record, `${number}-${title.toLowerCase().replaceAll(/[^a-z0-9 ]/g, '').replaceAll(' ', '-')}.md`)
    const sections = [...text.matchAll(/^#{2,3} (.+)$/gm)].map(([, name]) => name)
    t.strictSame(sections, ['Context and problem statement', 'Considered options', 'Decision outcome', 'Consequences'], record)
    t.ok([...text.slice(text.indexOf('## Considered options'), text.indexOf('## Decision outcome')).matchAll(/^- /gm)].length > 1, `${record}: options`)
    t.match(text, /^- Good: /m, record)
    t.match(text, /^- Bad: /m, record)
    t.ok(page.includes(`(decisions/${record})`), `${record} is in docs/architecture.md`)
  }
})
