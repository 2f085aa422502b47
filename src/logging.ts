/**
 * How log lines are written [GW-OBS-3]: JSON, one a line, with the node's id; never a token, never a message's content,
 * whatever is handed in. Names are hidden, query strings and what looks like a token are cut out of texts, and errors
 * are reduced to what they are and where they happened.
 */
const HIDDEN = '[hidden]'

/** Fields that carry secrets or what people write to each other; hidden at the top and one or two levels down. */
const SECRET_FIELDS = ['token', 'access_token', 'accessToken', 'authorization', 'password', 'secret', 'jwt', 'cookie', 'content', 'metadata', 'frame']
const SECRET_PATHS = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`])
const SECRET_HEADERS = ['headers', '*.headers', '*.*.headers'].flatMap((path) => [`${path}.authorization`, `${path}["sec-websocket-protocol"]`, `${path}.cookie`])

/** Three base64url parts: a JWT (RFC 7519) wherever it stands. */
const TOKEN_LIKE = /\b[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/g
const BEARER = /\bbearer[ .]\S+/gi
const QUERY = /\?[^\s"']*/g
const MAX_CAUSES = 3

/** Cuts query strings and what looks like a token out of a text. */
export function scrub (text: string): string {
  if (!text.includes('?') && !text.includes('.') && !/bearer/i.test(text)) return text
  return text.replace(QUERY, '?…').replace(BEARER, `Bearer ${HIDDEN}`).replace(TOKEN_LIKE, HIDDEN)
}

export interface ErrorFacts { [name: string]: unknown, type: string, message: string, code?: string | number, stack: string, cause?: ErrorFacts }

/** What is said of an error. Its own fields beyond the code are left out: libraries hang requests and headers on them. */
export function errorFacts (error: unknown, depth = 0): ErrorFacts {
  if (!(error instanceof Error)) return { type: typeof error, message: HIDDEN, stack: '' }
  const { code } = error as { code?: unknown }
  // V8 quotes the input: `Unexpected token 'x', "…" is not valid JSON`.
  const message = error instanceof SyntaxError ? 'malformed input' : scrub(error.message)
  return {
    type: error.name,
    message,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    stack: frames(error.stack ?? ''),
    ...(error.cause !== undefined && depth < MAX_CAUSES && { cause: errorFacts(error.cause, depth + 1) })
  }
}

/** The places of a stack; its first lines repeat the message. */
function frames (stack: string): string {
  return stack.split('\n').filter((line) => /^\s+at /.test(line)).join('\n')
}

/** pino takes the message of an error for the text of a line that has none: it is cleaned and given first. */
function cleanLine (args: readonly unknown[]): unknown[] {
  const [first, ...rest] = args
  if (first instanceof Error) return cleanLine([{ err: first }, ...rest])
  const clean = args.map((arg) => typeof arg === 'string' ? scrub(arg) : arg)
  const error = (first as { err?: unknown } | null | undefined)?.err
  if (error instanceof Error && typeof args[1] !== 'string') clean.splice(1, 0, errorFacts(error).message)
  return clean
}

interface RequestFacts { [name: string]: unknown, method?: string }
interface RequestLike { readonly method?: string, readonly url?: string, readonly ip?: string }

export interface LoggingOptions {
  readonly level: string
  readonly nodeId: string
}

/** The options of pino that are set here, without its types: nothing below `src/` depends on a logger. */
export interface LoggingSetup {
  level: string
  base: { node: string, pid: number }
  timestamp: () => string
  formatters: { level: (label: string) => { level: string } }
  redact: { paths: string[], censor: string }
  serializers: Record<'err' | 'error', (error: unknown) => ErrorFacts> & { req: (request: RequestLike) => RequestFacts }
  hooks: { logMethod: (this: unknown, args: unknown[], method: (...args: never[]) => void) => void }
}

/** Options for pino, and for Fastify's `logger`. */
export function loggingOptions (options: LoggingOptions): LoggingSetup {
  return {
    level: options.level,
    base: { node: options.nodeId, pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: [...SECRET_PATHS, ...SECRET_HEADERS], censor: HIDDEN },
    serializers: {
      err: (error) => errorFacts(error),
      error: (error) => errorFacts(error),
      req: ({ method, url, ip }) => ({ ...(method !== undefined && { method }), path: url?.split('?', 1)[0], address: ip })
    },
    hooks: {
      logMethod (args, method) { method.apply(this, cleanLine(args) as never[]) }
    }
  }
}
