/** The command line: what is asked for, what is printed and with which exit code (sysexits.h). */
import { parseArgs } from 'node:util'
import { ConfigError, loadSettings, type Environment, type Probe, type Settings } from './config.ts'
import { capacityText } from './config/describe-capacity.ts'
import { helpText, printSettings } from './config/describe.ts'
import { readVersion } from './version.ts'

export const EXIT_USAGE = 64
export const EXIT_CONFIG = 78

const USAGE = 'Usage: im-gateway [--help | --version | --check-config | --print-config]'

/** `run`: go on with these settings. `exit`: print and end with the code. */
export type Command =
  | { readonly kind: 'run', readonly settings: Settings }
  | { readonly kind: 'exit', readonly code: number, readonly out?: string, readonly err?: string }

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
  'check-config': { type: 'boolean' },
  'print-config': { type: 'boolean' },
  // How the primary starts its workers.
  worker: { type: 'string' }
} as const

/** Reads arguments and environment. Never throws for what stands in them. */
export function command (args: readonly string[], env: Environment, probe?: Probe): Command {
  let asked: ReturnType<typeof parse>
  try {
    asked = parse(args)
  } catch (error) {
    return { kind: 'exit', code: EXIT_USAGE, err: `${(error as Error).message}\n${USAGE}\n` }
  }
  if (asked.worker !== undefined && !/^\d{1,2}$/.test(asked.worker)) return { kind: 'exit', code: EXIT_USAGE, err: `${USAGE}\n` }
  if (asked.help === true) return { kind: 'exit', code: 0, out: `${USAGE}\n\nThe environment configures the gateway:\n${helpText()}\n` }
  if (asked.version === true) return { kind: 'exit', code: 0, out: `${readVersion()}\n` }
  try {
    const settings = loadSettings(env, { requireServices: true, ...(asked.worker !== undefined && { worker: Number(asked.worker) }), ...(probe !== undefined && { probe }) })
    if (asked['check-config'] === true) return { kind: 'exit', code: 0, out: `${printSettings(settings)}\n# the configuration is valid\n${capacityText(settings)}\n` }
    if (asked['print-config'] === true) return { kind: 'exit', code: 0, out: `${printSettings(settings)}\n` }
    return { kind: 'run', settings }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return { kind: 'exit', code: EXIT_CONFIG, err: faultsText(error) }
  }
}

function parse (args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values
}

/** One line a fault, the variables first. */
function faultsText (error: ConfigError): string {
  const lines = error.faults.map(({ names, text }) => `  ${names.join(', ')}: ${text}`)
  return `The configuration has ${error.faults.length === 1 ? 'a fault' : `${error.faults.length} faults`}:\n${lines.join('\n')}\n`
}
