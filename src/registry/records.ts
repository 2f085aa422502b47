/**
 * Keys and values of the registry in etcd. Ids are percent-encoded, so that a slash never splits a key, and every
 * prefix ends in a slash, so that `bob` never finds `bobby`. What is read was written by others: parsing never throws,
 * and what it does not understand is undefined. Keys of users and nodes have one spelling; revocations, which other
 * systems write, may be escaped in any way that decodes.
 */
export const ROOT = '/registry/'
export const USERS = '/registry/users/'
export const NODES = '/registry/nodes/'
export const REVOKED = '/registry/revoked/'

/** Handshakes a second that every node which takes clients can take, until it has measured more. */
export const MIN_CONNECTS_PER_SECOND = 50

/** A value longer than this was not written by a gateway. */
const MAX_VALUE_CHARACTERS = 2_048

/** Which connection a device has: the value of `/registry/users/{user}/{device}`. */
export interface RouteRecord {
  readonly node: string
  readonly conn: string
  /** Since when, Unix milliseconds. */
  readonly at: number
}

/** How a node is reached: the value of `/registry/nodes/{node}`. */
export interface NodeRecord {
  /** `host:port` of its gRPC server. */
  readonly grpc: string
  readonly version: string
  /** When the record was written, Unix milliseconds. */
  readonly at: number
  /** Id of the process's start. */
  readonly start: string
  /** How many handshakes a second the node can take now. */
  readonly connects_per_s: number
}

/** Which tokens are refused: the value of `/registry/revoked/{user}/{device or *}`. */
export interface RevokedRecord {
  /** Tokens issued before this are refused, Unix milliseconds. */
  readonly before: number
}

export type ParsedKey =
  | { readonly kind: 'user', readonly userId: string, readonly deviceId: string }
  | { readonly kind: 'node', readonly nodeId: string }
  /** deviceId undefined: all devices. */
  | { readonly kind: 'revoked', readonly userId: string, readonly deviceId: string | undefined }

export function userPrefix (userId: string): string {
  return `${USERS}${encodeId(userId)}/`
}

export function deviceKey (userId: string, deviceId: string): string {
  return `${USERS}${encodeId(userId)}/${encodeId(deviceId)}`
}

export function nodeKey (nodeId: string): string {
  return NODES + encodeId(nodeId)
}

/** `deviceId` undefined: all devices of the user. */
export function revokedKey (userId: string, deviceId?: string): string {
  return `${REVOKED}${encodeId(userId)}/${deviceId === undefined ? '*' : encodeId(deviceId)}`
}

/** undefined: not a key of the registry. */
export function parseKey (key: string): ParsedKey | undefined {
  if (!key.startsWith(ROOT)) return undefined
  const [kind, first, second, ...more] = key.slice(ROOT.length).split('/')
  const id = decodeId(first)
  if (id === undefined || more.length > 0) return undefined
  if (kind === 'nodes') return second === undefined && nodeKey(id) === key ? { kind: 'node', nodeId: id } : undefined
  if (kind === 'revoked' && second === '*') return { kind, userId: id, deviceId: undefined }
  const deviceId = decodeId(second)
  if (deviceId === undefined) return undefined
  if (kind === 'revoked') return { kind, userId: id, deviceId }
  return kind === 'users' && deviceKey(id, deviceId) === key ? { kind: 'user', userId: id, deviceId } : undefined
}

export function encodeRoute (record: RouteRecord): string {
  return JSON.stringify({ node: record.node, conn: record.conn, at: record.at })
}

export function parseRoute (value: string): RouteRecord | undefined {
  const fields = parseObject(value)
  if (fields === undefined) return undefined
  const { node, conn, at } = fields
  return isText(node) && isText(conn) && isTime(at) ? { node, conn, at } : undefined
}

export function encodeNode (record: NodeRecord): string {
  return JSON.stringify({ grpc: record.grpc, version: record.version, at: record.at, start: record.start, connects_per_s: record.connects_per_s })
}

/** What later versions may leave out has a default; the address has not. */
export function parseNode (value: string): NodeRecord | undefined {
  const fields = parseObject(value)
  if (fields === undefined || !isText(fields['grpc'])) return undefined
  const { grpc, version, at, start, connects_per_s: connects } = fields
  return {
    grpc,
    version: isText(version) ? version : '',
    at: isTime(at) ? at : 0,
    start: isText(start) ? start : '',
    connects_per_s: isTime(connects) ? connects : MIN_CONNECTS_PER_SECOND
  }
}

export function encodeRevoked (record: RevokedRecord & { readonly at: number }): string {
  return JSON.stringify({ before: record.before, at: record.at })
}

export function parseRevoked (value: string): RevokedRecord | undefined {
  const before = parseObject(value)?.['before']
  return isTime(before) ? { before } : undefined
}

/** Percent-encodes all but RFC 3986's unreserved characters. Halves of surrogate pairs, which have no UTF-8, stay distinct too. */
function encodeId (id: string): string {
  if (PLAIN.test(id)) return id
  return id.replace(SPECIAL, (character) => {
    const code = character.charCodeAt(0)
    if (code < 0x80) return `%${code.toString(16).toUpperCase().padStart(2, '0')}`
    return character.length === 1 && code >= 0xd800 && code <= 0xdfff ? `%u${code.toString(16)}` : encodeURIComponent(character)
  })
}

function decodeId (text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  if (PLAIN.test(text)) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const PLAIN = /^[\w.~-]+$/
const SPECIAL = /[^\w.~-]/gu

function parseObject (value: string): Record<string, unknown> | undefined {
  if (value.length > MAX_VALUE_CHARACTERS) return undefined
  try {
    const parsed: unknown = JSON.parse(value)
    return typeof parsed === 'object' && parsed !== null ? parsed as Record<string, unknown> : undefined
  } catch {
    return undefined
  }
}

function isText (value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 256
}

function isTime (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
