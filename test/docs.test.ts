import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { status } from '@grpc/grpc-js'
import t from 'tap'
import { CHECKS } from '../rehearse/checks.ts'
import { LIMITS } from '../rehearse/options.ts'
import { VARIABLE_NAMES } from '../src/config/table.ts'
import { ERRORS } from '../src/errors.ts'
import { AuthErrorCode } from '../src/generated/auth/v1/auth.ts'
import { ExplainStep, Outcome } from '../src/generated/gateway/v1/gateway.ts'
import { DeliveryStatus, IMErrorCode, MessageType } from '../src/generated/im/v1/im.ts'
import { UserErrorCode } from '../src/generated/user/v1/user.ts'
import { CLOSE } from '../src/protocol/close-codes.ts'
import { pages, prose, read, ROOT as root } from './helpers/pages.ts'

const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> }

/** In capitals, but not the environment of a node: shell variables of examples, what the tests and the demo read, placeholders. */
const OTHER_NAMES = new Set(['ALICE', 'BEARER', 'MYSQL_URL', 'FC_SEED', 'NAME_FILE', 'IM_URL', 'IM_TOKEN_URL', 'CLIENT_ENDED', 'NO_TOKEN', 'CANNOT_CONNECT', 'CAPITALS', 'LD_PRELOAD', 'MALLOC_CONF'])
/** Statuses, and the values of proto/: with their prefix, and of outcomes as metrics have them, without. */
const GRPC_NAMES = [status, AuthErrorCode, ExplainStep, Outcome, DeliveryStatus, IMErrorCode, MessageType, UserErrorCode].flatMap((names) => Object.keys(names)).flatMap((name) => [name, name.replace(/^OUTCOME_/, '')])

function * all (pattern: RegExp): Generator<[page: string, found: string]> {
  for (const { page, text } of pages) {
    for (const match of text.matchAll(pattern)) yield [page, match[1] ?? '']
  }
}

/** Targets of links and images, outside of code. */
function links (text: string): string[] {
  return [...prose(text).matchAll(/\]\(([^()\s]+)\)|\b(?:href|src|srcset)="([^"\s]+)"/g)].map(([, target, attribute]) => target ?? attribute ?? '')
}

/** The anchors that GitHub gives to the headings of a page. */
function anchorsOf (text: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, title = ''] of prose(text).matchAll(/^#+ (.+)$/gm)) {
    const anchor = title.replaceAll(/\]\([^)]*\)/g, '').toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-')
    let own = anchor
    for (let n = 1; anchors.has(own); n++) own = `${anchor}-${n}`
    anchors.add(own)
  }
  return anchors
}

t.test('every link of the pages leads to a file, and to a heading where it names one', async (t) => {
  let count = 0
  for (const { page, text } of pages) {
    for (const link of links(text)) {
      count++
      if (/^[a-z]+:/.test(link)) {
        t.ok(URL.canParse(link) && /^https:\/\/[\w-]+(?:\.[\w-]+)+(?:\/|$)/.test(link), `${page}: ${link}`)
        continue
      }
      const [target = '', anchor] = link.split('#')
      const path = target === '' ? page : join(dirname(page), target)
      t.ok(existsSync(join(root, path)) && !path.startsWith('..'), `${page}: ${link}`)
      if (anchor !== undefined) t.ok(anchorsOf(read(path)).has(anchor), `${page}: ${link}`)
    }
  }
  t.ok(count > 100, `${count} links`)
})

t.test('no page has an address that is not https, nor a path of the machine it was written on', async (t) => {
  for (const { page, text } of pages) {
    t.notMatch(prose(text).replaceAll(/`[^`]*`/g, ''), /\bhttp:\/\/[\w-]+\.[\w.-]*[a-z]/, page)
    t.notMatch(text, /(?<![\w.:/-])\/(?:home|root|tmp|work|Users|mnt|usr\/local)\//, page)
  }
})

t.test('every path that the pages name exists', async (t) => {
  const isBuilt = (path: string): boolean => path.startsWith('client/dist')
  for (const [page, path] of all(/(?<![\w/-])(?:\.\/)?((?:bin|client|conformance|examples|src|plugins|routes|proto|test|charts|scripts|deploy|docs|demo|bench|rehearse)\/[\w./-]*\w)/g)) {
    t.ok(isBuilt(path) || existsSync(join(root, path)) || existsSync(join(root, `${path}.ts`)), `${page}: ${path}`)
  }
})

t.test('every npm script that the pages name exists', async (t) => {
  for (const [page, name] of all(/npm run ([\w:-]+)/g)) t.ok(name in scripts, `${page}: npm run ${name}`)
})

t.test('every variable that the pages name is one of the table', async (t) => {
  const known = new Set<string>([...VARIABLE_NAMES, ...VARIABLE_NAMES.map((name) => `${name}_FILE`), ...Object.keys(ERRORS), ...GRPC_NAMES, ...OTHER_NAMES])
  for (const [page, name] of all(/(?:`|^|\s)\$?([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=`|=|\s|$)/gm)) t.ok(known.has(name), `${page}: ${name}`)
})

t.test('the README tells a client when not to reconnect as the table of close codes does', async (t) => {
  const told = /look\s+at the code: ([\d, and]+) mean do not reconnect/.exec(read('README.md'))?.[1]?.match(/\d+/g)
  const final = Object.values(CLOSE).filter(({ reconnect }) => reconnect === 'no').map(({ code }) => String(code))
  t.strictSame(told, [...new Set(final)])
})

t.test('the page of the rehearsal has every promise, and every limit with its default and its range', async (t) => {
  const page = read('docs/rehearse.md')
  for (const promise of Object.values(CHECKS)) t.ok(page.includes(`| ${promise} |`), promise)
  for (const [name, { default: fallback, min, max, unit, text }] of Object.entries(LIMITS)) {
    const [value, from, to] = [fallback, min, max].map((number) => number.toLocaleString('en'))
    t.ok(page.includes(`| \`--${name}\` | ${value}${unit === '' ? '' : ` ${unit}`} | ${from} to ${to} | ${text} |`), name)
  }
})
