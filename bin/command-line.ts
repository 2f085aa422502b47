/** What the commands have in common: options, help, faults of the arguments, and where an answer goes. */
import { parseArgs, type ParseArgsConfig } from 'node:util'
import type { Io } from './dispatch.ts'
import { CommandError, EXIT_CODES_TEXT, EXIT_OK, EXIT_USAGE } from './exit-codes.ts'

type Options = NonNullable<ParseArgsConfig['options']>
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O & typeof COMMON, allowPositionals: true }>>

export interface CommandLine<O extends Options> {
  readonly usage: string
  readonly options: O
  /** How many words there may be beside the options. */
  readonly words: readonly [least: number, most: number]
  /** Resolves to the exit code. Throws a CommandError, or a RangeError for arguments that make no sense. */
  readonly run: (values: Parsed<O>['values'], words: readonly string[]) => Promise<number>
}

const COMMON = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

/** Reads the arguments and runs the command; resolves to the exit code, whatever stands in them. */
export async function runCommand<O extends Options> ({ usage, options, words: [least, most], run }: CommandLine<O>, args: readonly string[], io: Io): Promise<number> {
  const text = `${usage}\n${EXIT_CODES_TEXT}\n`
  let parsed: Parsed<O>
  try {
    parsed = parseArgs({ args: [...args], options: { ...options, ...COMMON }, allowPositionals: true })
  } catch (error) {
    io.err(`${(error as Error).message}\n\n${text}`)
    return EXIT_USAGE
  }
  const { values, positionals } = parsed
  if ((values as { readonly help?: boolean }).help === true) {
    io.out(text)
    return EXIT_OK
  }
  if (positionals.length < least || positionals.length > most) {
    io.err(`${positionals.length < least ? 'an argument is missing' : `what is ${positionals[most]}?`}\n\n${text}`)
    return EXIT_USAGE
  }
  try {
    return await run(values, positionals)
  } catch (error) {
    if (error instanceof RangeError) {
      io.err(`${error.message}\n\n${text}`)
      return EXIT_USAGE
    }
    if (!(error instanceof CommandError)) throw error
    io.err(`${error.message}\n`)
    return error.exitCode
  }
}

export function json (value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

/** Lines with their columns under one another. */
export function table (rows: ReadonlyArray<readonly string[]>): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  return rows.map((row) => `${row.map((text, column) => printable(text).padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

/** Ids come from clients: nothing in them moves the cursor of a terminal. */
function printable (text: string): string {
  return text.replace(/\p{C}/gu, '\u{fffd}')
}

export function time (unixMs: number): string {
  return new Date(unixMs).toISOString()
}
