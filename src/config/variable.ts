/** What one row of the table of variables says, and the type of the value that it gives. */

interface Common {
  /** One sentence for `--help` and the reference page. */
  readonly about: string
  /** Never printed. */
  readonly secret?: true
  /** `NAME_FILE` names a file that holds the value; secrets always have it. */
  readonly file?: true
  /** What stands where no value is given and there is no fixed default. */
  readonly otherwise?: string
  /** Name of the field in the original configuration structs. */
  readonly original?: string
}

/** Defaults and ranges are written as an operator would write them and read by the same code. */
export type Variable = Common & (
  | { readonly kind: 'duration' | 'size', readonly default?: string, readonly min: string, readonly max: string }
  | { readonly kind: 'integer', readonly default?: number, readonly min: number, readonly max: number }
  | { readonly kind: 'boolean', readonly default: boolean }
  | { readonly kind: 'choice', readonly default?: string, readonly choices: readonly string[] }
  | { readonly kind: 'text' | 'list', readonly default?: string, readonly form: Form }
)

/** What a text, or each item of a list, has to look like. */
export type Form = 'any' | 'name' | 'host' | 'hostPort' | 'target' | 'origin' | 'network' | 'url' | 'endpoint' | 'redis' | 'topic' | 'pem' | 'bearer' | 'ratio'

type Base<R> =
  R extends { kind: 'duration' | 'size' | 'integer' } ? number
    : R extends { kind: 'boolean' } ? boolean
      : R extends { kind: 'choice', choices: readonly (infer C)[] } ? C
        : R extends { kind: 'list' } ? readonly string[]
          : string

/** Milliseconds, bytes, numbers, booleans, strings and lists; undefined only where the row has no default. Lists are empty instead. */
export type ValueOf<R> = R extends { kind: 'list' } | { default: unknown } ? Base<R> : Base<R> | undefined
