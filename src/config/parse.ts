/**
 * Environment to values by `env-schema`, whose schema is built from the table. Every fault is kept: a variable that is
 * at fault is set aside and the rest is read again, so that checks across variables can speak in the same report.
 */
import { envSchema, type EnvSchemaOpt } from 'env-schema'
import { FORMS } from './forms.ts'
import { VARIABLES, VARIABLE_NAMES, type Values, type VariableName } from './table.ts'
import { parseDuration, parseSize } from './units.ts'
import type { Variable } from './variable.ts'

/** What is wrong, and with which variables; the first is the one to look at. */
export interface Fault { readonly names: readonly string[], readonly text: string }

/** All faults of a configuration, found at once. */
export class ConfigError extends Error {
  readonly faults: readonly Fault[]

  constructor (faults: readonly Fault[]) {
    super(faults.map(({ names, text }) => `${names.join(', ')}: ${text}`).join('\n'))
    this.name = 'ConfigError'
    this.faults = faults
  }
}

export interface Parsed {
  readonly values: Values
  readonly faults: Fault[]
  /** Names that the environment gives a value. */
  readonly given: ReadonlySet<string>
}

export type Environment = Readonly<Record<string, string | undefined>>

type CustomOptions = Extract<EnvSchemaOpt['ajv'], { customOptions: unknown }>['customOptions']
type Ajv = Parameters<CustomOptions>[0]
interface Place { readonly parentData: Record<string, unknown>, readonly parentDataProperty: string | number }
interface Read { (text: string, place?: Place): boolean, errors?: Array<{ keyword: string, message: string, params: object }> }
interface SchemaError { readonly instancePath: string, readonly message?: string }

/** Reads what the environment says. Empty variables count as absent. Never throws for what stands in it. */
export function parseEnvironment (env: Environment, readFile: (path: string) => string): Parsed {
  const { texts, faults } = collectTexts(env, readFile)
  const given = new Set(Object.keys(texts))
  for (;;) {
    try {
      const values = envSchema<Record<string, unknown>>({ schema: SCHEMA, env: false, data: texts, ajv: { customOptions: withReads } })
      return { values: complete(values), faults, given }
    } catch (error) {
      const errors = (error as { errors?: readonly SchemaError[] }).errors
      if (errors === undefined) throw error
      for (const { instancePath, message } of errors) {
        const name = instancePath.slice(1)
        // One bad value may break several rules; the first says enough.
        if (!(name in texts)) continue
        faults.push({ names: [name], text: explain(VARIABLES[name as VariableName], message) })
        delete texts[name]
      }
    }
  }
}

/** The texts of the variables that have one, those in files included. */
function collectTexts (env: Environment, readFile: (path: string) => string): { texts: Record<string, string>, faults: Fault[] } {
  const texts: Record<string, string> = {}
  const faults: Fault[] = []
  for (const name of VARIABLE_NAMES) {
    const text = env[name]
    if (text !== undefined && text !== '') texts[name] = text
    const fileName = `${name}_FILE`
    const path = env[fileName]
    if (!canBeFile(VARIABLES[name]) || path === undefined || path === '') continue
    if (name in texts) {
      faults.push({ names: [name, fileName], text: 'both are set, give one' })
      delete texts[name]
      continue
    }
    try {
      const content = readFile(path).replace(/\r?\n$/, '')
      if (content === '') faults.push({ names: [fileName, name], text: 'the file is empty' })
      else texts[name] = content
    } catch (error) {
      faults.push({ names: [fileName, name], text: `the file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})` })
    }
  }
  return { texts, faults }
}

export function canBeFile (row: Variable): boolean {
  return row.secret === true || row.file === true
}

/** Lists without a value are empty, everything else without one is undefined. */
function complete (values: Record<string, unknown>): Values {
  const whole: Record<string, unknown> = {}
  for (const name of VARIABLE_NAMES) whole[name] = values[name] ?? (VARIABLES[name].kind === 'list' ? [] : undefined)
  return whole as unknown as Values
}

const SCHEMA = {
  type: 'object',
  properties: Object.fromEntries(VARIABLE_NAMES.map((name) => [name, schemaOf(VARIABLES[name], name)]))
}

function schemaOf (row: Variable, name: VariableName): object {
  const fallback = 'default' in row ? { default: row.default } : {}
  switch (row.kind) {
    case 'integer': return { type: 'integer', minimum: row.min, maximum: row.max, ...fallback }
    case 'boolean': return { type: 'boolean', ...fallback }
    case 'choice': return { type: 'string', enum: row.choices, ...fallback }
    default: return { type: 'string', reads: name, ...fallback }
  }
}

let compiled: Ajv | undefined

/** A schema keyword that turns the text of a row into its value, or says why it cannot. The schema is compiled once. */
function withReads (fresh: Ajv): Ajv {
  compiled ??= fresh.addKeyword({
    keyword: 'reads',
    type: 'string',
    modifying: true,
    compile: (name: VariableName) => {
      const row = VARIABLES[name]
      const read: Read = (text, place) => {
        const result = readText(row, text)
        if (place !== undefined && 'value' in result) place.parentData[place.parentDataProperty] = result.value
        read.errors = 'fault' in result ? [{ keyword: 'reads', message: result.fault, params: {} }] : []
        return 'value' in result
      }
      return read
    }
  })
  return compiled
}

function readText (row: Variable, text: string): { value: unknown } | { fault: string } {
  switch (row.kind) {
    case 'duration': return readQuantity(parseDuration, row, text, 'a duration like 500ms, 30s or 5m')
    case 'size': return readQuantity(parseSize, row, text, 'a size like 4096, 10KB or 64MB')
    case 'text': return FORMS[row.form].passes(text) ? { value: text } : { fault: `must be ${FORMS[row.form].says}` }
    case 'list': {
      const items = text.split(',').map((item) => item.trim()).filter((item) => item !== '')
      return items.every((item) => FORMS[row.form].passes(item)) ? { value: items } : { fault: `each item must be ${FORMS[row.form].says}` }
    }
    default: return { value: text }
  }
}

function readQuantity (parse: (text: string) => number | undefined, row: { min: string, max: string }, text: string, says: string): { value: number } | { fault: string } {
  const value = parse(text)
  if (value === undefined) return { fault: `must be ${says}` }
  if (value < (parse(row.min) as number) || value > (parse(row.max) as number)) return { fault: `must be ${row.min} to ${row.max}` }
  return { value }
}

/** In the words of the table; a row that is read by `reads` has said it itself. */
function explain (row: Variable, message: string | undefined): string {
  switch (row.kind) {
    case 'integer': return `must be an integer of ${row.min} to ${row.max}`
    case 'boolean': return 'must be true or false'
    case 'choice': return `must be one of ${row.choices.join(', ')}`
    default: return message ?? 'is not valid'
  }
}
