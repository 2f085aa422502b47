/** `im-gateway check-config` and `im-gateway print-config`: what the environment makes of a node. */
import { command } from '../../src/cli.ts'
import { ConfigError, loadSettings, type Probe } from '../../src/config.ts'
import { settingsOf } from '../../src/config/describe.ts'
import type { Environment } from '../../src/config/parse.ts'
import { json, runCommand } from '../command-line.ts'
import type { Io, Run } from '../dispatch.ts'
import { EXIT_CONFIG, EXIT_OK } from '../exit-codes.ts'

const USAGES = {
  'check-config': 'Usage: im-gateway check-config [--json]\n\nChecks the environment and prints what holds, secrets hidden, and what the node can carry.\n',
  'print-config': 'Usage: im-gateway print-config [--json]\n\nPrints the settings that hold, secrets hidden.\n'
} as const

/** The command of this name; it resolves to the exit code, 78 for an environment with faults. */
export function configCommand (name: keyof typeof USAGES): Run {
  return async (args, io) => await runConfigCommand(name, args, io)
}

/** `probe`: what the machine says. */
export async function runConfigCommand (name: keyof typeof USAGES, args: readonly string[], io: Io, env: Environment = process.env, probe?: Probe): Promise<number> {
  return await runCommand({
    usage: USAGES[name],
    options: {},
    words: [0, 0],
    run: async ({ json: asJson }) => asJson === true ? printJson(name === 'check-config', io, env, probe) : printText(`--${name}`, io, env, probe)
  }, args, io)
}

/** As the gateway itself does when it is started so. */
function printText (option: string, io: Io, env: Environment, probe: Probe | undefined): number {
  const result = command([option], env, probe)
  if (result.kind === 'run') throw new TypeError(`${option} does not end`)
  io.out(result.out ?? '')
  io.err(result.err ?? '')
  return result.code
}

function printJson (withCapacity: boolean, io: Io, env: Environment, probe: Probe | undefined): number {
  try {
    const settings = loadSettings(env, { requireServices: true, ...(probe !== undefined && { probe }) })
    const { connections, limitedBy } = settings.derived.capacity
    io.out(json({ valid: true, settings: settingsOf(settings), ...(withCapacity && { capacity: { connections, limited_by: limitedBy, max_connections: settings.derived.maxConnections } }) }))
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    io.out(json({ valid: false, faults: error.faults }))
    return EXIT_CONFIG
  }
}
