import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { figuresText, reliabilityPage, securityLines, type SeenRow } from '../../../scripts/lib/reliability-page.ts'
import { FAULTS } from '../../faults/harness/table.ts'

const root = join(import.meta.dirname, '..', '..', '..')
const seen = (id: string): SeenRow => ({ id, fault: `fault ${id}`, done: 'cut', promised: 'nothing is lost', seen: { lost: 0 }, command: `npm run test:faults -- ${id}`, date: '2026-11-30' })

t.test('the page counts the rows that were seen and tells them in the order of the table', async (t) => {
  const page = reliabilityPage({ rows: [seen('K1'), seen('L1'), seen('E1'), seen('ZZ')], security: [] })
  t.match(page, '\n2 of 41.\n')
  t.match(page, /## Acknowledged and lost\n[^#]+\n\| L1 /)
  t.match(page, /\| E1 \| fault E1 \| cut \| nothing is lost \| lost 0 \| 2026-11-30 \| `npm run test:faults -- E1` \|\n\| K1 /)
  t.notMatch(page, 'ZZ')
})

t.test('a line of the security page counts as tried where a test attacks it and a mutation takes its defence away', async (t) => {
  const lines = securityLines('1. One.\n2. Two.\n3. Three.\n', { 'test/security/a.test.ts': "t.test('security 1: a', x)\nt.test('security 2: b', x)\nt.test('security 1: c', x)" }, ['security 1', 'security 3', 'security 10'])
  t.strictSame(lines, [
    { number: 1, text: 'One.', files: ['test/security/a.test.ts'], tests: 2, mutations: 1 },
    { number: 2, text: 'Two.', files: ['test/security/a.test.ts'], tests: 1, mutations: 0 },
    { number: 3, text: 'Three.', files: [], tests: 0, mutations: 1 }
  ])
  const page = reliabilityPage({ rows: [], security: lines })
  t.match(page, '1 of 3 lines')
  t.match(page, '| 1 | One. | 2 in [a.test.ts](../test/security/a.test.ts) | 1 |')
})

t.test('figures are told in words, with their units', async (t) => {
  t.equal(figuresText({ repairMs: 1_203, grownMiB: 3, errorPercent: 0.1, outOfOrder: 0 }), 'repair 1,203 ms, grown 3 MiB, error 0.1 %, out of order 0')
})

t.test('every row of the tests is one of the table', async (t) => {
  const folder = join(root, 'test/faults')
  const ids = readdirSync(folder).filter((name) => name.endsWith('.test.ts')).flatMap((name) => [...readFileSync(join(folder, name), 'utf8').matchAll(/^row(?:WithoutWorld)?\('(\w+)',/gm)].map(([, id]) => id ?? ''))
  t.strictSame(ids.filter((id) => !Object.hasOwn(FAULTS, id)), [])
  t.strictSame(ids.filter((id, i) => ids.indexOf(id) !== i), [], 'and each stands once')
})
