/** What the operator reads: the plan before, the report after. */
import type { Options } from './options.ts'
import type { Report } from './rehearsal.ts'

const FAULT_TEXTS = {
  restart: (options: Options) => options.restartCommand === undefined ? 'wait for you to restart the nodes' : `run: ${options.restartCommand}`,
  'slow-readers': () => 'write half a megabyte to each of 3 clients that stop reading',
  storm: () => 'cut all clients at once and let them come back'
} as const

export function planText ({ urls, limits, faults, users, seed, ...rest }: Options): string {
  const lines = [
    `Against ${urls.join(', ')}, as users ${users}0 to ${users}${limits.connections - 1} and some more:`,
    `  connect up to ${limits.connections} clients in ${limits.steps} steps, at most ${limits['connect-rate']} a second`,
    `  send up to ${limits.rate} messages a second between them, ${limits['step-time']} s at each step`,
    '  keep a client that comes and goes and one that shows no life',
    ...faults.map((fault) => `  ${fault}: ${FAULT_TEXTS[fault]({ urls, limits, faults, users, seed, ...rest })}`),
    `  end within ${limits.time} min; --seed ${seed}`
  ]
  return `${lines.join('\n')}\n`
}

export function reportText (report: Report): string {
  const { capacity, checks, isFinished, isKept, accepted, repeats, missedWhileAway, seen } = report
  const lines = checks.flatMap(({ promise, state, tried, broken, examples }) => [
    `${state}: ${promise} (${broken > 0 ? `${broken} of ` : ''}${tried})`,
    ...examples.map((example) => `    ${example}`)
  ])
  lines.push(
    `messages accepted: ${accepted}; repeated: ${repeats}; left to the history: ${missedWhileAway}`,
    `seen: ${Object.entries(seen).map(([what, count]) => `${what} × ${count}`).join(', ') || 'no error, no close'}`,
    capacity === undefined ? 'capacity: none, the first step was not held' : `capacity: ${capacity.connections} connections and ${capacity.messagesPerSecond} messages/s were held`,
    !isFinished ? 'called off before the end' : isKept ? 'all promises that were tried were kept' : 'a promise was broken'
  )
  return `${lines.join('\n')}\n`
}
