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

const REPLACED = '\u{fffd}'
const COMMON = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

/** Reads the arguments and runs the command; resolves to the exit code, whatever stands in them. With `--json` a failure is JSON too. */
export async function runCommand<O extends Options> ({ usage, options, words: [least, most], run }: CommandLine<O>, args: readonly string[], io: Io): Promise<number> {
  const text = `${usage}\n${EXIT_CODES_TEXT}\n`
  let parsed: Parsed<O>
  try {
    parsed = parseArgs({ args: [...args], options: { ...options, ...COMMON }, allowPositionals: true })
  } catch (error) {
    return fail((error as Error).message, EXIT_USAGE, args, io, text)
  }
  const { values, positionals } = parsed
  if ((values as { readonly help?: boolean }).help === true) {
    io.out(text)
    return EXIT_OK
  }
  if (positionals.length < least || positionals.length > most) {
    return fail(positionals.length < least ? 'an argument is missing' : `what is ${positionals[most]}?`, EXIT_USAGE, args, io, text)
  }
  try {
    return await run(values, positionals)
  } catch (error) {
    if (error instanceof RangeError) return fail(error.message, EXIT_USAGE, args, io, text)
    if (!(error instanceof CommandError)) throw error
    return fail(error.message, error.exitCode, args, io)
  }
}

/** Tells a failure, as JSON where the arguments ask for that; returns the exit code. `usage`: for whoever reads it. */
export function fail (error: string, exitCode: number, args: readonly string[], io: Io, usage?: string): number {
  if (args.includes('--json')) io.out(json({ error, exit_code: exitCode }))
  else io.err(`${error.replace(/[^\P{C}\n]/gu, REPLACED)}\n${usage === undefined ? '' : `\n${usage}`}`)
  return exitCode
}

export function json (value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

/** Lines with their columns under one another. */
export function table (rows: ReadonlyArray<readonly string[]>): string {
  const cells = rows.map((row) => row.map(printable))
  const widths = (rows[0] ?? []).map((_, column) => cells.reduce((width, row) => Math.max(width, (row[column] ?? '').length), 0))
  return cells.map((row) => `${row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

/** Ids come from clients: nothing in them moves the cursor of a terminal. */
export function printable (text: string): string {
  return text.replace(/\p{C}/gu, REPLACED)
}

/** A line for each that did not answer. */
export function silentText (silent: ReadonlyArray<{ readonly admin: string, readonly error: string }>): string {
  return silent.map(({ admin, error }) => `${printable(error.includes(admin) ? error : `${admin}: ${error}`)}: what it knows is missing here.\n`).join('')
}

/** A node of another version may give none. */
export function time (unixMs: number | undefined): string {
  const date = new Date(unixMs ?? NaN)
  return Number.isNaN(date.getTime()) ? '' : date.toISOString()
}
