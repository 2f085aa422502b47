/** JSON Schemas of frames as rows of a table. */
import type { TObject } from 'typebox'
import { ID_PATTERN, PARTY_PATTERN } from '../../src/protocol/frames.ts'
import { code, table } from './markdown.ts'

/** What is documented of a frame; each field of the schema but `type` has a sentence. */
export interface FrameDoc {
  readonly schema: TObject
  readonly fields: Readonly<Record<string, string>>
  /** When it is sent, and what comes back. */
  readonly about: string
  readonly examples: readonly object[]
}

/** The keywords that frames use. */
export interface Shape {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly maxProperties?: number
  readonly items?: Shape
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
}

/** A FrameDoc whose fields are those of its schema: the compiler asks for the sentence that is missing. */
export function frame<S extends TObject> (doc: { readonly schema: S, readonly fields: Readonly<Record<Exclude<keyof S['properties'] & string, 'type'>, string>>, readonly about: string, readonly examples: readonly object[] }): FrameDoc {
  return doc
}

/** Values of an enumeration that are named in its row. */
const MAX_NAMED = 10

const PATTERNS: Readonly<Record<string, string>> = {
  [ID_PATTERN]: '1–64 of `A-Za-z0-9._:-`',
  [PARTY_PATTERN]: '1–128 characters, no control characters'
}

export function fieldTable ({ schema, fields }: FrameDoc): string {
  const { properties = {}, required = [] } = schema as Shape
  const rows = Object.entries(properties).filter(([name]) => name !== 'type').map(([name, shape]) => {
    return [code(name), typeText(shape), required.includes(name) ? 'yes' : '', limitText(shape), fields[name] ?? '']
  })
  return table(['field', 'type', 'always', 'limits', 'meaning'], rows)
}

function typeText (shape: Shape): string {
  if (shape.const !== undefined) return code(String(shape.const))
  if (shape.enum !== undefined) return 'string'
  if (shape.type === 'array') return `array of ${typeText(shape.items ?? {})}s`
  if (shape.type === 'object') return 'object of strings'
  return shape.type ?? 'any'
}

function limitText (shape: Shape): string {
  if (shape.enum !== undefined) return shape.enum.length > MAX_NAMED ? `one of ${shape.enum.length}` : shape.enum.map((value) => code(String(value))).join(' ')
  if (shape.type === 'array') return `${shape.minItems ?? 0}–${shape.maxItems} of them, each ${limitText(shape.items ?? {})}`
  if (shape.pattern !== undefined) {
    const text = PATTERNS[shape.pattern]
    if (text === undefined) throw new RangeError(`no words for the pattern ${shape.pattern}`)
    return text
  }
  if (shape.maxLength !== undefined) return `${shape.minLength ?? 0}–${shape.maxLength} characters`
  if (shape.maxProperties !== undefined) return `at most ${shape.maxProperties} keys`
  if (shape.minimum !== undefined && shape.maximum === Number.MAX_SAFE_INTEGER) return `${shape.minimum} to 2^53−1`
  return ''
}
