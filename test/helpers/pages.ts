/** The pages of the project, and the commands that stand in them. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '..', '..')

export interface Page { readonly page: string, readonly text: string }

export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** Every Markdown file, whatever folder it is in. */
export const pages: readonly Page[] = readdirSync(ROOT)
  .filter((name) => !name.startsWith('.') && !['node_modules', 'dist', 'coverage'].includes(name))
  .flatMap((name) => statSync(join(ROOT, name)).isDirectory() ? readdirSync(join(ROOT, name), { encoding: 'utf8', recursive: true }).map((path) => `${name}/${path}`) : [name])
  .filter((path) => path.endsWith('.md') && !path.includes('/node_modules/') && !path.includes('/dist/'))
  .map((page) => ({ page, text: read(page) }))

const FENCE = /^```(\w*)\n([^]*?)^```$/gm
const SHELL = new Set(['sh', 'bash', 'shell', 'console'])
/** A code span that begins so is a command; others are names. */
const COMMAND = /^(?:npm|npx|node|git|python3|docker|kubectl|helm|curl|grpcurl|promtool|etcdctl|[\w-]+\.sh|scripts\/[\w-]+\.sh) \S|^\.ci\/run/
/** One word of a command line, quotes and what is in them included. */
const WORD = /(?:'[^']*'|"(?:\\[^]|[^"\\])*"|\\[^]|[^\s'"\\])+/g
const OPERATORS = new Set(['|', '||', '&&', ';'])

/** What stands in no fence. */
export function prose (text: string): string {
  return text.replaceAll(FENCE, '')
}

/** The blocks that a reader would paste into a shell. */
export function shellBlocks (text: string): string[] {
  return [...text.matchAll(FENCE)].filter(([, language = '']) => SHELL.has(language)).map(([, , block = '']) => block)
}

export interface Command {
  readonly words: readonly string[]
  /** What is set for it alone. */
  readonly env: Readonly<Record<string, string>>
}

/** The commands of a line, without what is typed into them (`> `) and without comments. */
export function commandsOf (line: string): Command[] {
  const commands: Array<{ words: string[], env: Record<string, string> }> = []
  let current: { words: string[], env: Record<string, string> } | undefined
  if (line.startsWith('> ')) return []
  for (const [word] of line.matchAll(WORD)) {
    if (word.startsWith('#')) break
    if (OPERATORS.has(word)) {
      current = undefined
      continue
    }
    if (current === undefined) commands.push(current = { words: [], env: {} })
    const [, name, value = ''] = /^([A-Z_]+)=(.*)$/.exec(word) ?? []
    if (name !== undefined && current.words.length === 0) current.env[name] = value
    else current.words.push(word.replaceAll(/'([^']*)'|"((?:\\[^]|[^"\\])*)"/g, (_, single?: string, double?: string) => single ?? double ?? ''))
  }
  return commands
}

/** Each command of a page: of its shell blocks, and of code spans; a span that begins with `-- ` goes on with the npm script before it in the line. */
export function commandsIn (text: string): Command[] {
  const lines = shellBlocks(text).flatMap((block) => block.replaceAll(/\\\n\s*/g, '').split('\n'))
  for (const line of prose(text).split('\n')) {
    let script = ''
    for (const [, span = ''] of line.replaceAll('\\|', '|').matchAll(/`([^`]+)`/g)) {
      const whole = span.startsWith('-- ') && script !== '' ? `${script} ${span}` : span
      if (!COMMAND.test(whole)) continue
      script = /^npm (?:run )?\S+/.exec(whole)?.[0] ?? script
      lines.push(whole)
    }
  }
  return lines.flatMap(commandsOf)
}
