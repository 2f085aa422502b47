/** Asks the admin ports of nodes. Addresses and the token come from options and the environment; a token is never an argument, which others on the machine can read. */
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
const OWN_VARIABLES = ['ADMIN_HOST', 'ADMIN_PORT', 'ADMIN_TOKEN'] as const

/** A node's admin port. */
export class AdminPort {
  readonly url: string
  readonly #token: string | undefined

  constructor (url: string, token: string | undefined) {
    this.url = url
    this.#token = token
  }

  /** Resolves to what was answered with 2xx, or with a status that is `expected`. Throws a CommandError otherwise, a RangeError where the request makes no sense. */
  async ask<T> (method: string, path: string, query: Readonly<Record<string, string | undefined>> = {}, expected: readonly number[] = []): Promise<{ readonly status: number, readonly body: T }> {
    const url = new URL(path, this.url)
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
    try {
      return { status, body: JSON.parse(text) as T }
    } catch {
      throw new CommandError(EXIT_UNAVAILABLE, `${this.url} is no admin port: its answer is no JSON`)
    }
  }
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
  try {
    const { message, error } = JSON.parse(text) as { readonly message?: unknown, readonly error?: unknown }
    return String(message ?? error ?? text)
  } catch {
    return text.slice(0, 200)
  }
}
