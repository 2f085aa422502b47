/** Commands by name, each loaded only when it is asked for. */

/** Where a command writes. */
export interface Io {
  out (text: string): void
  err (text: string): void
}

/** Resolves to the exit code. */
export type Run = (args: readonly string[], io: Io) => Promise<number>

export interface Command {
  /** One line for the list of commands. */
  readonly about: string
  readonly load: () => Promise<Run>
}

export const EXIT_USAGE = 64

/** Runs what the first argument names, with the rest; resolves to the exit code. */
export async function dispatch (commands: Readonly<Record<string, Command>>, args: readonly string[], io: Io): Promise<number> {
  const [name = '', ...rest] = args
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return await (await command.load())(rest, io)
  const usage = usageText(commands)
  if (name === '--help' || name === '-h') {
    io.out(usage)
    return 0
  }
  const error = name === '' || name === '--json' ? 'no command is given' : `no command ${name}`
  if (args.includes('--json')) io.out(`${JSON.stringify({ error, exit_code: EXIT_USAGE }, undefined, 2)}\n`)
  else io.err(name === '' ? usage : `${error}\n\n${usage}`)
  return EXIT_USAGE
}

function usageText (commands: Readonly<Record<string, Command>>): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length))
  const lines = Object.entries(commands).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`)
  return `Usage: im-gateway COMMAND [OPTION...]\n\n${lines.join('\n')}\n\nim-gateway COMMAND --help says more.\n`
}
