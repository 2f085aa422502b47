/** `im-gateway check-client`: arguments, report, exit code. */
import { parseArgs } from 'node:util'
import { fail } from '../bin/command-line.ts'
import { EXIT_USAGE, type Io } from '../bin/dispatch.ts'
import { REQUIREMENTS } from './requirements.ts'
import { checkClient, type RunOptions, type Verdict } from './run.ts'

const USAGE = `Usage: im-gateway check-client [OPTION...] -- COMMAND [ARGUMENT...]

Starts COMMAND as a client of a gateway that plays every situation, and says which MUST and SHOULD it keeps.
Exit code 0: every MUST is kept. What COMMAND has to read and write: docs/conformance.md

  --only START  requirements whose id begins so, C-SND for instance; may be given several times
  --jobs N      situations at a time, 1 to 32; default 6
  --json        the report as JSON
  --help        this text
`

interface Asked extends RunOptions { readonly json: boolean }

/** Resolves to the exit code. */
export async function checkClientCommand (args: readonly string[], io: Io): Promise<number> {
  const asked = read(args)
  if (asked === 'help') {
    io.out(USAGE)
    return 0
  }
  if (typeof asked === 'string') {
    return fail(asked, EXIT_USAGE, ownOf(args), io, USAGE)
  }
  const verdicts = await checkClient(asked)
  io.out(asked.json ? `${JSON.stringify(verdicts, undefined, 2)}\n` : report(verdicts))
  return verdicts.every(({ level, kept }) => kept || level === 'SHOULD') ? 0 : 1
}

/** Those before `--`: what follows is the client's. */
function ownOf (args: readonly string[]): readonly string[] {
  const at = args.indexOf('--')
  return at === -1 ? args : args.slice(0, at)
}

/** What is wrong with the arguments, or that help is asked for. */
function read (args: readonly string[]): Asked | string {
  const own = ownOf(args)
  const [file, ...rest] = args.slice(own.length + 1)
  try {
    const { values } = parseArgs({
      args: [...own],
      options: { only: { type: 'string', multiple: true, default: [] }, jobs: { type: 'string', default: '6' }, json: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } }
    })
    if (values.help) return 'help'
    const jobs = Number(values.jobs)
    if (!Number.isInteger(jobs) || jobs < 1 || jobs > 32) return '--jobs is a number from 1 to 32'
    const unknown = values.only.find((start) => !Object.keys(REQUIREMENTS).some((id) => id.startsWith(start)))
    if (unknown !== undefined) return `no requirement begins with ${unknown}`
    if (file === undefined) return 'the command of the client is missing: it stands after --'
    return { command: [file, ...rest], only: values.only, jobs, json: values.json }
  } catch (error) {
    return (error as Error).message
  }
}

function report (verdicts: readonly Verdict[]): string {
  const width = Math.max(...verdicts.map(({ id }) => id.length))
  const lines = verdicts.map(({ id, level, text, kept, detail }) => `${kept ? 'ok    ' : 'NOT OK'} ${level.padEnd(6)} ${id.padEnd(width)} ${text}${detail === undefined ? '' : ` (${detail.replaceAll('\n', ' | ')})`}`)
  const sum = (level: string): string => {
    const of = verdicts.filter((verdict) => verdict.level === level)
    return `${of.filter(({ kept }) => kept).length} of ${of.length} ${level}`
  }
  return `${lines.join('\n')}\n${sum('MUST')}, ${sum('SHOULD')}\n`
}
