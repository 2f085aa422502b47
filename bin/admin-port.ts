/** Asks the admin ports of nodes. Addresses and the token come from options and the environment; a token is never an argument, which others on the machine can read. */
import type { Static, TSchema } from 'typebox'
import { Errors } from 'typebox/value'
import { formatHostPort, isWildcard } from '../src/config/addresses.ts'
import { parseEnvironment, type Environment } from '../src/config/parse.ts'
import { machineProbe } from '../src/config/probe.ts'
import { CommandError, EXIT_CONFIG, EXIT_REFUSED, EXIT_UNAVAILABLE } from './exit-codes.ts'

export const ADMIN_OPTION = { admin: { type: 'string', multiple: true } } as const
export const ADMIN_USAGE = `  --admin URL   admin port to ask, http://10.0.0.1:9090 for instance; may be given several times.
                Default: ADMIN_HOST and ADMIN_PORT of the environment
  --json        the answer as JSON
  --help        this text
The token is that of ADMIN_TOKEN or ADMIN_TOKEN_FILE in the environment.
`

const TIMEOUT_MS = 10_000
/** Of a refusal, in characters. */
const MAX_WORDS = 200
const OWN_VARIABLES = ['ADMIN_HOST', 'ADMIN_PORT', 'ADMIN_TOKEN'] as const

/** `answer`: what a command reads of it; a node of another version may say more. */
interface Question<S extends TSchema> { readonly answer: S, readonly query?: Readonly<Record<string, string | undefined>>, readonly expected?: readonly number[] }

/** A port, or a worker behind it, that gave no answer. */
export interface Unanswered { readonly admin: string, readonly error: string }

/** A node's admin port. */
export class AdminPort {
  readonly url: string
  readonly #token: string | undefined

  constructor (url: string, token: string | undefined) {
    this.url = url
    this.#token = token
  }

  /** Resolves to what was answered with 2xx, or with a status that is `expected`. Throws a CommandError otherwise, a RangeError where the request makes no sense. */
  async ask<S extends TSchema> (method: string, path: string, { answer, query = {}, expected = [] }: Question<S>): Promise<{ readonly status: number, readonly body: Static<S> }> {
    const url = new URL(this.url)
    // What stands before the paths: a proxy's.
    url.pathname = url.pathname.replace(/\/+$/, '') + path
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value)
    const headers = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }
    let response: Response
    let text: string
    try {
      response = await fetch(url, { method, headers, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) })
      text = await response.text()
    } catch (error) {
      const { message, cause } = error as Error
      throw new CommandError(EXIT_UNAVAILABLE, `${this.url} does not answer: ${cause instanceof Error ? cause.message : message}`)
    }
    const { status } = response
    if (status === 401 || status === 403) throw new CommandError(EXIT_REFUSED, `${this.url} refuses: ${wordsOf(text)}`)
    if (status === 400) throw new RangeError(`${this.url}: ${wordsOf(text)}`)
    if (!response.ok && !expected.includes(status)) throw new CommandError(EXIT_UNAVAILABLE, `${this.url} answers ${status}: ${wordsOf(text)}`)
    const body = parse(text)
    const [fault] = Errors(answer, body)
    if (fault !== undefined) throw new CommandError(EXIT_UNAVAILABLE, `${this.url} is no admin port of this version: its answer${fault.instancePath} ${fault.message}`)
    return { status, body: body as Static<S> }
  }
}

/**
 * Asks all ports. One that does not answer is named beside the answers of the others, so that a dead node hides nothing; where
 * none answers its CommandError is thrown, as are refusals and RangeErrors of any. `inTurn`: one after the other, until one refuses.
 */
export async function askAll<T> (ports: readonly AdminPort[], ask: (port: AdminPort) => Promise<T>, { inTurn = false } = {}): Promise<{ readonly answers: readonly T[], readonly unanswered: readonly Unanswered[] }> {
  const answers: T[] = []
  const unanswered: Unanswered[] = []
  for (const [at, result] of (inTurn ? await settleInTurn(ports, ask) : await Promise.allSettled(ports.map(ask))).entries()) {
    if (result.status === 'fulfilled') answers.push(result.value)
    else if (isUnavailable(result.reason) && ports.length > 1) unanswered.push({ admin: ports[at]?.url ?? '', error: result.reason.message })
    else throw result.reason
  }
  if (answers.length === 0) throw new CommandError(EXIT_UNAVAILABLE, unanswered.map(({ error }) => error).join('; '))
  return { answers, unanswered }
}

async function settleInTurn<T> (ports: readonly AdminPort[], ask: (port: AdminPort) => Promise<T>): Promise<Array<PromiseSettledResult<T>>> {
  const results: Array<PromiseSettledResult<T>> = []
  for (const port of ports) {
    const settled = await Promise.allSettled([ask(port)])
    results.push(...settled)
    if (settled[0].status === 'rejected' && !isUnavailable(settled[0].reason)) break
  }
  return results
}

/** Whether a port gave no answer, which others may. */
function isUnavailable (error: unknown): error is CommandError {
  return error instanceof CommandError && error.exitCode === EXIT_UNAVAILABLE
}

/** Workers behind a port that did not answer it. */
export function unansweredWorkers (admin: string, workers: readonly string[] = []): Unanswered[] {
  return workers.map((worker) => ({ admin, error: `worker ${worker} does not answer` }))
}

/** The ports that `--admin` names, else that of the environment. Throws a RangeError for what is no address, a CommandError where there is none. */
export function adminPorts (urls: readonly string[] | undefined, env: Environment): AdminPort[] {
  const { values, faults } = parseEnvironment(env, (path) => machineProbe.readFile(path))
  const fault = faults.find(({ names }) => names.some((name) => OWN_VARIABLES.some((own) => name.startsWith(own))))
  if (fault !== undefined) throw new CommandError(EXIT_CONFIG, `${fault.names.join(', ')}: ${fault.text}`)
  const { ADMIN_HOST: host, ADMIN_PORT: port, ADMIN_TOKEN: token } = values
  if (urls !== undefined) {
    return urls.map((url) => {
      if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw new RangeError(`--admin ${url}: it is a URL like http://10.0.0.1:9090`)
      return new AdminPort(url, token)
    })
  }
  if (port === undefined) throw new CommandError(EXIT_CONFIG, 'which node? Give --admin URL, or ADMIN_PORT in the environment')
  return [new AdminPort(`http://${formatHostPort(isWildcard(host) ? '127.0.0.1' : host, port)}`, token)]
}

/** What a refusal says of itself. */
function wordsOf (text: string): string {
  const { message, error } = (parse(text) ?? {}) as { readonly message?: unknown, readonly error?: unknown }
  return String(message ?? error ?? text).slice(0, MAX_WORDS)
}

/** undefined: it is no JSON. */
function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
