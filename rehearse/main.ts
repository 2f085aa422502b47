/** `npm run rehearse`: virtual clients against a running deployment, and whether it kept its promises to them. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { promisify } from 'node:util'
import { realClock } from '../client/src/clock.ts'
import { isLoopback, readOptions, UsageError, USAGE, type Options } from './options.ts'
import { seededRandom } from './random.ts'
import { RefusedError, rehearse } from './rehearsal.ts'
import { planText, reportText } from './report.ts'
import { commandTokens, signedTokens, type TokenSource } from './tokens.ts'

const EXIT = { kept: 0, broken: 1, refused: 2 } as const
const MINUTE_MS = 60_000

process.exitCode = await main()

async function main (): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2), Math.random)
    if (options === undefined) {
      process.stdout.write(USAGE)
      return EXIT.kept
    }
    const token = tokensOf(options)
    say(planText(options).trimEnd())
    if (!await mayRun(options)) {
      say('refused: this is another machine, and nobody said yes')
      return EXIT.refused
    }
    return await play(options, token)
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof RefusedError)) throw error
    say(error instanceof UsageError ? `${error.message}\n\n${USAGE}` : `refused: ${error.message}`)
    return EXIT.refused
  }
}

async function play (options: Options, token: TokenSource): Promise<number> {
  const { limits, restartCommand } = options
  const end = new AbortController()
  const callOff = (): void => { end.abort() }
  const timer = setTimeout(callOff, limits.time * MINUTE_MS)
  // A second Ctrl-C finds no handler and ends the process at once.
  process.once('SIGINT', callOff).once('SIGTERM', callOff)
  const report = await rehearse({
    urls: options.urls,
    token,
    clock: realClock,
    random: seededRandom(options.seed),
    limits: {
      welcomeWithinMs: limits['welcome-within'],
      acceptWithinMs: limits['accept-within'],
      latencyWithinMs: limits['latency-within'],
      settleWithinMs: limits['settle-within'],
      backWithinMs: limits['back-within'] * 1_000
    },
    users: options.users,
    signal: end.signal,
    restart: restartCommand === undefined ? undefined : () => promisify(execFile)('/bin/sh', ['-c', restartCommand], { timeout: limits['restart-within'] * 1_000, signal: end.signal }),
    restartWithinMs: limits['restart-within'] * 1_000,
    quietMs: limits['restart-quiet'] * 1_000,
    slowForMs: limits['slow-for'] * 1_000,
    // Ids of an earlier run would be taken for its repeats.
    run: randomBytes(4).toString('hex'),
    say,
    connections: limits.connections,
    messagesPerSecond: limits.rate,
    steps: limits.steps,
    stepMs: limits['step-time'] * 1_000,
    connectsPerSecond: limits['connect-rate'],
    faults: options.faults
  }).finally(() => { clearTimeout(timer) })
  process.stdout.write(options.isJson ? `${JSON.stringify({ seed: options.seed, ...report }, null, 2)}\n` : reportText(report))
  return !report.isKept ? EXIT.broken : report.isFinished ? EXIT.kept : EXIT.refused
}

function tokensOf ({ tokenCommand, secretFile, claims }: Options): TokenSource {
  if (tokenCommand !== undefined) return commandTokens(tokenCommand, Date.now)
  try {
    return signedTokens(readFileSync(secretFile as string, 'utf8').trim(), claims)
  } catch (error) {
    throw new UsageError(`--secret-file: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Other machines only where somebody agrees. */
async function mayRun ({ urls, isAgreed }: Options): Promise<boolean> {
  if (isAgreed || urls.every(isLoopback)) return true
  if (!process.stdin.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await terminal.question('Go on? Only if it is yours: type yes: ') === 'yes'
  } finally {
    terminal.close()
  }
}

/** On stderr, so that the report on stdout stays clean. */
function say (line: string): void {
  process.stderr.write(`${line}\n`)
}
