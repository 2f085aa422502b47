/** What texts have to look like, by the `form` of a row. */
import { isHost, isNetwork, parseHostPort, parseRedisAddress } from './addresses.ts'
import type { Form } from './variable.ts'

interface FormRule { readonly says: string, passes (text: string): boolean }

const TARGET = /^(?:dns:(?:\/\/[^/\s]*\/)?|ipv4:|ipv6:|unix:)\S+$/
const ORIGIN = /^https?:\/\/(?:\*\.)?[A-Za-z0-9.-]+(?::\d{1,5})?$|^https?:\/\/\[[0-9A-Fa-f:.]+\](?::\d{1,5})?$/

function isHttpUrl (text: string): boolean {
  return URL.canParse(text) && /^https?:\/\//.test(text)
}

/** `http://host:port` or `https://host:port`, nothing after it. */
function isEndpoint (text: string): boolean {
  const [, scheme, rest] = /^(https?):\/\/(.+)$/.exec(text) ?? []
  return scheme !== undefined && parseHostPort(rest as string) !== undefined
}

export const FORMS: Readonly<Record<Form, FormRule>> = {
  any: { says: 'a text', passes: () => true },
  name: { says: '1-64 characters of A-Z a-z 0-9 . _ -', passes: (text) => /^[A-Za-z0-9._-]{1,64}$/.test(text) },
  host: { says: 'a host name or an IP address', passes: isHost },
  hostPort: { says: 'host:port', passes: (text) => parseHostPort(text) !== undefined },
  target: { says: 'host:port or a gRPC target (dns:///host:port)', passes: (text) => parseHostPort(text) !== undefined || TARGET.test(text) },
  origin: { says: 'an origin like https://app.example.com or https://*.example.com', passes: (text) => ORIGIN.test(text) },
  network: { says: 'an IP address or a CIDR block', passes: isNetwork },
  url: { says: 'an http or https URL', passes: isHttpUrl },
  endpoint: { says: 'http://host:port or https://host:port', passes: isEndpoint },
  redis: { says: 'host:port, host:port,host:port, cluster:host:port or sentinel:name@host:port', passes: (text) => parseRedisAddress(text) !== undefined },
  topic: { says: '1-200 characters of A-Z a-z 0-9 . _ -', passes: (text) => /^[A-Za-z0-9._-]{1,200}$/.test(text) },
  pem: { says: 'PEM text (for a path to a file use the name with _FILE)', passes: (text) => text.includes('-----BEGIN ') },
  ratio: { says: 'a number of 0 to 1 like 0.05', passes: (text) => /^(?:0(?:\.\d+)?|1(?:\.0+)?)$/.test(text) },
  bearer: { says: '16 or more characters of A-Z a-z 0-9 - . _ ~ + / =', passes: (text) => /^[A-Za-z0-9._~+/-]{16,}=*$/.test(text) }
}
