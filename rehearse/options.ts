/** The command line: what is asked for, within limits, and whether it may be done. */
import { isIP } from 'node:net'
import { parseArgs } from 'node:util'
import { FAULTS, type Fault } from './faults.ts'

interface Limit { readonly default: number, readonly min: number, readonly max: number, readonly unit: string, readonly text: string }

/** What a rehearsal may take of a deployment and of time. */
export const LIMITS = {
  connections: { default: 40, min: 2, max: 20_000, unit: '', text: 'clients at the last step of the ramp' },
  rate: { default: 20, min: 1, max: 2_000, unit: 'messages/s', text: 'messages a second at the last step' },
  steps: { default: 4, min: 1, max: 20, unit: '', text: 'steps of the ramp' },
  'step-time': { default: 30, min: 1, max: 300, unit: 's', text: 'talk at each step' },
  'connect-rate': { default: 8, min: 1, max: 500, unit: '1/s', text: 'new connections a second, but for a storm' },
  time: { default: 15, min: 1, max: 120, unit: 'min', text: 'until all is called off' },
  'welcome-within': { default: 5_000, min: 100, max: 60_000, unit: 'ms', text: 'from the connect to the welcome' },
  'accept-within': { default: 30_000, min: 1_000, max: 120_000, unit: 'ms', text: 'for a message to be accepted, with its repeats' },
  'latency-within': { default: 2_000, min: 10, max: 60_000, unit: 'ms', text: '99 % of the messages of a step arrive' },
  'settle-within': { default: 20_000, min: 1_000, max: 120_000, unit: 'ms', text: 'for the last messages of a step to arrive' },
  'back-within': { default: 60, min: 1, max: 600, unit: 's', text: 'everybody is connected again' },
  'restart-within': { default: 300, min: 10, max: 3_600, unit: 's', text: 'a restart begins, and its drain ends' },
  'restart-quiet': { default: 30, min: 1, max: 600, unit: 's', text: 'without a close after which the restart counts as over' },
  'slow-for': { default: 12, min: 1, max: 310, unit: 's', text: 'slow readers wait: WRITE_WAIT of the gateway and a little' }
} as const satisfies Record<string, Limit>

export type LimitName = keyof typeof LIMITS

export interface Options {
  readonly urls: readonly string[]
  readonly faults: readonly Fault[]
  readonly limits: Readonly<Record<LimitName, number>>
  readonly tokenCommand: string | undefined
  readonly secretFile: string | undefined
  readonly claims: Readonly<Record<string, unknown>>
  readonly restartCommand: string | undefined
  readonly users: string
  readonly seed: number
  readonly isAgreed: boolean
  readonly isJson: boolean
}

/** The command line is wrong; the message says how. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** Of one client: half of what a gateway takes of a user by default. */
const MAX_RATE_PER_CLIENT = 50
const MAX_SEED = 2 ** 31 - 1
/** Leaves room for the rest in ids of 64 characters, and goes into them unchanged. */
const USERS = /^[A-Za-z0-9._:-]{1,32}$/

export const USAGE = `Usage: npm run rehearse -- --url ws(s)://HOST/ws (--token-command COMMAND | --secret-file FILE) [OPTION...]

  --url URL              of the gateway or its load balancer; may be given several times
  --token-command CMD    a shell command; called with USER and DEVICE it prints a token
  --secret-file FILE     HS256 secret to sign tokens with; --claims JSON adds claims to them
  --faults LIST          of ${FAULTS.join(', ')}; default none
  --restart-command CMD  a shell command that restarts the nodes; without it you do, when asked
  --users PREFIX         of the user ids, which the IM Service has to know; default rehearse-
  --seed N               repeats the choices of a run
  --json                 the report as JSON
  --yes                  do not ask before an address that is not this machine's
  --help                 this text

${Object.entries(LIMITS).map(([name, { default: fallback, min, max, unit, text }]) => `  ${`--${name} N`.padEnd(22)} ${text}; ${min} to ${max}${unit === '' ? '' : ` ${unit}`}, default ${fallback}`).join('\n')}
`

/** undefined: only the usage is asked for. Throws a UsageError. `random`: 0 up to 1, for a seed where none is given. */
export function readOptions (args: readonly string[], random: () => number): Options | undefined {
  const values = parse(args)
  if (values.help === true) return undefined
  if (values.url === undefined) throw new UsageError('--url has to name the gateway: there is no default')
  if ((values['token-command'] === undefined) === (values['secret-file'] === undefined)) throw new UsageError('either --token-command or --secret-file is needed')
  const limits = Object.fromEntries(Object.entries(LIMITS).map(([name, limit]) => [name, whole(name, values[name as LimitName], limit)])) as Record<LimitName, number>
  const writers = Math.max(2, limits.connections / 2)
  if (limits.rate > writers * MAX_RATE_PER_CLIENT) throw new UsageError(`--rate is more than ${MAX_RATE_PER_CLIENT} messages a second for each of ${writers} writing clients`)
  const { users = 'rehearse-' } = values
  if (!USERS.test(users)) throw new UsageError('--users is 1 to 32 of A-Za-z0-9._:-')
  const faults = (values.faults ?? '').split(',').filter((name) => name !== '').map(faultOf)
  if (values['restart-command'] !== undefined && !faults.includes('restart')) throw new UsageError('--restart-command needs --faults restart')
  return {
    urls: values.url.map(addressOf),
    faults,
    limits,
    tokenCommand: values['token-command'],
    secretFile: values['secret-file'],
    claims: claimsOf(values.claims),
    restartCommand: values['restart-command'],
    users,
    seed: whole('seed', values.seed, { min: 0, max: MAX_SEED, default: Math.floor(random() * MAX_SEED) }),
    isAgreed: values.yes === true,
    isJson: values.json === true
  }
}

/** Whether the address can only be this machine. */
export function isLoopback (url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '')
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function parse (args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const numbers = Object.fromEntries(Object.keys(LIMITS).map((name) => [name, text])) as Record<LimitName, typeof text>
  try {
    return parseArgs({
      args: [...args],
      options: {
        url: { type: 'string', multiple: true }, 'token-command': text, 'secret-file': text, claims: text, faults: text, 'restart-command': text, users: text, seed: text, json: flag, yes: flag, help: { type: 'boolean', short: 'h' }, ...numbers
      }
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function whole (name: string, text: string | undefined, { default: fallback, min, max }: Pick<Limit, 'default' | 'min' | 'max'>): number {
  const value = text === undefined ? fallback : /^\d+$/.test(text) ? Number(text) : NaN
  if (!(value >= min && value <= max)) throw new UsageError(`--${name} is a whole number from ${min} to ${max}`)
  return value
}

function faultOf (name: string): Fault {
  const fault = FAULTS.find((each) => each === name)
  if (fault === undefined) throw new UsageError(`--faults knows ${FAULTS.join(', ')}, not ${name}`)
  return fault
}

function addressOf (text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['ws:', 'wss:'].includes(url.protocol)) throw new UsageError(`--url is ws://… or wss://…, not ${text}`)
  return url.href
}

function claimsOf (text = '{}'): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch { /* told below */ }
  throw new UsageError('--claims is a JSON object')
}
