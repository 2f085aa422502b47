/**
 * Which web pages may connect [GW-CON-4]. A browser sends the page's Origin with every upgrade and lets no script
 * change it; without this check any page a user visits could open a socket in the user's name.
 */

/** The allow-list, taken apart once. */
export interface OriginRules {
  /** Whole origins, lower case. */
  readonly exact: ReadonlySet<string>
  /** `https://*.example.com` as [`https://`, `.example.com`]. */
  readonly wildcards: ReadonlyArray<readonly [scheme: string, suffix: string]>
  /** Whether a request without an Origin (a native client) may pass. */
  readonly allowEmpty: boolean
}

// scheme, "://", then a host name with an optional "*." before it, an optional port, and nothing more.
const ENTRY = /^([a-z][a-z0-9+.-]*:\/\/)(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(:\d{1,5})?$/
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http://': ':80', 'https://': ':443' }

/**
 * Reads an allow-list: whole origins, or one `*.` before the host for any depth of subdomains (not the domain itself).
 * Throws a RangeError that names the entry that is neither.
 */
export function originRules (allowed: readonly string[], allowEmpty: boolean): OriginRules {
  const exact = new Set<string>()
  const wildcards: Array<readonly [string, string]> = []
  for (const entry of allowed) {
    const parts = ENTRY.exec(entry.toLowerCase())
    if (parts === null) throw new RangeError(`not an origin: ${JSON.stringify(entry)}`)
    const [, scheme = '', wildcard, host = '', port] = parts
    const rest = host + withoutDefault(scheme, port)
    if (wildcard === undefined) exact.add(scheme + rest)
    else wildcards.push([scheme, `.${rest}`])
  }
  return { exact, wildcards, allowEmpty }
}

/**
 * Whether an upgrade with this Origin may pass. With no list configured the Origin's host has to be the one that was
 * asked (`host`, as the client or a trusted proxy named it); the scheme is not compared, for TLS may end before us.
 */
export function originAllowed (rules: OriginRules, origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return rules.allowEmpty
  const parts = ENTRY.exec(origin.toLowerCase())
  // `null` (sandboxed pages, files) and anything that is not an origin.
  if (parts === null || parts[2] !== undefined) return false
  const [, scheme = '', , name = '', port] = parts
  const rest = name + withoutDefault(scheme, port)
  if (rules.exact.size === 0 && rules.wildcards.length === 0) return host !== undefined && rest === withoutDefaultPort(scheme, host.toLowerCase())
  if (rules.exact.has(scheme + rest)) return true
  return rules.wildcards.some(([wanted, suffix]) => scheme === wanted && rest.endsWith(suffix) && rest.length > suffix.length)
}

function withoutDefault (scheme: string, port: string | undefined): string {
  return port === undefined || port === DEFAULT_PORTS[scheme] ? '' : port
}

function withoutDefaultPort (scheme: string, host: string): string {
  const port = DEFAULT_PORTS[scheme]
  return port !== undefined && host.endsWith(port) ? host.slice(0, -port.length) : host
}
