/**
 * What an upgrade request says of itself, read from the raw header list and the URL: token, device, origin,
 * subprotocol. Raw, because joined or overwritten duplicates would let two readers see two different requests.
 */
import type { ErrorCode } from '../errors.ts'
import { isClientId } from './decode.ts'
import { MAX_TOKEN_LENGTH } from './frames.ts'
import { SUBPROTOCOL } from './subprotocol.ts'

const BEARER_PROTOCOL = 'bearer.'
const BEARER_SCHEME = /^bearer +([^\s,]+) *$/i
// RFC 6455 section 4.1: the elements of the list are tokens of RFC 7230.
const PROTOCOL_TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

// RFC 6455 section 4.2.1: 16 bytes in base64.
const KEY = /^[A-Za-z0-9+/]{22}==$/
const VERSION = '13'

export type HandshakeErrorCode = Extract<ErrorCode, 'AUTH_REQUIRED' | 'INVALID_TOKEN' | 'INVALID_DEVICE' | 'INVALID_MESSAGE'>

export interface Handshake {
  readonly token: string
  /** `?device_id=`, well-formed; counts only where the token carries no device (`deviceOf`). */
  readonly queryDeviceId: string | undefined
  /** What the answer selects; undefined: nothing was offered that we speak, our protocol is assumed. */
  readonly subprotocol: typeof SUBPROTOCOL | undefined
}
export type HandshakeReading =
  | { readonly ok: true, readonly handshake: Handshake }
  | { readonly ok: false, readonly code: HandshakeErrorCode }

export interface HandshakeOptions {
  /** Whether `?token=` is looked at. */
  readonly allowQueryToken: boolean
}

/**
 * Why the request opens no WebSocket whoever sends it (RFC 6455 section 4.2.1): INVALID_MESSAGE where Host or key is not
 * there once and well-formed, UPGRADE_REQUIRED where the version is another than 13. undefined: it does.
 */
export function upgradeFault (rawHeaders: readonly string[]): 'INVALID_MESSAGE' | 'UPGRADE_REQUIRED' | undefined {
  if (!single(rawHeaders, 'host') || !KEY.test(single(rawHeaders, 'sec-websocket-key') ?? '')) return 'INVALID_MESSAGE'
  return single(rawHeaders, 'sec-websocket-version') === VERSION ? undefined : 'UPGRADE_REQUIRED'
}

/**
 * The token in this order: `Authorization: Bearer`, then `bearer.<token>` among the subprotocols (browsers cannot set
 * headers), then `?token=` where that is allowed. `rawHeaders`: name and value in turn, as Node has them; `url`: path and query.
 * A header or parameter given twice is INVALID_MESSAGE (400), a malformed or overlong token INVALID_TOKEN (401).
 */
export function readHandshake (rawHeaders: readonly string[], url: string, options: HandshakeOptions): HandshakeReading {
  const authorization = single(rawHeaders, 'authorization')
  const protocols = single(rawHeaders, 'sec-websocket-protocol')
  const query = new URLSearchParams(url.slice(queryStart(url)))
  const tokens = query.getAll('token')
  const devices = query.getAll('device_id')
  const offered = protocols === undefined || protocols === null ? [] : protocols.split(',').map((protocol) => protocol.trim())
  if (authorization === null || protocols === null || single(rawHeaders, 'origin') === null || tokens.length > 1 || devices.length > 1) return refuse('INVALID_MESSAGE')
  if (offered.some((protocol) => !PROTOCOL_TOKEN.test(protocol)) || new Set(offered).size < offered.length) return refuse('INVALID_MESSAGE')
  const bearers = offered.filter((protocol) => protocol.startsWith(BEARER_PROTOCOL))
  if (bearers.length > 1) return refuse('INVALID_MESSAGE')

  const token = authorization !== undefined
    ? BEARER_SCHEME.exec(authorization)?.[1] ?? ''
    : bearers[0]?.slice(BEARER_PROTOCOL.length) ?? (options.allowQueryToken ? tokens[0] : undefined)
  if (token === undefined) return refuse('AUTH_REQUIRED')
  if (token.length === 0 || token.length > MAX_TOKEN_LENGTH) return refuse('INVALID_TOKEN')
  const [queryDeviceId] = devices
  if (queryDeviceId !== undefined && !isClientId(queryDeviceId)) return refuse('INVALID_DEVICE')
  return { ok: true, handshake: { token, queryDeviceId, subprotocol: offered.includes(SUBPROTOCOL) ? SUBPROTOCOL : undefined } }
}

/** The Origin header; undefined: none. Only for requests whose handshake could be read (it stands there once at most). */
export function originOf (rawHeaders: readonly string[]): string | undefined {
  return single(rawHeaders, 'origin') ?? undefined
}

/** The session's device: the token's, or the query's where the token names none. undefined: INVALID_DEVICE (none, malformed, or they differ). */
export function deviceOf (tokenDeviceId: string | undefined, queryDeviceId: string | undefined): string | undefined {
  if (tokenDeviceId === undefined) return queryDeviceId
  if (queryDeviceId !== undefined && queryDeviceId !== tokenDeviceId) return undefined
  return isClientId(tokenDeviceId) ? tokenDeviceId : undefined
}

/** The value of a header, undefined where it is absent, null where it stands there twice. */
function single (rawHeaders: readonly string[], name: string): string | undefined | null {
  let value: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() !== name) continue
    if (value !== undefined) return null
    value = rawHeaders[at + 1] ?? ''
  }
  return value
}

function queryStart (url: string): number {
  const mark = url.indexOf('?')
  return mark === -1 ? url.length : mark + 1
}

function refuse (code: HandshakeErrorCode): HandshakeReading {
  return { ok: false, code }
}
