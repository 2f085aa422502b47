/**
 * docs/reliability.md: what was done to the gateway and what was seen, from the rows that `npm run test:faults -- --record`
 * left in docs/reliability.json; and what is tried of its security, from SECURITY.md, test/security and test/mutations.
 */
import { FAULTS } from '../../test/faults/harness/table.ts'

/** As a row of test/faults/ leaves it, with its day. */
export interface SeenRow {
  readonly id: string
  readonly fault: string
  readonly done: string
  readonly promised: string
  readonly seen: Readonly<Record<string, number>>
  readonly command: string
  readonly date: string
}

/** A line of SECURITY.md, with the tests that attack it and the number of ways in which its defence is taken away. */
export interface SecurityLine { readonly number: number, readonly text: string, readonly files: readonly string[], readonly tests: number, readonly mutations: number }

export interface ReliabilitySources {
  readonly rows: readonly SeenRow[]
  readonly security: readonly SecurityLine[]
}

/** The row that counts. */
const LEDGER = 'L1'
const HEAD = ['| row | fault | what was done | promised | seen | on | again |', '|---|---|---|---|---|---|---|']
const LINE = /^(\d+)\. (.+)$/gm
const TEST_NAME = /\btest\(\s*['"`]security (\d+):/g

/** `tests` by path: the texts of test/security; `mutations`: the ids of test/mutations. */
export function securityLines (page: string, tests: Readonly<Record<string, string>>, mutations: readonly string[]): SecurityLine[] {
  return [...page.matchAll(LINE)].map(([, number = '', text = '']) => {
    const found = Object.entries(tests).flatMap(([file, code]) => [...code.matchAll(TEST_NAME)].flatMap(([, of]) => of === number ? [file] : []))
    return { number: Number(number), text, files: [...new Set(found)], tests: found.length, mutations: mutations.filter((id) => id === `security ${number}`).length }
  })
}

/** The page as Markdown. */
export function reliabilityPage ({ rows, security }: ReliabilitySources): string {
  const byId = new Map(rows.map((row) => [row.id, row]))
  const ids = Object.keys(FAULTS).filter((id) => id !== LEDGER)
  const seen = ids.flatMap((id) => byId.get(id) ?? [])
  const all = byId.get(LEDGER)
  const tried = security.filter(({ tests, mutations }) => tests > 0 && mutations > 0)
  return [
    '# What it was put through', '',
    'Written by `npm run docs` from `docs/reliability.json`, which `npm run test:faults -- --record` writes. Each row runs gateways as processes on real etcd,',
    'Redis and Kafka (`test/faults/`); every side writes what it did to a ledger, and after each row a checker asserts of it that what was acknowledged was',
    'accepted, and once; that a push is ACKED where a device acknowledged it and nowhere else; that group messages have no gaps; that the registry is the',
    'truth; that nothing is kept; that processes end as they were told. Each run prints its seed, and `FC_SEED=…` repeats it. Without `--long` times are',
    'scaled down (a TTL of 6 s instead of 90 s).', '',
    '## Faults', '',
    `${seen.length} of ${ids.length}.`, '',
    ...HEAD,
    ...seen.map(line), '',
    ...(all === undefined ? [] : ['## Acknowledged and lost', '', ...HEAD, line(all), '']),
    '## Security', '',
    `${tried.length} of ${security.length} lines of [SECURITY.md](../SECURITY.md). Tests are attacks on a whole node (\`npm run test:security\`); a mutation takes the defence away and`,
    'demands that they fail (`npm run test:mutations`).', '',
    '| line | what is kept | tests | mutations |',
    '|---|---|---|---|',
    ...security.map(({ number, text, files, tests, mutations }) => `| ${number} | ${text} | ${tests} in ${files.map((file) => `[${file.split('/').at(-1)}](../${file})`).join(', ')} | ${mutations} |`), ''
  ].join('\n')
}

function line ({ id, fault, done, promised, seen, date, command }: SeenRow): string {
  return `| ${id} | ${fault} | ${done} | ${promised} | ${figuresText(seen)} | ${date} | \`${command}\` |`
}

/** `{ repairMs: 1203, lost: 0 }`: repair 1,203 ms, lost 0. */
export function figuresText (figures: Readonly<Record<string, number>>): string {
  return Object.entries(figures).map(([name, value]) => {
    const [, words = name, unit = ''] = /^(.+?)(Ms|MiB|Percent)?$/.exec(name) ?? []
    return `${words.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} ${value.toLocaleString('en')}${UNITS[unit] ?? ''}`
  }).join(', ')
}

const UNITS: Readonly<Record<string, string>> = { Ms: ' ms', MiB: ' MiB', Percent: ' %' }
